package certs_test

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/caddyserver/certmagic"

	"wellkey/server/certs"
)

// TestMissing: a name that nobody added is told of, and may be added before the
// visitor is refused.
func TestMissing(t *testing.T) {
	t.Parallel()
	var m *certs.Manager
	var told []string
	m, err := certs.New(certs.Config{Storage: &certmagic.FileStorage{Path: t.TempDir()}, TLSAddr: func() string { return "" }, Missing: func(name string) {
		told = append(told, name)
		if name == "late.example.com" {
			m.Add(name)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Late.example.com", "late.example.com", "none.example.com"} {
		server, client := net.Pipe()
		go func() {
			_ = tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
			_ = client.Close()
		}()
		if err := tls.Server(server, m.TLSConfig()).Handshake(); err == nil {
			t.Errorf("%s has a certificate", name)
		}
		_ = server.Close() // as above: what comes of it is not looked at
	}
	if len(told) != 2 || told[0] != "late.example.com" || told[1] != "none.example.com" {
		t.Errorf("told of %q", told)
	}
}
