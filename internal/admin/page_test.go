package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"wellkey/internal/admin"
	"wellkey/server/certs"
	"wellkey/server/trouble"
)

type certStatus = certs.Status

const likeABrowser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

// TestAuthorities: where there are two, the page tells which one fails, and when
// the other has its turn.
func TestAuthorities(t *testing.T) {
	w := newWorld(t, domain)
	certificate(func(c *certs.Status) {
		c.NotAfter, c.LastError, c.FallbackAt = noon.Add(20*24*time.Hour), failed(certs.ReasonServer), noon.Add(21*time.Hour)
		c.Authorities = []certs.Authority{{Role: certs.Primary, Name: "letsencrypt", FailingSince: noon.Add(-3 * time.Hour)}, {Role: certs.Fallback, Name: "zerossl"}}
	})(t, w)
	_, page := ask(t, w.admin(t).Handler(), "/status", "Accept", likeABrowser)
	for _, want := range []string{"First authority fails since", "letsencrypt", "Fallback authority is asked", "zerossl", "wellkey asks the fallback authority for a certificate."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// TestForm shows who is given the page, and who JSON.
func TestForm(t *testing.T) {
	h := newWorld(t, domain).admin(t).Handler()
	for _, test := range []struct{ query, accept, want string }{
		{"", likeABrowser, "text/html; charset=utf-8"},
		{"", "", "application/json"},
		{"", "*/*", "application/json"},
		{"", "application/json", "application/json"},
		{"", "text/html;q=0.5, application/json", "application/json"},
		{"", "application/json;q=0.5, TEXT/*", "text/html; charset=utf-8"},
		{"", "*/*;q=0.1, text/html;q=0", "application/json"},
		{"", "text/html;q=nonsense", "application/json"},
		{"?format=json", likeABrowser, "application/json"},
		{"?format=html", "*/*", "text/html; charset=utf-8"},
		{"?format=other", likeABrowser, "text/html; charset=utf-8"},
	} {
		resp, _ := ask(t, h, "/status"+test.query, "Accept", test.accept)
		if got := resp.Header.Get("Content-Type"); got != test.want || resp.StatusCode != 200 {
			t.Errorf("%q with Accept %q is answered with %d, %q; want %q", test.query, test.accept, resp.StatusCode, got, test.want)
		}
		if got := resp.Header.Get("Vary") + ", " + resp.Header.Get("Cache-Control"); got != "Accept, no-store" {
			t.Errorf("%q is answered with Vary and Cache-Control %q", test.query, got)
		}
	}
}

func TestRoutes(t *testing.T) {
	h := newWorld(t, domain).admin(t).Handler()
	for path, want := range map[string]string{
		"/": "302 status", "/status": "200 ", "/metrics": "200 ", "/healthz": "200 ", "/readyz": "200 ", "/icon.svg": "200 ", "/else": "404 ", "/status/": "404 ",
	} {
		resp, _ := ask(t, h, path)
		if got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Location")); got != want {
			t.Errorf("GET %s is answered with %q, want %q", path, got, want)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("GET %s is answered without its guards: %v", path, resp.Header)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		r := httptest.NewRequest(method, "/status", nil)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s /status is answered with %d", method, w.Code)
		}
	}
}

func TestPageHeaders(t *testing.T) {
	resp, _ := ask(t, newWorld(t, domain).admin(t).Handler(), "/status?format=html")
	policy := resp.Header.Get("Content-Security-Policy")
	if !regexp.MustCompile(`^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'$`).MatchString(policy) {
		t.Errorf("the policy is %q", policy)
	}
	for name, want := range map[string]string{"Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestBadSites tells of sites that cannot be hosted, escaped, and in order.
func TestBadSites(t *testing.T) {
	w := manySites(t)
	w.bad = map[string]error{"b.example.com": errors.New("no <b>region</b>"), "a.example.com": errors.New("no key")}
	a := w.admin(t)
	if bad := a.Status().BadSites; len(bad) != 2 || bad[0] != (admin.BadSite{Name: "a.example.com", Error: "no key"}) {
		t.Errorf("bad sites are %+v", bad)
	}
	_, page := ask(t, a.Handler(), "/status?format=html")
	if !strings.Contains(page, "Sites that cannot be hosted as the settings say") || !strings.Contains(page, "no &lt;b&gt;region&lt;/b&gt;") {
		t.Errorf("the page says nothing of them:\n%s", page)
	}
}

// TestPassedOfMany tells of several sites once that a target of passthrough is down,
// and not at each of them.
func TestPassedOfMany(t *testing.T) {
	w := manySites(t)
	passedDown(t, w)
	a := w.admin(t)
	status := a.Status()
	if troubles := status.TroublesBehind(); len(troubles) != 1 || troubles[0].ID != "passthrough_telemetry.example.com" {
		t.Errorf("the troubles are %+v", troubles)
	}
	for _, c := range status.Sites[0].Checklist {
		if strings.HasPrefix(c.ID, "passthrough") {
			t.Errorf("the checklist of one site has %+v", c)
		}
	}
	for _, query := range []string{"", "&domain=site017.example.net", "&q=nothing-like-it"} {
		_, page := ask(t, a.Handler(), "/status?format=html"+query)
		if n := strings.Count(page, "fleet-telemetry:443 could not be reached"); n != 1 {
			t.Errorf("%q: the page tells it %d times", query, n)
		}
	}
	w.passed[0].Trouble = trouble.Trouble{}
	if _, page := ask(t, a.Handler(), "/status?format=html"); strings.Contains(page, "Servers behind wellkey") {
		t.Error("the page tells of what is over")
	}
}

// TestChoice chooses among many sites, for programs as for people.
func TestChoice(t *testing.T) {
	h := manySites(t).admin(t).Handler()
	for _, test := range []struct {
		query string
		code  int
		count int
		first string
	}{
		{"", 200, 240, "site000.example.net"},
		{"?domain=site017.example.net", 200, 1, "site017.example.net"},
		{"?domain=SITE017.example.net", 200, 1, "site017.example.net"},
		{"?domain=other.example", 404, 0, ""},
		{"?q=site23", 200, 10, "site230.example.net"},
		{"?q=nothing", 200, 0, ""},
		{"?state=action", 200, 2, "site017.example.net"},
		{"?state=waiting", 200, 1, "site101.example.net"},
		{"?state=unavailable", 200, 1, "site101.example.net"},
		{"?state=registered", 200, 240, "site000.example.net"},
		{"?state=nonsense", 200, 0, ""},
		{"?state=action&q=17", 200, 1, "site017.example.net"},
		{"?page=2", 200, 240, "site000.example.net"},
	} {
		resp, body := ask(t, h, "/status"+test.query)
		var s admin.Status
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != test.code || len(s.Sites) != test.count || test.count > 0 && s.Sites[0].Domain != test.first {
			t.Errorf("%s gives %d and %d sites", test.query, resp.StatusCode, len(s.Sites))
		}
	}
}

// TestListTexts reads the one sentence about many sites, and what happens at the
// ends of the list.
func TestListTexts(t *testing.T) {
	many := manySites(t).admin(t).Handler()
	fine := newWorld(t, "a.example", "b.example").admin(t).Handler()
	warned := newWorld(t, "a.example", "b.example")
	warned.sites[1].Regions[0].AnsweredAt = noon.AddDate(0, 0, -5)
	for _, test := range []struct {
		handler http.Handler
		query   string
		want    string
	}{
		{fine, "", "All is well with 2 domains."},
		{fine, "?q=a.", "1 domain found; all is well with them."},
		{fine, "?page=9", "All is well with 2 domains."},
		{warned.admin(t).Handler(), "", "1 of 2 domains ask for a look; nothing is broken."},
		{many, "?q=site101", "1 of 1 domain found are on their way; there is nothing for you to do."},
		{many, "?q=nothing", "No domain fits the filter."},
		{many, "?domain=other.example", "other.example</code> is not hosted here."},
		{newWorld(t).admin(t).Handler(), "", "No domain is configured yet."},
	} {
		_, body := ask(t, test.handler, "/status"+test.query, "Accept", likeABrowser)
		if !strings.Contains(body, test.want) {
			t.Errorf("%s does not say %q:\n%s", test.query, test.want, body)
		}
	}
}

// TestPairing shows when the pairing link is given, and what is said instead.
func TestPairing(t *testing.T) {
	const link, code = `href="https://tesla.com/_ak/keys.example.com"`, `aria-label="QR code of https://tesla.com/_ak/keys.example.com"`
	for _, test := range []struct {
		name         string
		change       func(testing.TB, *world)
		want, absent []string
	}{
		{"registered", func(testing.TB, *world) {}, []string{link, code, "An owner scans the code"}, []string{"stand here as soon"}},
		{"in one region", refused, []string{link, "stand here as soon", "It works already for owners in North America and Asia-Pacific:"}, []string{code}},
		{"in none", withoutCredentials, []string{"stand here as soon"}, []string{link, code, "already"}},
		{"expired", certificate(func(c *certStatus) { c.NotAfter = noon.AddDate(0, 0, -1) }), []string{"no car should be paired now"}, []string{link, code}},
		{"in one region, but blocked", blocked, []string{"stand here as soon"}, []string{link, code}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, domain)
			test.change(t, w)
			_, body := ask(t, w.admin(t).Handler(), "/status?format=html")
			for _, want := range test.want {
				if !strings.Contains(body, want) {
					t.Errorf("the page does not hold %s", want)
				}
			}
			for _, absent := range test.absent {
				if strings.Contains(body, absent) {
					t.Errorf("the page holds %s", absent)
				}
			}
		})
	}
}

// TestFetchesOfMany says that fetches are not counted by domain.
func TestFetchesOfMany(t *testing.T) {
	for _, test := range []struct {
		w     *world
		query string
		want  bool
	}{{newWorld(t, "a.example"), "", false}, {newWorld(t, "a.example", "b.example"), "?domain=a.example", true}} {
		_, body := ask(t, test.w.admin(t).Handler(), "/status"+test.query, "Accept", likeABrowser)
		if strings.Contains(body, "all domains together") != test.want {
			t.Errorf("%q: whether the page says that the fetches are of all domains is not %v", test.query, test.want)
		}
	}
}

// TestHostileText shows that no text becomes markup, plays with the terminal or
// the direction of text, or floods the page.
func TestHostileText(t *testing.T) {
	w := newWorld(t, domain)
	hostile(t, w)
	h := w.admin(t).Handler()
	_, body := ask(t, h, "/status?format=html")
	for _, bad := range []string{"<script", "<img", "onerror=\"", "</p></p>"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	if i := strings.IndexFunc(body, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) }); i >= 0 {
		t.Errorf("the page holds a control character: %q", body[i:min(i+20, len(body))])
	}
	if !strings.Contains(body, "&lt;script&gt;") || !strings.Contains(body, "{{.Style}}") || !utf8.ValidString(body) {
		t.Error("the page does not show the texts as they are")
	}
	if len(body) > 80_000 {
		t.Errorf("the page has %d bytes", len(body))
	}
	if _, body := ask(t, h, "/status"); !json.Valid([]byte(body)) || strings.Contains(body, "<script") {
		t.Error("the JSON is broken, or could become markup")
	}
	if _, body := ask(t, h, "/status?format=html&domain=%3Cscript%3E%00"); strings.Contains(body, "<script") || strings.Contains(body, "\x00") {
		t.Errorf("the page of an unknown domain repeats it as it came: %s", body)
	}
}

