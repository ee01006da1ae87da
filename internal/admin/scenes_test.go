package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"wellkey/internal/finding"
	"wellkey/internal/listen"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server/certs"
	"wellkey/server/passthrough"
	"wellkey/server/trouble"
	"wellkey/server/upstream"
)

const domain = "keys.example.com"

// A scene is a situation, and what a person must be told in it.
type scene struct {
	name    string
	change  func(t testing.TB, w *world) // from all is well
	state   string                       // of the summary
	says    string                       // begins the summary
	fix     string                       // is in what to do
	more    int
	check   string // the check that decides
	seen    string // is in what that check saw
	pairing bool   // the QR code is shown
}

// oneRegion puts the registration in EU into a state.
func oneRegion(state registrar.State, note registrar.Note, next time.Time) func(testing.TB, *world) {
	return func(_ testing.TB, w *world) {
		w.sites[0].Regions[1] = registrar.RegionSnapshot{Region: fleetapi.EU, State: state, Note: note, Since: noon.Add(-10 * time.Minute), Next: next}
	}
}

func scenes() []scene {
	return []scene{
		{name: "registered", change: func(testing.TB, *world) {}, state: "ok", says: "All is well", pairing: true},
		{name: "pending", state: "waiting", check: "registration_eu", says: "The registration in Europe, Middle East and Africa waits for the first look",
			change: oneRegion(registrar.Pending, registrar.Note{Reason: registrar.ReasonNotLooked}, time.Time{})},
		{name: "certificate spreads", state: "waiting", check: "registration_eu", says: "The registration in Europe, Middle East and Africa waits until the replicas have the certificate",
			change: oneRegion(registrar.Pending, registrar.Note{Reason: registrar.ReasonSpreading}, time.Time{})},
		{name: "asking", state: "waiting", check: "registration_eu", says: "Tesla is being asked which key it has in Europe",
			change: oneRegion(registrar.Pending, registrar.Note{Reason: registrar.ReasonAsking}, time.Time{})},
		{name: "registering", state: "waiting", check: "registration_eu", says: "The key is being registered in Europe",
			change: oneRegion(registrar.Pending, registrar.Note{Reason: registrar.ReasonRegistering}, time.Time{})},
		{name: "starting", state: "waiting", check: "registration_eu", says: "The registration in Europe, Middle East and Africa is about to begin",
			change: oneRegion(registrar.Pending, registrar.Note{Reason: registrar.ReasonStarting}, time.Time{})},
		{name: "waiting for credentials", state: "step", check: "registration_na", says: "One step is yours: give wellkey the client id and secret",
			fix: "credentials file", seen: "no credentials of an application yet", change: withoutCredentials},
		{name: "bad credentials", state: "action", check: "registration_na", says: "The credentials cannot be used, so nothing is registered",
			fix: "Correct the file", seen: "client_secret", change: withBadCredentials},
		{name: "mismatch", state: "action", check: "registration_eu", says: "Tesla has another key on record in Europe", fix: "accept_key", seen: "on record; this host serves",
			change: func(t testing.TB, w *world) {
				oneRegion(registrar.Mismatch, registrar.Note{Reason: registrar.ReasonOtherKey,
					Seen:  "Tesla has key " + keyOf(t, otherPoint).Fingerprint() + " on record; this host serves " + w.sites[0].Key.Fingerprint() + ".",
					Cause: "The key was replaced here.", Fix: "To replace the registered key on purpose, set accept_key to the fingerprint of the hosted key."}, noon.Add(time.Hour))(t, w)
				w.sites[0].Regions[1].Registered = keyOf(t, otherPoint)
			}},
		{name: "refused", state: "action", check: "registration_eu", says: "Tesla refuses the registration in Europe", fix: "Allowed Origins", seen: "must match registered allowed origin",
			change: refused},
		{name: "unavailable", state: "waiting", check: "registration_eu", says: "Tesla in Europe, Middle East and Africa cannot be asked at the moment", seen: "status 503",
			change: oneRegion(registrar.Unavailable, registrar.Note{Reason: "unavailable", Seen: "registering in eu: Tesla answers with status 503.", Cause: "Tesla's side is down.", Fix: "Nothing: wellkey goes on trying."}, noon.Add(40*time.Second))},
		{name: "unavailable for days", state: "attention", check: "registration_eu", says: "Tesla in Europe, Middle East and Africa could not be asked for 2 days",
			change: func(t testing.TB, w *world) {
				oneRegion(registrar.Unavailable, registrar.Note{Reason: "dns", Fix: "Check this host's DNS."}, noon)(t, w)
				w.sites[0].Regions[1].Since = noon.Add(-48 * time.Hour)
			}, fix: "DNS"},
		{name: "stale answer", state: "attention", check: "registration_na", says: "Tesla had this key on record in North America and Asia-Pacific, but has not answered for 4 days", pairing: true,
			change: func(_ testing.TB, w *world) { w.sites[0].Regions[0].AnsweredAt = noon.Add(-4 * 24 * time.Hour) }, fix: "last failure"},
		{name: "unreachable", state: "action", check: "reachability", says: "The key cannot be fetched from outside", fix: "switch the login off", seen: "status 403", change: blocked},
		{name: "private key published", state: "action", check: "reachability", says: "The private key is published", fix: "rotate", seen: "private key",
			change: func(_ testing.TB, w *world) {
				w.sites[0].Look = unreachable(domain, "key_private", reach.ReasonPrivateKey, finding.Finding{Status: finding.Fail, Seen: "A private key is there.", Cause: "The wrong file was uploaded.", Fix: "Take it away and rotate the key."})
			}},
		{name: "reachable with a warning", state: "attention", check: "reachability", says: "The key can be fetched from outside, but not all", fix: "AAAA", seen: "timed out", pairing: true,
			change: func(_ testing.TB, w *world) {
				w.sites[0].Look.Findings[7] = finding.Finding{ID: "dial", On: "2001:db8::5", Status: finding.Warn, Seen: "The connection timed out.", Cause: "The AAAA record is old.", Fix: "Delete the AAAA record."}
			}},
		{name: "passed on", state: "ok", says: "All is well", pairing: true,
			change: func(_ testing.TB, w *world) {
				w.passed = []passthrough.Status{{Name: "telemetry.example.com", Target: "fleet-telemetry:443", Open: 7, Total: 4711}, {Name: "*.example.com", Target: "proxy:443"}}
			}},
		{name: "target of passthrough down", state: "attention", check: "passthrough_telemetry.example.com", pairing: true,
			says: "fleet-telemetry:443 could not be reached, so connections for telemetry.example.com were closed", fix: "Start it, or correct passthrough",
			seen: `First failed 12 minutes ago, last 1 minute ago: "dial tcp 10.0.0.7:443: connect: connection refused".`, change: passedDown},
		{name: "target of passthrough was down, and nobody came again", state: "ok", says: "All is well", pairing: true,
			change: func(t testing.TB, w *world) {
				passedDown(t, w)
				w.passed[0].Trouble.Since, w.passed[0].Trouble.Last = noon.Add(-26*time.Hour), noon.Add(-25*time.Hour)
			}},
		{name: "application", state: "ok", says: "All is well", pairing: true,
			change: func(_ testing.TB, w *world) {
				w.app = &upstream.Status{Target: "http://app:8080", Open: 7, Total: 4711}
			}},
		{name: "application down", state: "attention", check: "upstream", pairing: true,
			says: "http://app:8080 failed, so visitors of your application got an error", fix: "Look into the application's log",
			seen: `First failed 12 minutes ago, last 1 minute ago: "net/http: timeout awaiting response headers".`, change: applicationDown},
		{name: "application was down, and nobody came again", state: "ok", says: "All is well", pairing: true,
			change: func(t testing.TB, w *world) {
				applicationDown(t, w)
				w.app.Trouble.Since, w.app.Trouble.Last = noon.Add(-26*time.Hour), noon.Add(-25*time.Hour)
			}},
		{name: "certificate refused, and the application down", state: "action", check: "certificate", says: "There is no certificate, so neither Tesla nor owners", more: 1,
			change: func(t testing.TB, w *world) {
				w.certs[domain] = certs.Status{Source: "acme", Directory: "https://ca.example/directory", NextAttempt: noon.Add(4 * time.Minute), LastError: failed(certs.ReasonConnection)}
				waitAll(t, w, registrar.ReasonNoCertificate)
				applicationDown(t, w)
			}},
		{name: "inconclusive", state: "ok", says: "All is well", pairing: true,
			change: func(_ testing.TB, w *world) {
				w.sites[0].Look.Verdict, w.sites[0].Look.Reason = reach.Inconclusive, reach.ReasonTimeout
				w.sites[0].Look.Addresses[0].OK, w.sites[0].Look.Addresses[0].Reason = false, reach.ReasonTimeout
				w.sites[0].Look.Findings[7] = finding.Finding{ID: "dial", On: "203.0.113.5", Status: finding.Unknown, Seen: "No answer within 10 s.", Cause: "Many routers do not lead a host back to itself.", Fix: "Nothing, if Tesla reaches it."}
			}},
		{name: "key not asked for yet", state: "waiting", check: "key", says: "No key yet: Tesla is asked first",
			change: withoutKey(registrar.Note{Reason: registrar.ReasonAsking})},
		{name: "regions disagree", state: "action", check: "key", says: "No key is hosted, and which one it must be", fix: "accept_key",
			change: withoutKey(registrar.Note{Reason: registrar.ReasonRegionsDisagree, Seen: "Tesla has different keys on record.", Fix: "Set accept_key."})},
		{name: "key cannot be written", state: "action", check: "key", says: "No key is hosted: it could not be written", seen: "read-only file system", fix: "writable",
			change: withoutKey(registrar.Note{Reason: registrar.ReasonNoKey, Seen: "creating key file: read-only file system", Fix: "Make the data directory writable."})},
		{name: "restored key", state: "attention", check: "key", says: "The private key is missing here", fix: "Restore the private key", pairing: true,
			change: func(_ testing.TB, w *world) {
				w.keys[domain] = keystore.Status{Origin: keystore.OriginRestored, Path: "/data/restored-key.pem", LoadedAt: noon}
			}},
		{name: "bad change of the key file", state: "attention", check: "key", says: "The key file was changed and cannot be used", seen: "Reading /data/key.pem: an RSA key.", fix: "/data/key.pem", pairing: true,
			change: func(_ testing.TB, w *world) {
				k := w.keys[domain]
				k.LastError = "reading /data/key.pem: an RSA key"
				w.keys[domain] = k
			}},
		{name: "key file with a warning", state: "attention", check: "key", says: "The key is served, but its file asks for a look", seen: "No modes here.", fix: "/data/key.pem", pairing: true,
			change: func(_ testing.TB, w *world) {
				k := w.keys[domain]
				k.Warnings = []string{"No modes here."}
				w.keys[domain] = k
			}},
		{name: "certificate missing", state: "waiting", check: "certificate", says: "The certificate is being obtained",
			change: func(t testing.TB, w *world) {
				w.certs[domain] = certs.Status{Source: "acme", Directory: "https://ca.example/directory", NextAttempt: noon.Add(time.Second)}
				waitAll(t, w, registrar.ReasonNoCertificate)
			}},
		{name: "certificate refused", state: "action", check: "certificate", says: "There is no certificate, so neither Tesla nor owners", fix: "Forward ports 80 and 443", seen: "Timeout during connect",
			change: func(t testing.TB, w *world) {
				w.certs[domain] = certs.Status{Source: "acme", Directory: "https://ca.example/directory", NextAttempt: noon.Add(4 * time.Minute), LastError: failed(certs.ReasonConnection)}
				waitAll(t, w, registrar.ReasonNoCertificate)
			}},
		{name: "certificate missing, and a target of passthrough down", state: "waiting", check: "certificate", says: "The certificate is being obtained", more: 1,
			change: func(t testing.TB, w *world) {
				w.certs[domain] = certs.Status{Source: "acme", Directory: "https://ca.example/directory", NextAttempt: noon.Add(time.Second)}
				waitAll(t, w, registrar.ReasonNoCertificate)
				passedDown(t, w)
			}},
		{name: "CA down", state: "waiting", check: "certificate", says: "There is no certificate yet; wellkey goes on trying", seen: "Timeout during connect",
			change: func(t testing.TB, w *world) {
				w.certs[domain] = certs.Status{Source: "acme", NextAttempt: noon.Add(4 * time.Minute), LastError: failed(certs.ReasonServer)}
				waitAll(t, w, registrar.ReasonNoCertificate)
			}},
		{name: "certificate expired", state: "action", check: "certificate", says: "The certificate expired 3 hours ago", fix: "Forward ports",
			change: certificate(func(c *certs.Status) {
				c.NotAfter, c.LastError = noon.Add(-3*time.Hour), failed(certs.ReasonConnection)
			})},
		{name: "certificate expired, and nothing failed", state: "action", check: "certificate", says: "The certificate expired 3 hours ago",
			fix:    "Run: wellkey renew --now --domain keys.example.com; what it meets is shown here.",
			change: certificate(func(c *certs.Status) { c.NotAfter = noon.Add(-3 * time.Hour) })},
		{name: "certificate file expired", state: "action", check: "certificate", says: "The certificate expired 3 hours ago",
			fix: "Put a renewed pair in the place of tls_cert_file and tls_key_file; it is taken over within seconds.",
			change: certificate(func(c *certs.Status) {
				c.Source, c.NotAfter, c.Warning = "files", noon.Add(-3*time.Hour), "the certificate expired"
			})},
		{name: "certificate not yet valid", state: "action", check: "certificate", says: "The certificate is not valid yet", fix: "clock",
			change: certificate(func(c *certs.Status) { c.NotBefore = noon.Add(time.Hour) })},
		{name: "renewal fails", state: "attention", check: "certificate", says: "The certificate is good for another 20 days, but getting the next one failed", fix: "Forward ports", pairing: true,
			change: certificate(func(c *certs.Status) {
				c.NotAfter, c.LastError = noon.Add(20*24*time.Hour), failed(certs.ReasonConnection)
			})},
		{name: "renewal overdue", state: "attention", check: "certificate", says: "The certificate ends in 3 days and was not renewed yet", pairing: true,
			fix:    "Run: wellkey renew --now --domain keys.example.com; what it meets is shown here.",
			change: certificate(func(c *certs.Status) { c.NotAfter = noon.Add(3 * 24 * time.Hour) })},
		{name: "certificate file ends", state: "attention", check: "certificate", says: "The certificate ends in 3 days and was not renewed yet", pairing: true,
			fix:    "Put a renewed pair in the place of tls_cert_file and tls_key_file; it is taken over within seconds.",
			change: certificate(func(c *certs.Status) { c.Source, c.NotAfter = "files", noon.Add(3*24*time.Hour) })},
		{name: "fallback's certificate", state: "ok", says: "All is well", pairing: true,
			change: certificate(fallen(certs.ReasonServer))},
		{name: "fallback's certificate, and the first refuses", state: "attention", check: "certificate", says: "The certificate is good for another 90 days. The fallback authority gave it, since the first one failed.",
			fix: "Forward ports", seen: "Timeout during connect", pairing: true, change: certificate(fallen(certs.ReasonCAA))},
		{name: "certificate file with a warning", state: "attention", check: "certificate", says: "The certificate is served, but asks for a look", seen: "The chain has no intermediate.", fix: "Replace", pairing: true,
			change: certificate(func(c *certs.Status) { c.Source, c.Warning = "files", "the chain has no intermediate" })},
		{name: "behind a proxy", state: "ok", says: "All is well", pairing: true,
			change: func(_ testing.TB, w *world) { w.certs[domain] = certs.Status{Source: "off"} }},
		{name: "port taken", state: "action", check: "listeners", says: "The HTTPS listener does not have its address yet", seen: "in use", fix: "https_addr",
			change: func(_ testing.TB, w *world) {
				w.listeners[1] = listen.State{Name: "https", Addr: ":443", Error: "listening on :443: address already in use"}
			}},
		{name: "three things at once", state: "action", check: "certificate", says: "The certificate expired", more: 2,
			change: func(t testing.TB, w *world) {
				certificate(func(c *certs.Status) { c.NotAfter = noon.Add(-3 * time.Hour) })(t, w)
				blocked(t, w)
				refused(t, w)
			}},
	}
}

