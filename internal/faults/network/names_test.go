package network_test

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testnetns"
)

// TestLyingResolver: the resolver that is asked says what is not true, or nothing
// that can be used. The finding names what it says, with the resolver or the address;
// nothing is sent to an address that is not public; and wellkey goes on serving.
func TestLyingResolver(t *testing.T) {
	t.Parallel()
	private := func(ip, what string) lie {
		return lie{
			tell: func(w *world) { w.names.Set(domain, "A "+ip) },
			id:   "dns_public", on: ip, status: finding.Fail,
			seen: ip + " is not a public address: it is " + what, never: true,
		}
	}
	for name, l := range map[string]lie{
		"a private address":     private("192.168.1.20", "private (RFC 1918)"),
		"an address of a CGNAT": private("100.64.0.7", ""),
		"the cloud's metadata":  private("169.254.169.254", ""),
		"loopback":              private("127.0.0.1", "loopback"),
		"the name does not exist": {
			tell: func(w *world) { w.names.Remove(domain) },
			id:   "dns_resolves", status: finding.Fail, seen: "The name " + domain + " does not exist (NXDOMAIN)",
		},
		"SERVFAIL": {
			tell: func(w *world) { w.names.Rcode(domain, dns.RcodeServerFailure) },
			id:   "dns_resolves", status: finding.Unknown, seen: "RESOLVER: it answered SERVFAIL",
		},
		"never an answer": {
			tell: func(w *world) { w.names.Hang(domain) },
			id:   "dns_resolves", status: finding.Unknown, seen: "RESOLVER: it did not answer in time",
		},
		"another host": {
			tell: func(w *world) { w.names.Set(domain, "A "+w.stranger()) },
			id:   "tls_name", on: "STRANGER", status: finding.Fail, seen: "other.example.net",
		},
		"the answer is cut, and TCP has the whole": {
			tell: func(w *world) { w.names.Truncate(domain) },
			id:   "dns_resolves", status: finding.OK, seen: domain + " resolves to ",
		},
		"the answer is cut, and TCP is blocked": {
			tell: func(w *world) {
				w.names.Truncate(domain)
				w.Set(testnetns.Without(func(p testnetns.Packet) bool {
					return p.Protocol == unix.IPPROTO_TCP && p.To.Port() == 53
				}))
			},
			id: "dns_resolves", status: finding.Unknown, seen: "RESOLVER: its answer was too long for UDP, and over TCP it did not answer in time",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, atHere)
			w.serveAt(here, w.Here.IPv4.String()) // so that there is room for another host
			l.tell(w)
			l.check(w)
		})
	}
}

// A lie is what a resolver says, and what is found.
type lie struct {
	tell   func(*world)
	id, on string // of the finding; STRANGER is the other host
	status finding.Status
	seen   string // part of it; RESOLVER is the resolver
	never  bool   // no packet may go to the address of the finding
}

func (l lie) check(w *world) {
	w.t.Helper()
	var ip netip.Addr
	switch l.on {
	case "":
	case "STRANGER":
		ip = w.other
	default:
		ip = netip.MustParseAddr(l.on)
	}
	if l.never {
		w.Set(testnetns.Without(func(p testnetns.Packet) bool {
			if p.To.Addr() == ip {
				w.t.Errorf("a packet goes to %s", p.To)
			}
			return false
		}))
	}
	r := w.doctor()
	f := find(w.t, r, l.id, ip)
	if f.Status != l.status || !strings.Contains(f.Seen, strings.ReplaceAll(l.seen, "RESOLVER", w.names.Addr())) {
		w.t.Errorf("%+v\n%s", f, write(r))
	}
	if l.status == finding.OK && r.Outcome != doctor.Well {
		w.t.Errorf("all is well, and the doctor says %q: %v", r.Verdict, troubled(r))
	}
	if l.status != finding.OK && (r.First == nil || r.First.ID != l.id || f.Cause == "" || f.Fix == "") {
		w.t.Errorf("the doctor begins with %+v", r.First)
	}
}

// stranger starts a host at another address, with a certificate for another name, and
// returns that address.
func (w *world) stranger() string {
	w.t.Helper()
	w.other = w.There.IPv4.Next()
	w.RunHere("ip", "address", "add", w.other.String(), "dev", "lo")
	leaf, err := w.Signer.Issue(testca.LeafOptions{}, "other.example.net")
	must(w.t, err)
	l, err := tls.Listen("tcp", net.JoinHostPort(w.other.String(), portOf(w.HTTPSAddr)), &tls.Config{Certificates: []tls.Certificate{leaf.Certificate}})
	must(w.t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).HandshakeContext(w.t.Context()) // who does not like the certificate goes
			_ = conn.Close()
		}
	}()
	w.t.Cleanup(func() { must(w.t, l.Close()); <-ended })
	return w.other.String()
}

// TestOneResolverLies: of two resolvers, one gives the address of another host. The
// finding names that resolver and what it says.
func TestOneResolverLies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, atHere)
	w.serveAt(here, w.Here.IPv4.String())
	lies, err := testdns.StartAt(net.JoinHostPort(w.Here.IPv4.String(), "5353"))
	must(t, err)
	t.Cleanup(func() { must(t, lies.Close()) })
	lies.Set(domain, "A "+w.stranger())
	liar := lies.Addr()
	r := w.doctor("PROBE_RESOLVERS=" + strings.Join([]string{w.names.Addr(), liar}, ","))
	f := find(t, r, "dns_agree", netip.Addr{})
	if f.Status != finding.Warn || !strings.Contains(f.Seen, liar+" says "+w.other.String()) || !strings.Contains(f.Seen, w.names.Addr()+" says "+w.Here.IPv4.String()) {
		t.Errorf("%+v\n%s", f, write(r))
	}
	if !slices.Contains(troubled(r), "tls_name") {
		t.Errorf("the other host is no trouble:\n%s", write(r))
	}
}
