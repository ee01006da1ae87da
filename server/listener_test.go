package server_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/keystore"
	"wellkey/server"
)

// While one port is taken, the other listener serves.
func TestTakenPort(t *testing.T) {
	for _, taken := range []string{"http", "https"} {
		t.Run(taken, func(t *testing.T) {
			squatter, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer func() { _ = squatter.Close() }()
			config, certs := configure(t)
			config.PlainHTTP = true
			*map[string]*string{"http": &config.HTTPAddr, "https": &config.HTTPSAddr}[taken] = squatter.Addr().String()
			s := newServer(t, config)
			run(t, s)
			other := map[string]string{"http": "https", "https": "http"}[taken]
			bound := map[string]string{"http": s.HTTPAddr(), "https": s.HTTPSAddr()}
			if got := ask(t, client(t, bound[other], certs, false), "GET", other+"://"+domain, server.KeyPath, nil); got.Status != 200 {
				t.Errorf("%s: got %+v, want the key", other, got)
			}
			for _, l := range s.Listeners() {
				if l.Bound != (l.Name == other) || l.Bound != (l.Error == "") {
					t.Errorf("state: %+v", l)
				}
			}
		})
	}
}

func TestListenFails(t *testing.T) {
	config, _ := configure(t)
	config.HTTPAddr = "127.0.0.1:nope"
	s := newServer(t, config)
	err := s.Listen(context.Background())
	if err == nil || !strings.HasPrefix(err.Error(), `listening on "127.0.0.1:nope" (http): `) {
		t.Errorf("got %v, want an error that names the address", err)
	}
	if s.HTTPSAddr() != "" {
		t.Error("the other listener was left bound")
	}
}

// held is a source of keys that holds every request until release.
type held struct {
	entered chan struct{}
	release func()
}

func hold(config *server.Config) held {
	key := config.Key("")
	entered, released := make(chan struct{}), make(chan struct{})
	config.Key = func(string) keystore.Key {
		entered <- struct{}{}
		<-released
		return key
	}
	return held{entered, sync.OnceFunc(func() { close(released) })}
}

func TestDrains(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("h2 %v", http2), func(t *testing.T) {
			config, certs := configure(t)
			held := hold(&config)
			s := newServer(t, config)
			stop := run(t, s)
			addr := s.HTTPSAddr()
			status := make(chan string, 1)
			c := client(t, addr, certs, http2)
			go func() {
				response, err := c.Get("https://" + domain + server.KeyPath)
				if err != nil {
					status <- err.Error()
					return
				}
				_ = response.Body.Close()
				status <- response.Status
			}()
			<-held.entered
			stopped := make(chan error, 1)
			go func() { stopped <- stop() }()
			await(t, "the listener to close", func() bool {
				conn, err := net.Dial("tcp", addr)
				if err == nil {
					_ = conn.Close()
				}
				return err != nil
			})
			select {
			case err := <-stopped:
				t.Fatalf("Run returned %v with a request open", err)
			default:
			}
			held.release()
			if got := <-status; got != "200 OK" {
				t.Errorf("the open request got %s", got)
			}
			must(t, <-stopped)
			if s.HTTPSAddr() != "" {
				t.Error("the address is still reported as bound")
			}
		})
	}
}

// A request that outlives the drain is cut, which is a clean stop all the same.
func TestDrainEnds(t *testing.T) {
	config, certs := configure(t)
	held := hold(&config)
	defer held.release()
	core, logs := observer.New(zap.WarnLevel)
	config.Logger = zap.New(core)
	config.DrainTimeout = time.Millisecond
	s := newServer(t, config)
	stop := run(t, s)
	failed := make(chan error, 1)
	c := client(t, s.HTTPSAddr(), certs, false)
	go func() {
		response, err := c.Get("https://" + domain + server.KeyPath)
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	<-held.entered
	must(t, stop())
	if err := <-failed; err == nil {
		t.Error("the request was answered")
	}
	if logs.FilterMessage("connections still open at the end of the drain were cut").Len() != 1 {
		t.Errorf("got %v, want one warning", logs.All())
	}
}

// Run with a ctx that is done releases what Listen bound.
func TestListenThenStop(t *testing.T) {
	config, _ := configure(t)
	s := newServer(t, config)
	must(t, s.Listen(context.Background()))
	addr := s.HTTPAddr()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	must(t, s.Run(ctx))
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Error("the address is still bound")
	}
}

// The limits reach net/http: a browser's header passes, a flood does not.
func TestHeaderLimitOverHTTP2(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	for size, ok := range map[int]bool{6 << 10: true, 16 << 10: false} {
		request, err := http.NewRequest("GET", "https://"+domain+server.KeyPath, nil)
		must(t, err)
		request.Header.Set("Cookie", strings.Repeat("a", size))
		response, err := client(t, s.HTTPSAddr(), certs, true).Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		if passed := err == nil && response.StatusCode == 200; passed != ok {
			t.Errorf("%d bytes: passed %v, want %v (%v)", size, passed, ok, err)
		}
	}
}
