package reach_test

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/finding"
	"wellkey/internal/testdns"
	"wellkey/internal/testnet"
	"wellkey/registrar/reach"
)

// What an operator would want told of _acme-challenge is told, and nothing else: the
// same record is as it must be, idle or a danger, by how the domain is proved.
func TestExamineChallenge(t *testing.T) {
	const name, target = "_acme-challenge." + domain, "key.challenges.example.net"
	link := func(to string, zones ...string) func(*testdns.Server) {
		return func(s *testdns.Server) {
			s.Set(name, "CNAME "+to+".")
			for _, zone := range zones {
				s.Set(zone, "SOA ns."+zone+". root."+zone+". 1 1 1 1 1")
			}
		}
	}
	then := func(steps ...func(*testdns.Server)) func(*testdns.Server) {
		return func(s *testdns.Server) {
			for _, step := range steps {
				step(s)
			}
		}
	}
	txt := func(at string, n int) func(*testdns.Server) {
		return func(s *testdns.Server) {
			var records []string
			for i := range n {
				records = append(records, `TXT "`+strings.Repeat("x", 43)+string(rune('a'+i))+`"`)
			}
			s.Set(at, records...)
		}
	}
	nothing := func(*testdns.Server) {}
	good := link(target, "example.net")
	lapsed := link("key.lapsed.example")
	fails := then(good, func(s *testdns.Server) {
		s.Rcode(target, dns.RcodeServerFailure)
		s.Rcode(name, dns.RcodeServerFailure, dns.TypeTXT)
	})
	ports, rfc2136, cloudflare := reach.Challenge{Known: true}, reach.Challenge{Known: true, Provider: "rfc2136", Zone: "challenges.example.net"}, reach.Challenge{Known: true, Provider: "cloudflare"}
	acmeDNS := reach.Challenge{Known: true, Provider: "acme-dns", Target: target, Keeps: true}
	unread := reach.Challenge{Known: true, Provider: "acme-dns", Fault: "reading it: permission denied", Keeps: true}
	for _, tc := range []struct {
		name      string
		build     func(*testdns.Server)
		challenge reach.Challenge
		status    finding.Status
		text      string // in what was seen or the fix
	}{
		{"somebody else's, none", nothing, reach.Challenge{}, finding.OK, "There is no CNAME"},
		{"somebody else's", good, reach.Challenge{}, finding.OK, `is a CNAME to "` + target + `".`},
		{"somebody else's, that fails", fails, reach.Challenge{}, finding.OK, "is a CNAME to"},
		{"somebody else's, that anybody can have", lapsed, reach.Challenge{}, finding.Warn, `whoever registers "lapsed.example" can get certificates for ` + domain},
		{"somebody else's, no answer", func(s *testdns.Server) { s.Rcode(name, dns.RcodeRefused) }, reach.Challenge{}, finding.Skipped, "nothing here depends on it"},

		{"ports, none", nothing, ports, finding.OK, "There is no CNAME"},
		{"ports, left records", txt(name, 9), ports, finding.OK, "There is no CNAME"},
		{"ports, a zone that nobody uses", good, ports, finding.Warn, "Set dns_provider, if it is meant for wellkey"},
		{"ports, a wildcard of the own domain", link("www.example.test"), ports, finding.OK, "is a CNAME to"},
		{"ports, that anybody can have", lapsed, ports, finding.Warn, "Delete the CNAME"},

		{"provider, none", nothing, cloudflare, finding.OK, "There is no CNAME"},
		{"provider, a record of now", txt(name, 2), cloudflare, finding.OK, "There is no CNAME"},
		{"provider, left records", txt(name, 3), cloudflare, finding.Warn, "3 TXT records are left"},
		{"provider, delegated", good, cloudflare, finding.OK, "which can be looked up"},
		{"provider, delegated, left records", then(good, txt(target, 3)), cloudflare, finding.Warn, "where 3 TXT records are left"},
		{"provider, that anybody can have", lapsed, cloudflare, finding.Fail, "Until then no certificate can be obtained."},
		{"provider, that fails", fails, cloudflare, finding.Fail, "which cannot be looked up: it answered SERVFAIL"},
		{"provider, in a circle", func(s *testdns.Server) { s.Set(name, "CNAME "+name+".") }, cloudflare, finding.Fail, "which cannot be looked up"},
		{"provider, silence", then(good, func(s *testdns.Server) { s.Hang(name, dns.TypeTXT) }), cloudflare, finding.Unknown, "esolver"},
		{"provider, no answer", func(s *testdns.Server) { s.Rcode(name, dns.RcodeRefused) }, cloudflare, finding.Unknown, "it answered REFUSED"},

		{"zone, delegated", good, rfc2136, finding.OK, "which can be looked up"},
		{"zone, not delegated", nothing, rfc2136, finding.Fail, "Make a CNAME at " + name + " to a name in challenges.example.net"},
		{"zone, another one", link("key.example.org", "example.org"), rfc2136, finding.Fail, "which is not in the zone challenges.example.net"},

		{"acme-dns, delegated", then(good, txt(target, 2)), acmeDNS, finding.OK, "which can be looked up"},
		{"acme-dns, its records stay", then(good, txt(target, 5)), acmeDNS, finding.OK, "which can be looked up"},
		{"acme-dns, another account", link("other.challenges.example.net", "example.net"), acmeDNS, finding.Fail, "CNAME " + target + "."},
		{"acme-dns, not delegated", nothing, acmeDNS, finding.Fail, "Make this record, once: " + name + ". CNAME " + target + "."},
		{"acme-dns, no account", nothing, reach.Challenge{Known: true, Provider: "acme-dns", Keeps: true}, finding.Fail, "Start wellkey"},
		{"acme-dns, account not to be read, not delegated", nothing, unread, finding.Fail, "cannot be used here: reading it: permission denied.Run this as the user of wellkey"},
		{"acme-dns, account not to be read", good, unread, finding.Unknown, "cannot be used here: reading it: permission denied."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.good("127.0.0.2")
			w.redirecting("127.0.0.2")
			w.dns.Set(domain, "A 127.0.0.2")
			tc.build(w.dns)
			w.config.Challenge = tc.challenge
			silent := tc.name == "provider, silence"
			if silent {
				w.config.Timeout = time.Second // which is waited for, so that all else may come too late, too
			}
			report := w.examine()
			f := find(report, "dns_challenge")
			if f.Status != tc.status || !strings.Contains(f.Seen+f.Fix, tc.text) {
				t.Errorf("dns_challenge = %+v, want %s and %q", f, tc.status, tc.text)
			}
			if report.Verdict != reach.Reachable && !silent {
				t.Errorf("verdict = %s %s", report.Verdict, report.Reason)
			}
		})
	}
}

