package reach_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/finding"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testnet"
	"wellkey/registrar/reach"
)

func (w *world) examine() reach.Report {
	w.t.Helper()
	return w.prober().Examine(context.Background(), domain, w.key)
}

// redirecting answers on port 80 as wellkey does.
func (w *world) redirecting(ip string) {
	testnet.Serve(w.t, w.listen(ip, w.plain), nil, http.RedirectHandler("https://"+domain+reach.Path, http.StatusPermanentRedirect))
}

func TestExamineHealthyHost(t *testing.T) {
	w := newWorld(t)
	for _, ip := range []string{"127.0.0.2", "::1"} {
		w.good(ip)
		w.redirecting(ip)
	}
	w.dns.Set(domain, "A 127.0.0.2", "AAAA ::1")
	w.config.CA = "letsencrypt.org"
	report := w.examine()
	expect(t, report, reach.Reachable, "")
	for _, id := range reach.Checks() {
		if f := find(report, id); f.Status != finding.OK && id != "domain" && id != "dns_agree" {
			t.Errorf("%s = %+v, want ok", id, f)
		}
	}
}

func TestCheckLeavesExaminationsOut(t *testing.T) {
	w := newWorld(t)
	w.good("127.0.0.2")
	w.dns.Set(domain, "A 127.0.0.2")
	report := w.check()
	if len(report.Findings) < 15 {
		t.Errorf("%d findings", len(report.Findings))
	}
	for _, id := range []string{"dns_caa", "dns_challenge", "tls_no_sni", "http_head", "http_phone", "http_port80", "clock"} {
		if f := find(report, id); f.ID != "" {
			t.Errorf("found %+v", f)
		}
	}
	if n := w.dns.Queries(domain, dns.TypeCAA); n != 0 {
		t.Errorf("%d queries for CAA", n)
	}
}

// No further check changes the verdict.
func TestExamineFinds(t *testing.T) {
	judging := func(bad func(http.ResponseWriter, *http.Request) bool) func(*world) http.Handler {
		return func(w *world) http.Handler {
			next := w.keyHandler(w.key.PEM())
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if !bad(rw, r) {
					next.ServeHTTP(rw, r)
				}
			})
		}
	}
	isPhone := func(r *http.Request) bool { return strings.HasPrefix(r.UserAgent(), "TeslaV4Watch/") }
	dated := func(date time.Time, age string) func(*world) http.Handler {
		return judging(func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("Date", date.UTC().Format(http.TimeFormat))
			if age != "" {
				rw.Header().Set("Age", age)
			}
			return false
		})
	}
	for _, tc := range []struct {
		name    string
		handler func(*world) http.Handler
		want    string
		seen    string
	}{
		{"HEAD refused", judging(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method == "HEAD" {
				rw.WriteHeader(http.StatusMethodNotAllowed)
			}
			return r.Method == "HEAD"
		}), "http_head warn", "status 405, GET with 200"},
		{"HEAD of another length", judging(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method == "HEAD" {
				rw.Header().Set("Content-Length", "7")
			}
			return r.Method == "HEAD"
		}), "http_head warn", "announces 7 bytes, GET 178"},
		{"HEAD cut", judging(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == "HEAD" {
				panic(http.ErrAbortHandler)
			}
			return false
		}), "http_head warn", "no answer"},
		{"phone refused", judging(func(rw http.ResponseWriter, r *http.Request) bool {
			if isPhone(r) {
				rw.WriteHeader(http.StatusBadRequest)
			}
			return isPhone(r)
		}), "http_phone fail", "status 400, a plain client 200"},
		{"phone cut", judging(func(_ http.ResponseWriter, r *http.Request) bool {
			if isPhone(r) {
				panic(http.ErrAbortHandler)
			}
			return false
		}), "http_phone fail", "no answer"},
		{"phone gets another file", judging(func(rw http.ResponseWriter, r *http.Request) bool {
			if isPhone(r) {
				_, _ = rw.Write([]byte("hello"))
			}
			return isPhone(r)
		}), "http_phone fail", "another file"},
		{"their clock is slow", dated(time.Now().Add(-time.Hour), ""), "clock warn", "ahead of"},
		{"their clock is fast", dated(time.Now().Add(time.Hour), ""), "clock warn", "behind"},
		{"an answer an hour old out of a cache", dated(time.Now().Add(-time.Hour), "3600"), "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.serve("127.0.0.2", w.cert(testca.LeafOptions{}), tc.handler(w))
			w.redirecting("127.0.0.2")
			w.dns.Set(domain, "A 127.0.0.2")
			report := w.examine()
			if tc.want == "" {
				expect(t, report, reach.Reachable, "")
				return
			}
			expect(t, report, reach.Reachable, "", strings.Replace(tc.want, " ", "@127.0.0.2 ", 1))
			id, _, _ := strings.Cut(tc.want, " ")
			if f := find(report, id); !strings.Contains(f.Seen, tc.seen) {
				t.Errorf("seen = %q, want %q in it", f.Seen, tc.seen)
			}
		})
	}
}

