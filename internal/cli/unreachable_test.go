package cli_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/admin"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// An obstacle is something between the world and the key.
type obstacle struct {
	place    func(*world)
	settings []string
}

// obstacles has one for every reason of which we are sure, but bad_domain, which
// the settings refuse.
func obstacles() map[string]obstacle {
	answering := func(status int, kind, body string) obstacle {
		return obstacle{place: func(w *world) {
			w.otherHost(w.cert(testca.LeafOptions{}), func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", kind)
				rw.WriteHeader(status)
				_, _ = io.WriteString(rw, body)
			})
		}}
	}
	certified := func(opts testca.LeafOptions) obstacle {
		return obstacle{place: func(w *world) { w.sign(opts) }}
	}
	return map[string]obstacle{
		reach.ReasonNXDomain:       {place: func(w *world) { w.DNS.Remove(w.Domain) }},
		reach.ReasonNoAddress:      {place: func(w *world) { w.DNS.Set(w.Domain) }},
		reach.ReasonPrivateAddress: {settings: []string{"PROBE_ALLOW_PRIVATE=false"}},
		reach.ReasonTLSExpired:     certified(testca.LeafOptions{NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)}),
		reach.ReasonTLSNotYetValid: certified(testca.LeafOptions{NotBefore: time.Now().Add(24 * time.Hour)}),
		reach.ReasonTLSSelfSigned:  certified(testca.LeafOptions{SelfSigned: true}),
		reach.ReasonTLSIncomplete:  certified(testca.LeafOptions{Incomplete: true}),
		reach.ReasonTLSUntrusted: {place: func(w *world) {
			w.Signer = testnet.Signer(w.t)
			w.sign(testca.LeafOptions{})
		}},
		reach.ReasonHTTP: {place: func(w *world) {
			w.otherHost(w.cert(testca.LeafOptions{}), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		}},
		reach.ReasonRedirect: {place: func(w *world) {
			w.otherHost(w.cert(testca.LeafOptions{}), func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "https://www.example.com"+r.URL.Path, http.StatusMovedPermanently)
			})
		}},
		reach.ReasonBotChallenge: {place: func(w *world) {
			w.otherHost(w.cert(testca.LeafOptions{}), func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Cf-Mitigated", "challenge")
				rw.Header().Set("Content-Type", "text/html")
				rw.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(rw, "<!DOCTYPE html><title>Just a moment...</title>")
			})
		}},
		reach.ReasonStatus:   answering(404, "text/plain", "not here\n"),
		reach.ReasonHTML:     answering(200, "text/html", "<!DOCTYPE html>\n<html><body>It works!</body></html>\n"),
		reach.ReasonTooLarge: answering(200, "application/x-pem-file", strings.Repeat("A", 5000)),
		reach.ReasonNotAKey:  answering(200, "application/x-pem-file", "hello\n"),
		reach.ReasonWrongKey: {place: func(w *world) {
			_, other := newKey(w.t)
			w.otherHost(w.cert(testca.LeafOptions{}), func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(other.PEM()) })
		}},
		reach.ReasonPrivateKey: {place: func(w *world) {
			private, _ := newKey(w.t)
			w.canary.forbid("the private key that another host published", strings.Split(string(private), "\n")[1])
			w.otherHost(w.cert(testca.LeafOptions{}), func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(private) })
		}},
	}
}

// TestUnreachable: what we are sure of holds the registration back, and the
// operator is told why.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	unsure := []string{reach.ReasonDNS, reach.ReasonRefused, reach.ReasonTimeout, reach.ReasonPathMTU, reach.ReasonNoRoute,
		reach.ReasonCannotConnect, reach.ReasonCanceled, reach.ReasonInternal,
		reach.ReasonTLSName, reach.ReasonTLSHandshake} // who answers so is a stranger, see TestInconclusive
	for _, reason := range reach.Reasons() {
		if slices.Contains(unsure, reason) || reason == reach.ReasonBadDomain {
			continue
		}
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			o, ok := obstacles()[reason]
			if !ok {
				t.Fatal("there is no obstacle for this reason")
			}
			w := newRegistrable(t, withFiles)
			w.writeKey()
			if o.place != nil {
				o.place(w)
			}
			r := w.run(o.settings...)
			site := w.awaitStates(registrar.Unreachable, registrar.Unreachable).Sites[0]
			if site.Reachability == nil || site.Reachability.Verdict != reach.Unreachable || site.Reachability.Reason != reason {
				t.Errorf("the status says of reachability: %+v", site.Reachability)
			}
			for _, region := range site.Registrations {
				if region.Reason != reason || region.Seen == "" || region.Cause == "" || region.Fix == "" {
					t.Errorf("the status says of %s: %+v", region.Region, region.Note)
				}
				w.awaitLine(r.Log, "registration", "level", "warn", "region", string(region.Region), "state", "unreachable", "reason", reason)
			}
			found := site.Registrations[0].Note
			w.awaitLine(r.Log, "key not reachable from outside", "level", "error", "reason", reason, "seen", found.Seen, "cause", found.Cause, "fix", found.Fix)
			w.wantFinding(reason)
			if ready := w.get("/readyz"); ready.Status != 200 {
				t.Errorf("/readyz answers %d: what is outside is not its business", ready.Status)
			}
			w.wantPosts(0)
		})
	}
}

