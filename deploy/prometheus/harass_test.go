package prometheus_test

import (
	"bufio"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"wellkey/registrar/fleetapi"
)

// harassment is how many requests harass makes. The number of series after 100000
// is that after 2000.
var harassment = flag.Int("requests", 2000, "random requests to make before the series are counted again")

// harass makes n random requests over real connections: methods, paths, hosts,
// names in the handshake and user agents are of every kind.
func (w *world) harass(n int) {
	var group sync.WaitGroup
	const workers = 8
	for worker := range workers {
		group.Go(func() {
			s := stranger{w: w, random: rand.New(rand.NewPCG(1, uint64(worker)))}
			defer s.hangUp()
			for range n / workers {
				s.ask()
			}
		})
	}
	group.Wait()
}

// A stranger asks over one connection for as long as that lasts.
type stranger struct {
	w      *world
	random *rand.Rand
	conn   net.Conn // nil: none
	in     *bufio.Reader
}

func (s *stranger) hangUp() {
	if s.conn != nil {
		_ = s.conn.Close() // it may be closed already
		s.conn = nil
	}
}

// pick returns one of the texts, or one that nobody else sends.
func (s *stranger) pick(from ...string) string {
	if i := s.random.IntN(2 * len(from)); i < len(from) {
		return from[i]
	}
	return fmt.Sprintf("x%x", s.random.Uint64())
}

// ask makes one request. That it fails, or is refused, is all right.
func (s *stranger) ask() {
	if s.conn == nil && !s.dial() {
		return
	}
	_ = s.conn.SetDeadline(time.Now().Add(patience)) // it fails where the connection has
	method := s.pick("GET", "HEAD", "POST", "OPTIONS", "get")
	path := s.pick(fleetapi.KeyPath, "/", "/.well-known/acme-challenge/x")
	_, err := fmt.Fprintf(s.conn, "%s /%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nReferer: %s\r\n\r\n",
		method, path[1:], s.pick(s.w.Domain, "evil.example"), s.pick("TeslaV4Watch/1", "wellkey/1", "Prometheus"), s.pick("https://evil.example/"))
	if err != nil {
		s.hangUp()
		return
	}
	resp, err := http.ReadResponse(s.in, &http.Request{Method: method})
	if err != nil {
		s.hangUp()
		return
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err != nil || resp.Close || s.random.IntN(20) == 0 {
		s.hangUp()
	}
}

// dial connects to either listener; over TLS half of the time with the name of
// the domain.
func (s *stranger) dial() bool {
	var err error
	if s.random.IntN(2) == 0 {
		s.conn, err = net.Dial("tcp", s.w.HTTPAddr)
	} else {
		s.conn, err = tls.Dial("tcp", s.w.HTTPSAddr, &tls.Config{ServerName: s.pick(s.w.Domain), InsecureSkipVerify: true}) // a stranger trusts everybody
	}
	if err != nil {
		s.conn = nil
		return false
	}
	s.in = bufio.NewReader(s.conn)
	return true
}