func TestExamineWithoutSNI(t *testing.T) {
	for name, other := range map[string]func(*world) (*tls.Config, error){
		"another certificate": func(w *world) (*tls.Config, error) { return w.cert(testca.LeafOptions{}, "other.test"), nil },
		"no certificate":      func(*world) (*tls.Config, error) { return nil, errors.New("none") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			good := w.cert(testca.LeafOptions{})
			config, refused := other(w)
			w.serve("127.0.0.2", &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if hello.ServerName == domain {
					return good, nil
				}
				return config, refused
			}}, w.keyHandler(w.key.PEM()))
			w.redirecting("127.0.0.2")
			w.dns.Set(domain, "A 127.0.0.2")
			report := w.examine()
			expect(t, report, reach.Reachable, "", "tls_no_sni@127.0.0.2 warn")
			if f := find(report, "tls_no_sni"); !strings.Contains(f.Seen, name) && !strings.Contains(f.Seen, "gets "+name) {
				t.Errorf("seen = %q, want %q in it", f.Seen, name)
			}
		})
	}
}

func TestExaminePort80(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.Handler // nil = nobody listens
		status  finding.Status
		seen    string
	}{
		"closed":                {nil, finding.Warn, "refused"},
		"redirects to us":       {http.RedirectHandler("https://KEY.example.test/x", http.StatusMovedPermanently), finding.OK, "redirects to HTTPS"},
		"redirects elsewhere":   {http.RedirectHandler("https://router.test/login", http.StatusFound), finding.Warn, `"https://router.test/login"`},
		"redirects to no https": {http.RedirectHandler("http://"+domain+"/x", http.StatusFound), finding.Warn, `"http://key.example.test/x"`},
		"answers":               {http.NotFoundHandler(), finding.OK, "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.good("127.0.0.2")
			if tc.handler != nil {
				testnet.Serve(w.t, w.listen("127.0.0.2", w.plain), nil, tc.handler)
			}
			w.dns.Set(domain, "A 127.0.0.2")
			report := w.examine()
			if f := find(report, "http_port80"); f.Status != tc.status || !strings.Contains(f.Seen, tc.seen) {
				t.Errorf("http_port80 = %+v, want %s and %q", f, tc.status, tc.seen)
			}
			if report.Verdict != reach.Reachable {
				t.Errorf("verdict = %s %s", report.Verdict, report.Reason)
			}
		})
	}
}

