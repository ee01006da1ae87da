package server_test

import (
	"net"
	"testing"

	"golang.org/x/net/http2"

	"wellkey/server"
)

// However few connections are held, what the process does for itself is no crowd.
func TestCrowdOfFew(t *testing.T) {
	for connections, want := range map[int]int{1: 128, 50: 128, 170: 128, 341: 210, 1024: 640} {
		if got := server.CrowdOf(connections); got != want {
			t.Errorf("%d connections: got %d, want %d", connections, got, want)
		}
	}
}

// Connections that lie on the HTTP listener make no crowd on the HTTPS listener.
func TestNoCrowdOnTheOtherPort(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	s.Crowd(50)
	const idle, asked = 100, 8
	for range idle {
		conn, err := net.Dial("tcp", s.HTTPAddr())
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	await(t, "that they are held", func() bool {
		return series(t, registryOf(config))[`wellkey_connections{listener=http}`] == idle
	})
	f := frame(t, s, certs, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}) // no answer gets to its end
	for n := range uint32(asked) {
		must(t, f.ask(2*n+1))
	}
	for answered := 0; answered < asked; {
		got, err := f.ReadFrame()
		must(t, err)
		switch got.(type) {
		case *http2.HeadersFrame:
			answered++
		case *http2.RSTStreamFrame:
			t.Fatalf("a request was turned away after %d answers", answered)
		}
	}
}
