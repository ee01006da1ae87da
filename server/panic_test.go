package server_test

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/server"
)

// fragile are certificates that panic for one name.
type fragile struct{ *certificates }

func (f fragile) TLSConfig() *tls.Config {
	config := f.certificates.TLSConfig().Clone()
	get := config.GetCertificate
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "panic.example" {
			panic("Canary7f3a")
		}
		return get(hello)
	}
	return config
}

// TestPanicBeforeARequest: the handshake is made in a goroutine of ours, where
// net/http does not contain anything. It costs one connection, which is not counted
// any more.
func TestPanicBeforeARequest(t *testing.T) {
	config, certs := configure(t)
	core, logs := observer.New(zap.DebugLevel)
	config.Logger, config.Certificates = zap.New(core), fragile{certs}
	s := start(t, config)
	const times = 3
	for range times {
		conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{ServerName: "panic.example", InsecureSkipVerify: true})
		if err == nil {
			_ = conn.Close()
			t.Error("the handshake succeeds")
		}
	}
	if open := s.Open(); open != 0 {
		t.Errorf("%d connections are counted", open)
	}
	if got := ask(t, client(t, s.HTTPSAddr(), certs, true), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
		t.Errorf("afterwards: got %+v, want the key", got)
	}
	if got := series(t, registryOf(config))["wellkey_panics_total{part=server}"]; got != times {
		t.Errorf("%v panics are counted, want %d", got, times)
	}
	for _, line := range logs.All() {
		if strings.Contains(fmt.Sprint(line.ContextMap()), "Canary7f3a") {
			t.Errorf("the log has the words of the panic: %v", line)
		}
	}
}