// passedDown is that fleet-telemetry does not run, and the other target was not tried.
func passedDown(_ testing.TB, w *world) {
	w.passed = []passthrough.Status{
		{Name: "telemetry.example.com", Target: "fleet-telemetry:443", Total: 4711, Trouble: trouble.Trouble{
			Since: noon.Add(-12 * time.Minute), Last: noon.Add(-time.Minute), Error: `"dial tcp 10.0.0.7:443: connect: connection refused"`,
			Cause: "nothing listens there: the server does not run, or listens on another port", Fix: "Start it, or correct passthrough",
		}},
		{Name: "*.example.com", Target: "proxy:443"},
	}
}

// applicationDown is that the application hangs.
func applicationDown(_ testing.TB, w *world) {
	w.app = &upstream.Status{Target: "http://app:8080", Open: 3, Total: 4711, Trouble: trouble.Trouble{
		Since: noon.Add(-12 * time.Minute), Last: noon.Add(-time.Minute), Error: `"net/http: timeout awaiting response headers"`,
		Cause: "it took the request, but began no answer within 5 minutes", Fix: "Look into the application's log",
	}}
}

func withoutCredentials(_ testing.TB, w *world) {
	for i, r := range w.sites[0].Regions {
		w.sites[0].Regions[i] = registrar.RegionSnapshot{Region: r.Region, State: registrar.WaitingForCredentials, Since: noon.Add(-10 * time.Minute),
			Note: registrar.Note{
				Reason: registrar.ReasonNoCredentials, Seen: "There are no credentials of an application yet.",
				Cause: "The application was not made in Tesla's portal yet, or its client id and secret were not given to wellkey.",
				Fix:   "Make the application at developer.tesla.com and put its client id and secret into the credentials file; they are picked up without a restart.",
			}}
	}
}