func TestExamineCAA(t *testing.T) {
	for _, tc := range []struct {
		name   string
		build  func(*testdns.Server)
		ca     string // in use, and after a space the fallback
		status finding.Status
		text   string // in what was seen or the fix
	}{
		{"none", func(*testdns.Server) {}, "letsencrypt.org", finding.OK, "every authority"},
		{"ours", caa(domain, `0 issue "letsencrypt.org"`), "letsencrypt.org", finding.OK, "let letsencrypt.org issue"},
		{"ours with parameters, beside another", caa(domain, `0 issue "sectigo.com"`, `0 issue "LetsEncrypt.org ; validationmethods=http-01"`), "letsencrypt.org", finding.OK, "let letsencrypt.org issue"},
		{"another's", caa(domain, `0 issue "sectigo.com"`), "letsencrypt.org", finding.Fail, `key.example.test. IN CAA 0 issue "letsencrypt.org"`},
		{"another's, on the parent", caa("example.test", `0 issue "sectigo.com"`), "letsencrypt.org", finding.Fail, `example.test. IN CAA 0 issue "letsencrypt.org"`},
		{"the closer one counts", func(s *testdns.Server) {
			caa("example.test", `0 issue "sectigo.com"`)(s)
			s.Set(domain, "A 127.0.0.2", `CAA 0 issue "letsencrypt.org"`)
		}, "letsencrypt.org", finding.OK, "let letsencrypt.org issue"},
		{"nobody", caa(domain, `0 issue ";"`), "letsencrypt.org", finding.Fail, "letsencrypt.org"},
		{"wildcards only", caa(domain, `0 issuewild "sectigo.com"`, `0 iodef "mailto:a@example.test"`), "letsencrypt.org", finding.OK, "do not limit"},
		{"a critical tag that nobody knows", caa(domain, `128 isue "letsencrypt.org"`), "letsencrypt.org", finding.Fail, `"isue"`},
		{"a tag that nobody knows", caa(domain, `0 isue "letsencrypt.org"`), "letsencrypt.org", finding.OK, "do not limit"},
		{"no CA given", caa(domain, `0 issue "sectigo.com"`), "", finding.OK, `"sectigo.com"`},
		{"both", caa(domain, `0 issue "letsencrypt.org"`, `0 issue "sectigo.com"`), "letsencrypt.org sectigo.com", finding.OK, "let letsencrypt.org and sectigo.com issue"},
		{"not the fallback's", caa(domain, `0 issue "letsencrypt.org"`), "letsencrypt.org sectigo.com", finding.Warn, `key.example.test. IN CAA 0 issue "sectigo.com"`},
		{"the fallback's only", caa(domain, `0 issue "sectigo.com"`), "letsencrypt.org sectigo.com", finding.Fail, `key.example.test. IN CAA 0 issue "letsencrypt.org"`},
		{"SERVFAIL", func(s *testdns.Server) { s.Rcode(domain, dns.RcodeServerFailure, dns.TypeCAA) }, "letsencrypt.org", finding.Unknown, "SERVFAIL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.good("127.0.0.2")
			w.redirecting("127.0.0.2")
			w.dns.Set(domain, "A 127.0.0.2")
			tc.build(w.dns)
			w.config.CA, w.config.FallbackCA, _ = strings.Cut(tc.ca, " ")
			report := w.examine()
			f := find(report, "dns_caa")
			if f.Status != tc.status || !strings.Contains(f.Seen+f.Fix, tc.text) {
				t.Errorf("dns_caa = %+v, want %s and %q", f, tc.status, tc.text)
			}
			if report.Verdict != reach.Reachable {
				t.Errorf("verdict = %s %s", report.Verdict, report.Reason)
			}
		})
	}
}

// One resolver that says nothing of CAA records takes no time from another.
func TestExamineCAAOfSilentResolver(t *testing.T) {
	w := newWorld(t)
	w.good("127.0.0.2")
	w.redirecting("127.0.0.2")
	w.dns.Set(domain, "A 127.0.0.2")
	silent, err := testdns.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	silent.Set(domain, "A 127.0.0.2")
	silent.Hang(domain, dns.TypeCAA)
	silent.Hang("example.test", dns.TypeCAA)
	silent.Hang("test", dns.TypeCAA)
	w.config.Resolvers = append(w.config.Resolvers, silent.Addr())
	if f := find(w.examine(), "dns_caa"); f.Status != finding.OK {
		t.Errorf("dns_caa = %+v, want ok", f)
	}
}

// caa gives name CAA records, and the domain its address in any case.
func caa(name string, records ...string) func(*testdns.Server) {
	return func(s *testdns.Server) {
		var all []string
		if name == domain {
			all = append(all, "A 127.0.0.2")
		}
		for _, record := range records {
			all = append(all, "CAA "+record)
		}
		s.Set(name, all...)
	}
}
