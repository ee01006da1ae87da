package server_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
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

// TestPanicBeforeAnAnswer: what chooses the answer may panic, too. It costs one request,
// is counted, and its words are kept out of the log at any level.
func TestPanicBeforeAnAnswer(t *testing.T) {
	config, certs := configure(t)
	core, logs := observer.New(zap.DebugLevel)
	config.Logger = zap.New(core)
	config.Ours = func(host string) bool {
		if host == "panic.example" {
			panic("Canary7f3a")
		}
		return host == domain
	}
	s := start(t, config)
	times := 0
	for _, http2 := range []bool{false, true} {
		c := client(t, s.HTTPSAddr(), certs, http2)
		for range 2 {
			request, err := http.NewRequest(http.MethodGet, "https://"+domain+server.KeyPath, nil)
			must(t, err)
			request.Host = "panic.example"
			if response, err := c.Do(request); err == nil {
				_ = response.Body.Close()
				t.Errorf("HTTP/2 %v: got %s, want no answer", http2, response.Status)
			}
			times++
		}
		if got := ask(t, c, "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
			t.Errorf("HTTP/2 %v: afterwards: got %+v, want the key", http2, got)
		}
	}
	if got := series(t, registryOf(config))["wellkey_panics_total{part=server}"]; got != float64(times) {
		t.Errorf("%v panics are counted, want %d", got, times)
	}
	told := 0
	for _, line := range logs.All() {
		if strings.Contains(fmt.Sprint(line.Message, line.ContextMap()), "Canary7f3a") {
			t.Errorf("the log has the words of the panic: %v", line)
		}
		if strings.Contains(line.Message, "panicked") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the log tells of it %d times in a minute", told)
	}
}

// TestPanicWithinNetHTTP: of a panic that net/http contains, such as that of a
// connection that it reads, the log has the place and not the words.
func TestPanicWithinNetHTTP(t *testing.T) {
	for _, line := range []string{
		"http: panic serving 192.0.2.1:1: Canary7f3a\ngoroutine 7 [running]:\nmain.f({0x43616e, 0x1})\n\t/src/place.go:7 +0x1f",
		"http2: panic serving 192.0.2.1:1: Canary7f3a\ngoroutine 7 [running]:\nmain.f({0x43616e, 0x1})\n\t/src/place.go:7 +0x1f",
	} {
		config, _ := configure(t)
		core, logs := observer.New(zap.DebugLevel)
		config.Logger = zap.New(core)
		s := newServer(t, config)
		s.Complain(line)
		all := fmt.Sprint(logs.All())
		if !strings.Contains(all, "/src/place.go:7") || strings.Contains(all, "Canary7f3a") || strings.Contains(all, "0x") {
			t.Errorf("logged %s", all)
		}
		if got := series(t, registryOf(config))["wellkey_panics_total{part=server}"]; got != 1 {
			t.Errorf("%v panics are counted, want 1", got)
		}
	}
}