func withBadCredentials(_ testing.TB, w *world) {
	for i, r := range w.sites[0].Regions {
		w.sites[0].Regions[i] = registrar.RegionSnapshot{Region: r.Region, State: registrar.WaitingForCredentials, Since: noon.Add(-10 * time.Minute),
			Note: registrar.Note{
				Reason: registrar.ReasonBadCredentials, Seen: "/data/credentials.yaml:2: client_secret: is missing.",
				Cause: "The file that holds them is malformed, incomplete, or cannot be read by wellkey.", Fix: "Correct the file; it is picked up without a restart.",
			}}
	}
}

// fallen makes the certificate one of the fallback authority.
func fallen(why certs.Reason) func(*certs.Status) {
	return func(c *certs.Status) {
		c.NotAfter, c.Role, c.WhyFallback = noon.Add(90*24*time.Hour+time.Minute), certs.Fallback, failed(why)
		c.Authorities = []certs.Authority{{Role: certs.Primary, Name: "letsencrypt"}, {Role: certs.Fallback, Name: "zerossl"}}
	}
}

func withoutKey(note registrar.Note) func(testing.TB, *world) {
	return func(t testing.TB, w *world) {
		s := &w.sites[0]
		s.Key, s.Look, s.KeyNote = keystore.Key{}, nil, &note
		w.keys[domain] = keystore.Status{Origin: keystore.OriginNone, Path: "/data/key.pem"}
		waitAll(t, w, registrar.ReasonNoKey)
	}
}

