package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"wellkey/keystore"
	"wellkey/server"
)

// A server that answers is alive, whatever it answers; one that takes connections
// and does nothing with them is not.
func TestAnswers(t *testing.T) {
	for name, change := range map[string]func(*server.Config, *certificates){
		"plain":         func(c *server.Config, _ *certificates) { c.PlainHTTP = true },
		"redirect":      func(*server.Config, *certificates) {},
		"no name":       func(c *server.Config, _ *certificates) { c.Domain = "other.example.com" },
		"passthrough":   func(c *server.Config, _ *certificates) { withPassthrough(c, "*=127.0.0.1:1") },
		"PROXY headers": func(c *server.Config, _ *certificates) { c.ProxyProtocol, c.TrustedProxies = true, loopback },
	} {
		t.Run(name, func(t *testing.T) {
			config, certs := configure(t)
			change(&config, certs)
			s := newServer(t, config)
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			if err := s.Answers(ctx); err != nil {
				t.Errorf("before it listens: got %v, but nothing is known", err)
			}
			must(t, s.Listen(context.Background()))
			if err := s.Answers(ctx); err == nil || !strings.HasPrefix(err.Error(), "the https listener on 127.0.0.1:") {
				t.Errorf("while it hangs: got %v", err)
			}
			serve(t, s)
			ctx, cancel = context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := s.Answers(ctx); err != nil {
				t.Errorf("while it serves: got %v", err)
			}
			for reason, n := range rejections(t, config) {
				if n > 0 {
					t.Errorf("%v connections were refused: %s", n, reason)
				}
			}
		})
	}
}

// One that takes a request and leaves it is not alive, either.
func TestAnswersNothing(t *testing.T) {
	config, _ := configure(t)
	key, released := config.Key(""), make(chan struct{})
	config.Key = func(string) keystore.Key { <-released; return key }
	s := start(t, config)
	defer close(released)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := s.Answers(ctx); err == nil || !strings.HasPrefix(err.Error(), "the https listener on 127.0.0.1:") {
		t.Errorf("got %v", err)
	}
}

// rejections returns the connections that were closed before they were served.
func rejections(t *testing.T, config server.Config) map[string]float64 {
	all := map[string]float64{}
	for name, n := range series(t, registryOf(config)) {
		if strings.HasPrefix(name, "wellkey_connections_rejected_total") {
			all[name] = n
		}
	}
	return all
}
