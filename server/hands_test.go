package server_test

import (
	"bufio"
	"crypto/tls"
	"net"
	"testing"

	"wellkey/server"
)

// TestHandsAreKept: who made a handshake waits for the next connection and makes that,
// and of many who made some at a time only a few wait.
func TestHandsAreKept(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := newServer(t, config)
	s.SetPatience(patience)
	run(t, s)
	for range 5 {
		visitor := speak(t, s, certs)
		visitor.say(keyRequest)
		visitor.hears(200)
		await(t, "somebody who waits", func() bool { return s.IdleHands() == 1 })
	}
	var all []*spoken
	before := s.Open()
	for range 2 * server.MostIdle { // they say nothing yet, so each has somebody
		raw, err := net.Dial("tcp", s.HTTPSAddr())
		must(t, err)
		t.Cleanup(func() { _ = raw.Close() })
		conn := tls.Client(raw, &tls.Config{RootCAs: certs.roots, ServerName: domain})
		all = append(all, &spoken{conn, t, bufio.NewReader(conn)})
	}
	await(t, "everybody at work", func() bool { return s.Open() == before+2*server.MostIdle && s.IdleHands() == 0 })
	for _, one := range all {
		must(t, one.Handshake())
		one.say(keyRequest)
		one.hears(200)
	}
	await(t, "some who wait", func() bool { return s.IdleHands() == server.MostIdle })
}