// waitAll makes nothing looked at and nothing registered yet.
func waitAll(_ testing.TB, w *world, reason string) {
	w.sites[0].Look = nil
	for i, r := range w.sites[0].Regions {
		w.sites[0].Regions[i] = registrar.RegionSnapshot{Region: r.Region, State: registrar.Pending, Note: registrar.Note{Reason: reason}, Since: noon}
	}
}

func certificate(change func(*certs.Status)) func(testing.TB, *world) {
	return func(_ testing.TB, w *world) {
		c := w.certs[domain]
		change(&c)
		w.certs[domain] = c
	}
}

func failed(reason certs.Reason) *certs.Failure {
	return &certs.Failure{At: noon.Add(-time.Minute), Reason: reason, Cause: "the CA could not connect to this host",
		Fix: "forward ports 80 and 443 to wellkey", Text: `"connection: Timeout during connect"`}
}

func refused(t testing.TB, w *world) {
	const what = `registering keys.example.com in eu: Tesla refuses with status 412: "Root domain keys.example.com must match registered allowed origin"`
	oneRegion(registrar.Refused, registrar.Note{Reason: "root_domain_mismatch", Seen: what,
		Cause: "The domain is not among the Allowed Origins of the application.",
		Fix:   "Add https://keys.example.com to the Allowed Origins in Tesla's portal and save; it takes a few minutes.",
	}, noon.Add(time.Hour))(t, w)
	w.sites[0].Regions[1].Failure = &registrar.Failure{At: noon.Add(-time.Minute), Reason: "root_domain_mismatch", What: what, Count: 2, TxID: "5f0e8c1c2ab94e1f8d3a5e6c7b8a9d0e"}
}

