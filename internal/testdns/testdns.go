// Package testdns is a DNS server on loopback for tests and the demo. It
// answers with authority for every name: the records that were put in, NODATA
// and NXDOMAIN where they are due, and the faults that it was told to show.
package testdns

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A Server answers DNS queries over UDP and TCP on one port. It is safe for
// concurrent use.
type Server struct {
	addr    string
	servers []*dns.Server
	ended   chan error // one value a server

	mu      sync.Mutex // guards what follows
	records map[string][]dns.RR
	faults  map[question]fault
	asked   map[question]int
}

// A question is a lower-case name with a trailing dot, and a type.
type question struct {
	name string
	kind uint16
}

// A fault is what happens instead of an answer.
type fault struct {
	rcode int
	hang  bool
	cut   bool
}

// patience is how long a client over TCP may take to send its query, where many
// tests share few processors.
const patience = time.Minute

// Start listens on a free port of 127.0.0.1 and answers until Close.
func Start() (*Server, error) { return StartAt("127.0.0.1:0") }

// StartAt is Start at an address of the caller's choice.
func StartAt(addr string) (*Server, error) {
	tcp, udp, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("listening for DNS: %w", err)
	}
	s := &Server{
		addr:    tcp.Addr().String(),
		ended:   make(chan error, 2),
		records: make(map[string][]dns.RR),
		faults:  make(map[question]fault),
		asked:   make(map[question]int),
	}
	started := make(chan struct{}, 2)
	notify := func() { started <- struct{}{} }
	s.servers = []*dns.Server{
		{Listener: tcp, Handler: dns.HandlerFunc(s.serve), NotifyStartedFunc: notify, ReadTimeout: patience},
		{PacketConn: udp, Handler: dns.HandlerFunc(s.serve), NotifyStartedFunc: notify},
	}
	for _, server := range s.servers {
		go func() { s.ended <- server.ActivateAndServe() }()
	}
	for range s.servers {
		<-started
	}
	return s, nil
}

// listen binds TCP and UDP to the same port. The UDP side of a free TCP port may be
// taken, so it tries a few.
func listen(addr string) (net.Listener, net.PacketConn, error) {
	var failed error
	for range 20 {
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return tcp, udp, nil
		}
		failed = errors.Join(err, tcp.Close())
	}
	return nil, nil, failed
}

// Addr returns the address of both listeners, such as "127.0.0.1:53535".
func (s *Server) Addr() string { return s.addr }

// Close ends both listeners and waits for their goroutines.
func (s *Server) Close() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Shutdown())
	}
	for range s.servers {
		errs = append(errs, <-s.ended)
	}
	return errors.Join(errs...)
}

// Set replaces all records of name and ends its faults. Records are in zone-file
// form without the name: "A 127.0.0.1", "CNAME other.test.", `CAA 0 issue ";"`;
// a TTL may come first (default 1 s). Without records, the name exists and every
// answer is NODATA. A record that cannot be read is a mistake in the caller's
// source and panics.
func (s *Server) Set(name string, records ...string) {
	name = dns.CanonicalName(name)
	parsed := make([]dns.RR, len(records))
	for i, text := range records {
		zone := dns.NewZoneParser(newLine(name, text), ".", "")
		zone.SetDefaultTTL(1)
		record, ok := zone.Next()
		if !ok {
			panic(fmt.Sprintf("testdns: record %q of %q: %v", text, name, zone.Err()))
		}
		parsed[i] = record
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(name)
	s.records[name] = parsed
}

// Remove forgets the records and faults of name.
func (s *Server) Remove(name string) {
	name = dns.CanonicalName(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(name)
	delete(s.records, name)
}

// Rcode makes queries for name end in rcode (dns.RcodeServerFailure, ...), of
// the given types only if there are any. Set and Remove end it.
func (s *Server) Rcode(name string, rcode int, types ...uint16) {
	s.fail(name, fault{rcode: rcode}, types)
}

// Hang leaves queries for name unanswered, of the given types only if there are
// any. Set and Remove end it.
func (s *Server) Hang(name string, types ...uint16) { s.fail(name, fault{hang: true}, types) }

// Truncate leaves nothing of answers for name over UDP but the word that TCP has the
// whole, of the given types only if there are any. Set and Remove end it.
func (s *Server) Truncate(name string, types ...uint16) { s.fail(name, fault{cut: true}, types) }

// Queries returns how many queries came for name, of the given types only if
// there are any.
func (s *Server) Queries(name string, types ...uint16) int {
	name = dns.CanonicalName(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for q, n := range s.asked {
		if q.name == name && (len(types) == 0 || slices.Contains(types, q.kind)) {
			sum += n
		}
	}
	return sum
}

func (s *Server) fail(name string, f fault, types []uint16) {
	if len(types) == 0 {
		types = []uint16{dns.TypeANY}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, kind := range types {
		s.faults[question{dns.CanonicalName(name), kind}] = f
	}
}

// forget ends the faults of name. The caller holds mu.
func (s *Server) forget(name string) {
	for q := range s.faults {
		if q.name == name {
			delete(s.faults, q)
		}
	}
}
