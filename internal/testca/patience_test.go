package testca_test

import (
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/testca"
)

// A DNS server that takes longer than Pebble's client would wait costs no order.
func TestSlowDNS(t *testing.T) {
	t.Parallel()
	challenge := listen(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const slow = 2500 * time.Millisecond // Pebble's own client waits for 2 s
	server := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		if query.Question[0].Qtype == dns.TypeA {
			<-time.After(slow) // what is shown is that it is waited for
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(reply) // a client that has gone fails the order
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	ca, err := testca.Start(testca.Config{HTTPPort: challenge.port, DNS: listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ca.Close() })
	if _, err := obtain(t, ca, challenge, "", nil); err != nil {
		t.Error(err)
	}
}