func blocked(t testing.TB, w *world) {
	w.sites[0].Look = unreachable(domain, "http_status", reach.ReasonStatus, finding.Finding{
		Status: finding.Fail, Seen: "The key is answered with status 403.", Cause: "A login or a firewall stands before the key.", Fix: "Let everybody fetch this one path: switch the login off for it.",
	})
	oneRegion(registrar.Unreachable, registrar.Note{Reason: reach.ReasonStatus, Seen: "The key is answered with status 403.", Fix: "Let everybody fetch this one path: switch the login off for it."}, noon.Add(time.Hour))(t, w)
	w.sites[0].Regions[1].Registered = keystore.Key{}
}

// manySites is a world of 240 sites, of which one is refused, one waits and
// one is unreachable.
func manySites(t testing.TB) *world {
	var domains []string
	for i := range 240 {
		domains = append(domains, fmt.Sprintf("site%03d.example.net", i))
	}
	w := newWorld(t, domains...)
	w.sites[17].Regions[1] = registrar.RegionSnapshot{Region: fleetapi.EU, State: registrar.Refused, Note: registrar.Note{Reason: "key_taken", Seen: "Public key hash has already been taken.", Fix: "Find the other application."}}
	w.sites[101].Regions[0] = registrar.RegionSnapshot{Region: fleetapi.NA, State: registrar.Unavailable, Note: registrar.Note{Reason: "unavailable"}}
	w.sites[230].Look = unreachable(domains[230], "http_status", reach.ReasonStatus, finding.Finding{Status: finding.Fail, Seen: "Status 403.", Fix: "Open it."})
	return w
}