// wantFinding checks why the last look from outside did not find the key, by the
// metrics; "" is that it did.
func (w *world) wantFinding(reason string) {
	w.t.Helper()
	got := w.metrics()
	maps.DeleteFunc(got, func(series, _ string) bool { return !strings.HasPrefix(series, "wellkey_probe_finding{") })
	want := map[string]string{}
	if reason != "" {
		want[fmt.Sprintf("wellkey_probe_finding{domain=%q,reason=%q}", w.Domain, reason)] = "1"
	}
	if !maps.Equal(got, want) {
		w.t.Errorf("the metrics say %v of the last look, want %v", got, want)
	}
}

// TestInconclusive: a look that cannot be trusted does not hold Tesla back,
// whose own is the better one.
func TestInconclusive(t *testing.T) {
	t.Parallel()
	doubts := map[string]func(*world){
		reach.ReasonDNS:     func(w *world) { w.DNS.Rcode(w.Domain, dns.RcodeServerFailure) },
		reach.ReasonRefused: func(w *world) { host, _ := newHost(); w.DNS.Set(w.Domain, "A "+host) },
		reach.ReasonTimeout: func(w *world) {
			// A host that takes connections and then says nothing.
			w.listenElsewhere()
		},
		// Whoever cannot prove to be the domain may be the router in between.
		reach.ReasonTLSHandshake: func(w *world) { w.otherHost(nil, http.NotFound) },
		reach.ReasonTLSName: func(w *world) {
			w.otherHost(testnet.Certificate(w.t, w.Signer, testca.LeafOptions{}, "parked.example.net"), http.NotFound)
		},
		reach.ReasonTLSSelfSigned: func(w *world) {
			w.otherHost(w.cert(testca.LeafOptions{SelfSigned: true}), func(rw http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(rw, "<!DOCTYPE html><title>Your router</title>")
			})
		},
	}
	for reason, doubt := range doubts {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			w := newRegistrable(t, withFiles)
			doubt(w)
			r := w.run()
			w.awaitRegistered()
			site := w.await("a look", func(s admin.Status) bool { return s.Sites[0].Reachability != nil }).Sites[0]
			if site.Reachability.Verdict != reach.Inconclusive || site.Reachability.Reason != reason {
				t.Errorf("the verdict is %s, since %s", site.Reachability.Verdict, site.Reachability.Reason)
			}
			w.awaitLine(r.Log, "reachability inconclusive from here", "level", "warn", "reason", reason)
			w.wantFinding(reason)
			w.wantPosts(2)
		})
	}
}

// TestReachableAgain: when the obstacle is gone, registration follows by itself.
func TestReachableAgain(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.DNS.Remove(w.Domain)
	r := w.run()
	w.awaitStates(registrar.Unreachable, registrar.Unreachable)
	host, _, _ := net.SplitHostPort(w.HTTPSAddr)
	w.DNS.Set(w.Domain, "A "+host)
	w.awaitRegistered()
	w.awaitLine(r.Log, "key reachable from outside")
	w.wantFinding("")
	if err := w.Check(w.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		t.Error(err)
	}
}

// sign has wellkey serve another certificate.
func (w *world) sign(opts testca.LeafOptions) {
	w.t.Helper()
	if err := w.SignFiles(opts); err != nil {
		w.t.Fatal(err)
	}
}

// cert returns a TLS configuration with another certificate for the domain.
func (w *world) cert(opts testca.LeafOptions) *tls.Config {
	w.t.Helper()
	return testnet.Certificate(w.t, w.Signer, opts, w.Domain)
}

// listenElsewhere lets the domain lead to another host, which listens at the
// port of HTTPS.
func (w *world) listenElsewhere() net.Listener {
	w.t.Helper()
	host, _ := newHost()
	_, port, _ := net.SplitHostPort(w.HTTPSAddr)
	listener := testnet.Listen(w.t, net.JoinHostPort(host, port))
	w.DNS.Set(w.Domain, "A "+host)
	return listener
}

// otherHost lets the domain lead to another host that answers over TLS, or
// without where config is nil.
func (w *world) otherHost(config *tls.Config, answer http.HandlerFunc) {
	w.t.Helper()
	testnet.Serve(w.t, w.listenElsewhere(), config, answer)
}
