package peer_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"wellkey/server/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var trusted = peer.Trusted{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestOrigin(t *testing.T) {
	for _, tc := range []struct {
		name, remote string
		xff, fwd     []string
		want         string // the field to send on
		trusted      bool
	}{
		{"stranger", "192.0.2.1:1", nil, nil, "192.0.2.1", false},
		{"stranger who pretends", "192.0.2.1:1", []string{"198.51.100.1"}, []string{"for=198.51.100.1"}, "192.0.2.1", false},
		{"stranger who pretends to be a proxy", "192.0.2.1:1", []string{"10.0.0.1, 10.0.0.2"}, nil, "192.0.2.1", false},
		{"stranger, mapped", "[::ffff:192.0.2.1]:1", []string{"198.51.100.1"}, nil, "192.0.2.1", false},
		{"proxy itself", "10.0.0.2:1", nil, nil, "10.0.0.2", true},
		{"proxy, mapped", "[::ffff:10.0.0.2]:1", []string{"192.0.2.1"}, nil, "192.0.2.1, 10.0.0.2", true},
		{"through a proxy", "10.0.0.2:1", []string{"192.0.2.1"}, nil, "192.0.2.1, 10.0.0.2", true},
		{"client who pretends", "10.0.0.2:1", []string{"198.51.100.1, 192.0.2.1"}, nil, "192.0.2.1, 10.0.0.2", true},
		{"client who pretends to be behind a proxy", "10.0.0.2:1", []string{"198.51.100.1, 10.0.0.9, 192.0.2.1"}, nil, "192.0.2.1, 10.0.0.2", true},
		{"several lines", "10.0.0.2:1", []string{"198.51.100.1", "192.0.2.1", "10.0.0.3"}, nil, "192.0.2.1, 10.0.0.3, 10.0.0.2", true},
		{"through three proxies", "10.0.0.2:1", []string{"192.0.2.1, 10.0.0.4,\t10.0.0.3"}, nil, "192.0.2.1, 10.0.0.4, 10.0.0.3, 10.0.0.2", true},
		{"all are proxies", "10.0.0.2:1", []string{"10.0.0.4, 10.0.0.3"}, nil, "10.0.0.4, 10.0.0.3, 10.0.0.2", true},
		{"with ports", "10.0.0.2:1", []string{"192.0.2.1:4711, [fd00::1]:4711"}, nil, "192.0.2.1, fd00::1, 10.0.0.2", true},
		{"IPv6", "[fd00::2]:1", []string{"2001:db8::1"}, nil, "2001:db8::1, fd00::2", true},
		{"IPv6 in brackets", "[fd00::2]:1", []string{"[2001:db8::1]"}, nil, "2001:db8::1, fd00::2", true},
		{"junk at the end", "10.0.0.2:1", []string{"192.0.2.1, unknown"}, nil, "10.0.0.2", true},
		{"junk in the middle", "10.0.0.2:1", []string{"192.0.2.1, x, 10.0.0.3"}, nil, "10.0.0.3, 10.0.0.2", true},
		{"empty", "10.0.0.2:1", []string{""}, nil, "10.0.0.2", true},
		{"forwarded", "10.0.0.2:1", nil, []string{`for=192.0.2.1;proto=https;by=10.0.0.2`}, "192.0.2.1, 10.0.0.2", true},
		{"forwarded, several", "10.0.0.2:1", nil, []string{`For="[2001:db8::1]:4711", proto=https;for=10.0.0.3`, `for="10.0.0.4:1"`}, "2001:db8::1, 10.0.0.3, 10.0.0.4, 10.0.0.2", true},
		{"forwarded, client who pretends", "10.0.0.2:1", nil, []string{`for=198.51.100.1`, `for=192.0.2.1`}, "192.0.2.1, 10.0.0.2", true},
		{"forwarded, quotes as cover", "10.0.0.2:1", nil, []string{`for="a, for=198.51.100.1`, `for=192.0.2.1`}, "192.0.2.1, 10.0.0.2", true},
		{"forwarded, quotes that stay open", "10.0.0.2:1", nil, []string{`for=198.51.100.1;x=", for=192.0.2.1`}, "10.0.0.2", true},
		{"forwarded, hidden", "10.0.0.2:1", nil, []string{`for=192.0.2.1, for=_hidden`}, "10.0.0.2", true},
		{"forwarded without for", "10.0.0.2:1", nil, []string{`for=192.0.2.1, proto=https`}, "10.0.0.2", true},
		{"both agree", "10.0.0.2:1", []string{"192.0.2.1"}, []string{"for=192.0.2.1"}, "192.0.2.1, 10.0.0.2", true},
		{"both disagree", "10.0.0.2:1", []string{"192.0.2.1"}, []string{"for=198.51.100.1"}, "10.0.0.2", true},
		{"no address", "@", []string{"192.0.2.1"}, nil, "unknown", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := trusted.Origin(tc.remote, http.Header{"X-Forwarded-For": tc.xff, "Forwarded": tc.fwd})
			if got.For() != tc.want || got.Trusted != tc.trusted {
				t.Errorf("got %q, trusted %v; want %q, %v", got.For(), got.Trusted, tc.want, tc.trusted)
			}
		})
	}
}

// Whatever a stranger sends, it is its own address that counts; and through a
// trusted proxy, that which the proxy wrote.
func FuzzOrigin(f *testing.F) {
	f.Add("198.51.100.1", `for="x\", y`)
	f.Add("10.0.0.1", `for=198.51.100.1;x="\`)
	f.Add("", `for=198.51.100.1;x="\\"`)
	f.Add("", `for=198.51.100.1;\"`)
	f.Fuzz(func(t *testing.T, xff, fwd string) {
		if strings.ContainsAny(xff+fwd, "\r\n") {
			return
		}
		stranger := trusted.Origin("192.0.2.1:1", http.Header{"X-Forwarded-For": {xff}, "Forwarded": {fwd}})
		if stranger.Client != netip.MustParseAddr("192.0.2.1") || stranger.Trusted || stranger.Via != nil {
			t.Fatalf("got %+v", stranger)
		}
		for _, h := range []http.Header{
			{"X-Forwarded-For": {xff, "192.0.2.1"}},
			{"X-Forwarded-For": {xff + ", 192.0.2.1"}},
			{"Forwarded": {fwd, "for=192.0.2.1"}},
			{"Forwarded": {fwd + ", for=192.0.2.1"}},
			{"X-Forwarded-For": {xff, "192.0.2.1"}, "Forwarded": {fwd}},
		} {
			got := trusted.Origin("10.0.0.2:1", h)
			if client := got.Client.String(); client != "192.0.2.1" && client != "10.0.0.2" {
				t.Fatalf("%q: got %+v", h, got)
			}
		}
	})
}