// nasty is a text that tries to be more than a text, longer than any should be.
const nasty = "</p><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">\x00\x1b[31m\u202e\u2066{{.Style}} javascript:alert(1)"

// hostile puts nasty texts wherever texts from elsewhere are shown.
func hostile(_ testing.TB, w *world) {
	long := nasty + strings.Repeat("W", 10<<10)
	w.sites[0].Look = unreachable(domain, "http_status", reach.ReasonStatus, finding.Finding{Status: finding.Fail, Seen: long, Cause: long, Fix: long})
	w.sites[0].Look.Findings = append(w.sites[0].Look.Findings, finding.Finding{ID: nasty, On: nasty, Status: finding.Warn, Seen: long})
	w.sites[0].Regions[1] = registrar.RegionSnapshot{
		Region: fleetapi.EU, State: registrar.Refused, Note: registrar.Note{Reason: nasty, Seen: long, Cause: long, Fix: long},
		Failure: &registrar.Failure{At: noon, What: long, TxID: long},
	}
	w.keys[domain] = keystore.Status{Origin: keystore.OriginFile, Path: "/" + long, LastError: long, Warnings: []string{long}}
	certificate(func(c *certs.Status) {
		c.Issuer, c.Serial, c.Directory, c.Warning = long, long, long, long
		c.LastError = &certs.Failure{At: noon, Reason: certs.ReasonOther, Text: long, Cause: long, Fix: long}
	})(nil, w)
	w.listeners[1] = listen.State{Name: "https", Addr: nasty, Error: long}
	down := trouble.Trouble{Since: noon, Last: noon, Error: long, Cause: long, Fix: long}
	w.passed = []passthrough.Status{{Name: nasty, Target: long, Trouble: down}}
	w.app = &upstream.Status{Target: long, Trouble: down}
}
