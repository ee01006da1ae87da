package upstream_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"wellkey/server/peer"
	"wellkey/server/upstream"
)

// origin is that of a request from an address.
func origin(address string) peer.Origin { return peer.Origin{Client: netip.MustParseAddr(address)} }

// No client has all of the application, and whoever gives a place back makes room for another.
func TestRequestsOfOneClient(t *testing.T) {
	const most, each = 16, 8
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: "127.0.0.1:1", Requests: most, PerClient: each})
	must(t, err)
	defer p.Close()
	one, other := origin("198.51.100.1").Who(), origin("198.51.100.2").Who()
	var leave []func()
	enter := func(client netip.Prefix, want string) {
		t.Helper()
		left, refused := p.Enter(client)
		if refused != want {
			t.Fatalf("%v, when %d are there: got %q, want %q", client, len(leave), refused, want)
		}
		if refused == "" {
			leave = append(leave, left)
		}
	}
	for range each {
		enter(one, "")
	}
	enter(one, "client")
	enter(other, "")
	leave[0]()
	enter(one, "")
	enter(one, "client")
	for len(leave) <= most {
		enter(netip.Prefix{}, "") // a private address, behind which many may stand
	}
	enter(netip.Prefix{}, "total")
	enter(other, "total")
	for _, left := range leave[1:] {
		left()
	}
	leave = nil
	for range each {
		enter(other, "")
	}
	for _, left := range leave {
		left()
	}
}

// A request that is one too many has an answer without a body, which nobody can leave
// lying, and the connection of one with a body ends.
func TestTooManyRequests(t *testing.T) {
	registry := prometheus.NewRegistry()
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: "127.0.0.1:1", Requests: 1, Registerer: registry})
	must(t, err)
	defer p.Close()
	leave, refused := p.Enter(netip.Prefix{})
	if refused != "" {
		t.Fatal(refused)
	}
	for method, want := range map[string]string{http.MethodGet: "", http.MethodPost: "close"} {
		request := httptest.NewRequest(method, "/", nil)
		if method == http.MethodPost {
			request.ContentLength = 1
		}
		w := httptest.NewRecorder()
		if code := p.Serve(w, request, origin("198.51.100.1"), "http"); code != 503 || w.Code != 503 || w.Body.Len() > 0 || w.Header().Get("Retry-After") != "1" || w.Header().Get("Connection") != want {
			t.Errorf("%s: got %d, %v and %q", method, code, w.Header(), w.Body)
		}
	}
	leave()
	if code := p.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), origin("198.51.100.1"), "http"); code != 502 {
		t.Errorf("when there is room again: got %d, want 502, since there is no application", code)
	}
	for range 8 {
		leave, refused := p.Enter(netip.Prefix{})
		if refused != "" {
			t.Fatal(refused)
		}
		leave()
	}
	if n, err := testutil.GatherAndCount(registry, "wellkey_upstream_rejected_total"); n != 2 || err != nil {
		t.Errorf("%d reasons, %v", n, err)
	}
}

// Of one client too many are told that it is they.
func TestTooManyOfOneClient(t *testing.T) {
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: "127.0.0.1:1", PerClient: 8})
	must(t, err)
	defer p.Close()
	from := origin("2001:db8::1")
	for range 8 {
		leave, _ := p.Enter(from.Who())
		defer leave()
	}
	w := httptest.NewRecorder()
	if code := p.Serve(w, httptest.NewRequest("GET", "/", nil), origin("2001:db8::2"), "http"); code != 429 || w.Body.Len() > 0 {
		t.Errorf("another address of the same customer: got %d, %q", code, w.Body)
	}
	if code := p.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), origin("2001:db8:0:1::1"), "http"); code != 502 {
		t.Errorf("another customer: got %d, want 502", code)
	}
}