// Resolvers that are silent, filter, or know another internet do not decide alone
// whether there is the domain to which the CNAME leads.
func TestExamineChallengeOwner(t *testing.T) {
	const name, zone = "_acme-challenge." + domain, "elsewhere.example"
	knows := func(records ...string) func(*testdns.Server) {
		return func(s *testdns.Server) {
			s.Set(name, "CNAME key."+zone+".")
			s.Set(zone, records...)
		}
	}
	there, below := knows("SOA ns."+zone+". root."+zone+". 1 1 1 1 1"), knows("CNAME gone.example.")
	gone := func(s *testdns.Server) { s.Set(name, "CNAME key."+zone+".") }
	refuses := func(s *testdns.Server) { gone(s); s.Rcode(zone, dns.RcodeRefused) }
	silent := func(s *testdns.Server) {
		for _, name := range []string{domain, name, zone} {
			s.Hang(name)
		}
	}
	unasked := func(s *testdns.Server) { there(s); s.Rcode(name, dns.RcodeRefused, dns.TypeTXT) }
	const free, unsure = "does not exist (NXDOMAIN)", "it is not known whether there is the domain"
	for _, tc := range []struct {
		name      string
		resolvers []func(*testdns.Server)
		status    finding.Status
		seen      string
	}{
		{"the only one", []func(*testdns.Server){gone}, finding.Fail, free},
		{"two say it", []func(*testdns.Server){gone, gone}, finding.Fail, free},
		{"the first filters", []func(*testdns.Server){gone, there, there}, finding.OK, "which can be looked up"},
		{"the first knows one of its own", []func(*testdns.Server){there, gone, gone}, finding.Fail, free},
		{"one against one", []func(*testdns.Server){gone, there}, finding.Unknown, "of 2 resolvers 1 say that there is, 1 that there is not"},
		{"the second refuses", []func(*testdns.Server){gone, refuses}, finding.Unknown, unsure},
		{"all refuse", []func(*testdns.Server){refuses, refuses}, finding.Unknown, unsure},
		{"one knows it, others refuse", []func(*testdns.Server){refuses, there, refuses}, finding.OK, "which can be looked up"},
		{"the domain is a CNAME", []func(*testdns.Server){below}, finding.OK, "which can be looked up"},
		{"all refuse the record", []func(*testdns.Server){unasked}, finding.Unknown, "it answered REFUSED"},
		{"the first is silent, two say it", []func(*testdns.Server){silent, gone, gone}, finding.Fail, free},
		{"the first is silent, one says it", []func(*testdns.Server){silent, gone}, finding.Unknown, unsure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.config.Challenge = reach.Challenge{Known: true, Provider: "cloudflare"}
			w.config.Resolvers = nil
			for _, build := range tc.resolvers {
				server := testnet.DNS(t)
				server.Set(domain, "A 127.0.0.2")
				build(server)
				w.config.Resolvers = append(w.config.Resolvers, server.Addr())
			}
			// Silence is waited for. On a busy machine answers may take as long: then more time is given.
			var f finding.Finding
			for w.config.Timeout = 500 * time.Millisecond; w.config.Timeout < time.Minute; w.config.Timeout *= 2 {
				if f = find(w.examine(), "dns_challenge"); f.Status == tc.status && strings.Contains(f.Seen, tc.seen) {
					return
				}
			}
			t.Errorf("dns_challenge = %+v, want %s and %q", f, tc.status, tc.seen)
		})
	}
}
