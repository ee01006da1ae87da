package admin_test

import (
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// ingress serves h below a path, as Home Assistant's Supervisor does: it reaches the
// listener at its address in the network of the containers, and leaves the Host of
// the browser, and all else of the request, as it is.
func ingress(t *testing.T, h http.Handler, prefix string) *httptest.Server {
	t.Helper()
	inside := &net.TCPAddr{IP: net.IPv4(172, 30, 33, 5), Port: 9090}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, inside)))
	}))
	t.Cleanup(app.Close)
	target, err := url.Parse(app.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.Out.Header.Set("X-Ingress-Path", prefix)
	}}
	front := httptest.NewServer(http.StripPrefix(prefix, proxy))
	t.Cleanup(front.Close)
	return front
}

// Below a path of somebody else's, every link of the page leads to a page, and none
// leads out of that path.
func TestBelowAPath(t *testing.T) {
	const prefix = "/api/hassio_ingress/Zm9yLXRlc3Rz"
	link := regexp.MustCompile(`(?:href|src|action)="([^"#]+)`)
	for _, domains := range [][]string{{domain}, {domain, "other.example.com"}} {
		front := ingress(t, newWorld(t, domains...).admin(t).Handler(), prefix)
		todo, seen := []string{front.URL + prefix + "/"}, map[string]bool{}
		for len(todo) > 0 {
			page := todo[0]
			todo = todo[1:]
			if seen[page] {
				continue
			}
			seen[page] = true
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "homeassistant.local:8123"
			r.Header.Set("Accept", likeABrowser)
			r.Header.Set("Sec-Fetch-Site", "same-origin") // of the frame
			r.Header.Set("Sec-Fetch-Mode", "navigate")
			r.Header.Set("Sec-Fetch-Dest", "iframe")
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close() // read whole, or not
			if err != nil {
				t.Fatal(err)
			}
			found := []string{resp.Header.Get("Location")}
			if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
				for _, m := range link.FindAllStringSubmatch(string(body), -1) {
					found = append(found, html.UnescapeString(m[1]))
				}
			}
			if resp.StatusCode != http.StatusOK && (resp.StatusCode != http.StatusFound || found[0] == "") {
				t.Errorf("%s is answered with %d %s", page, resp.StatusCode, body)
			}
			for _, to := range found {
				next, err := r.URL.Parse(to)
				if err != nil {
					t.Fatal(err)
				}
				if to == "" || strings.Contains(to, "://") { // Tesla
					continue
				}
				if !strings.HasPrefix(next.Path, prefix+"/") {
					t.Errorf("%s leads to %q, which is not below %s", page, to, prefix)
					continue
				}
				next.Fragment = ""
				todo = append(todo, next.String())
			}
		}
		if len(seen) < 5 {
			t.Errorf("only %v were found", seen)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
}
