package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/keystore"
	"wellkey/server"
)

// While one port is taken, the other listener serves; when it is free, it is
// taken without a restart.
func TestTakenPort(t *testing.T) {
	for _, taken := range []string{"http", "https"} {
		t.Run(taken, func(t *testing.T) {
			squatter, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer func() { _ = squatter.Close() }()
			config, certs := configure(t)
			core, logs := observer.New(zap.InfoLevel)
			config.Logger = zap.New(core)
			config.PlainHTTP = true
			address := map[string]*string{"http": &config.HTTPAddr, "https": &config.HTTPSAddr}[taken]
			*address = squatter.Addr().String()
			s := newServer(t, config)
			waits, ticks := make(chan time.Duration), make(chan time.Time)
			s.SetAfter(func(wait time.Duration) <-chan time.Time { waits <- wait; return ticks })
			run(t, s)

			bound := map[string]func() string{"http": s.HTTPAddr, "https": s.HTTPSAddr}
			works := func(name string) {
				t.Helper()
				got := ask(t, client(t, bound[name](), certs, false), "GET", name+"://"+domain, server.KeyPath, nil)
				if got.Status != 200 {
					t.Errorf("%s: got %+v, want the key", name, got)
				}
			}
			other := map[string]string{"http": "https", "https": "http"}[taken]
			works(other)
			if got := bound[taken](); got != "" {
				t.Errorf("the taken address is reported as bound: %s", got)
			}
			got := []time.Duration{<-waits}
			for len(got) < 7 {
				ticks <- time.Time{}
				got = append(got, <-waits)
			}
			want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
			for i := range want {
				want[i] *= time.Second
			}
			if !slices.Equal(got, want) {
				t.Errorf("waited %v, want %v", got, want)
			}
			i := slices.IndexFunc(s.Listeners(), func(l server.Listener) bool { return l.Name == taken })
			if state := s.Listeners()[i]; state.Bound || state.Addr != *address || !strings.Contains(state.Error, "already holds the port") {
				t.Errorf("state while taken: %+v", state)
			}
			must(t, squatter.Close())
			ticks <- time.Time{}
			await(t, "the freed port", func() bool { return bound[taken]() != "" })
			works(taken)
			if state := s.Listeners()[i]; !state.Bound || state.Addr != *address || state.Error != "" {
				t.Errorf("state after: %+v", state)
			}
			warned := logs.FilterMessage("address not to be had yet, trying on").FilterField(zap.String("listener", taken))
			if warned.Len() != 1 || warned.All()[0].ContextMap()["address"] != *address {
				t.Errorf("got %d warnings, want 1 with the address", warned.Len())
			}
			if n := logs.FilterMessage("listening").Len(); n != 2 {
				t.Errorf("got %d lines for two bound listeners", n)
			}
		})
	}
}

// A stop does not wait for a port that is taken.
func TestStopWhileTaken(t *testing.T) {
	squatter, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = squatter.Close() }()
	config, _ := configure(t)
	config.HTTPAddr = squatter.Addr().String()
	s := newServer(t, config)
	waiting := make(chan struct{})
	s.SetAfter(func(time.Duration) <-chan time.Time { close(waiting); return nil })
	stop := run(t, s)
	<-waiting
	must(t, stop())
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
	s.SetAfter(func(time.Duration) <-chan time.Time { now := make(chan time.Time); close(now); return now })
	if got := s.Run(context.Background()); got == nil { // Run alone says so too
		t.Error("Run served without an address")
	}
}

func TestBindErrors(t *testing.T) {
	wrap := func(err error) error { return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)} }
	for _, tc := range []struct {
		name, addr string
		err        error
		want       string
	}{
		{"https", ":443", wrap(syscall.EADDRINUSE), `listening on ":443" (https): another program, or another wellkey, already holds the port; ` +
			`stop it ("ss -ltnp 'sport = :443'" names it), or choose another https_addr`},
		{"http", ":80", wrap(syscall.EADDRINUSE), `listening on ":80" (http): another program, or another wellkey, already holds the port; ` +
			`stop it ("ss -ltnp 'sport = :80'" names it), or choose another http_addr, or leave http_addr empty: certificates can do without port 80`},
		{"https", "192.0.2.1:443", wrap(syscall.EADDRNOTAVAIL), `listening on "192.0.2.1:443" (https): the address is not, or not yet, one of this host; ` +
			`leave the host out of https_addr to listen on every address`},
		{"http", ":80", wrap(syscall.EACCES), `listening on ":80" (http): this user may not listen on a port below 1024; ` +
			`choose a higher port as http_addr and map it, or grant CAP_NET_BIND_SERVICE`},
		{"http", "80", errors.New("missing port in address"), `listening on "80" (http): missing port in address; write http_addr as host:port or :port`},
	} {
		err := server.NewBindError(tc.name, tc.addr, tc.err)
		if err.Error() != tc.want {
			t.Errorf("got  %s\nwant %s", err, tc.want)
		}
		if !errors.Is(err, tc.err) {
			t.Errorf("%v does not wrap its cause", err)
		}
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

// Run ends with an error where a listener breaks, and takes the other with it.
func TestBrokenListener(t *testing.T) {
	config, _ := configure(t)
	s := newServer(t, config)
	must(t, s.Listen(context.Background()))
	s.BreakHTTPS()
	err := s.Run(context.Background())
	if !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "serving https on 127.0.0.1:0: ") {
		t.Errorf("got %v, want the error of the listener", err)
	}
	if s.HTTPAddr() != "" {
		t.Error("the other listener was left open")
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