// TestGuard shows who is refused: pages of others, and names of others over loopback.
func TestGuard(t *testing.T) {
	h := newWorld(t, domain).admin(t).Handler()
	loopback, lan := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9090}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 9090}
	for _, test := range []struct {
		name             string
		over             net.Addr
		host             string
		site, mode, dest string
		want             int
	}{
		{"curl", loopback, "127.0.0.1:9090", "", "", "", 200},
		{"curl with IPv6", loopback, "[::1]:9090", "", "", "", 200},
		{"tunnel", loopback, "localhost:8000", "", "", "", 200},
		{"name of the browser's own", loopback, "wellkey.localhost", "", "", "", 200},
		{"container", loopback, "wellkey:9090", "", "", "", 200},
		{"rebound name", loopback, "evil.example:9090", "", "", "", 403},
		{"rebound name, trailing dot", loopback, "evil.example.", "", "", "", 403},
		{"rebound name that looks local", loopback, "localhost.evil.example", "", "", "", 403},
		{"name of the LAN", lan, "wellkey.lan:9090", "", "", "", 200},
		{"address bar", loopback, "localhost:9090", "none", "navigate", "document", 200},
		{"link elsewhere", loopback, "localhost:9090", "cross-site", "navigate", "document", 200},
		{"own filter", loopback, "localhost:9090", "same-origin", "navigate", "document", 200},
		{"script elsewhere", lan, "wellkey.lan", "cross-site", "no-cors", "script", 403},
		{"fetch elsewhere", lan, "wellkey.lan", "cross-site", "cors", "empty", 403},
		{"frame elsewhere", loopback, "localhost:9090", "cross-site", "navigate", "iframe", 403},
		{"sister domain", lan, "wellkey.lan", "same-site", "no-cors", "image", 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/status", nil)
			r = r.WithContext(contextWith(r, test.over))
			r.Host = test.host
			for name, value := range map[string]string{"Sec-Fetch-Site": test.site, "Sec-Fetch-Mode": test.mode, "Sec-Fetch-Dest": test.dest} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("answered %d, want %d: %.200s", w.Code, test.want, w.Body)
			}
			if test.want == 403 && !strings.HasPrefix(w.Body.String(), "refused: ") {
				t.Errorf("refused with %q", w.Body)
			}
		})
	}
}

func contextWith(r *http.Request, local net.Addr) context.Context {
	return context.WithValue(r.Context(), http.LocalAddrContextKey, local)
}
