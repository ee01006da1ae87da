package listen_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const loopback = "127.0.0.1:0"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// held is how this very process is named as the one that holds a port.
func held(t *testing.T) string {
	t.Helper()
	name, err := os.ReadFile("/proc/self/comm")
	must(t, err)
	return fmt.Sprintf("the program %q (process %d)", strings.TrimSpace(string(name)), os.Getpid())
}

func squat(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", loopback)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// serve serves an empty answer on s until stop.
func serve(s *listen.Socket) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() { done <- s.Serve(ctx, srv, time.Second) }()
	return func() error { cancel(); return <-done }
}

func get(addr string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func TestTakenPortIsTriedUntilItIsFree(t *testing.T) {
	squatter := squat(t)
	core, logs := observer.New(zap.InfoLevel)
	s := listen.New("http", squatter.Addr().String(), zap.New(core))
	waits, ticks := make(chan time.Duration), make(chan time.Time)
	s.SetAfter(func(wait time.Duration) <-chan time.Time { waits <- wait; return ticks })
	must(t, s.Listen(context.Background()))
	if state := s.State(); state.Bound || s.Addr() != "" || state.Addr != squatter.Addr().String() || !strings.Contains(state.Error, held(t)+" already holds the port; stop it, or choose another") {
		t.Errorf("state while taken: %+v", state)
	}
	stop := serve(s)
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
	must(t, squatter.Close())
	ticks <- time.Time{}
	for get(squatter.Addr().String()) != nil { // until it is bound
	}
	if state := s.State(); !state.Bound || state.Error != "" || s.Addr() != squatter.Addr().String() {
		t.Errorf("state after: %+v", state)
	}
	must(t, stop())
	if n := logs.FilterMessage("address not available yet, retrying").Len(); n != 1 {
		t.Errorf("got %d warnings in 7 attempts, want 1", n)
	}
	if n := logs.FilterMessage("listening").Len(); n != 1 {
		t.Errorf("got %d lines for one bound address", n)
	}
}

func TestStopDoesNotWaitForATakenPort(t *testing.T) {
	s := listen.New("http", squat(t).Addr().String(), zap.NewNop())
	waiting := make(chan struct{})
	s.SetAfter(func(time.Duration) <-chan time.Time { close(waiting); return nil })
	must(t, s.Listen(context.Background()))
	stop := serve(s)
	<-waiting
	must(t, stop())
}

func TestListenFails(t *testing.T) {
	s := listen.New("http", "127.0.0.1:nope", zap.NewNop())
	for name, err := range map[string]error{"Listen": s.Listen(context.Background()), "Serve": s.Serve(context.Background(), nil, 0)} {
		if err == nil || !strings.HasPrefix(err.Error(), `listening on "127.0.0.1:nope" (http): `) {
			t.Errorf("%s: got %v, want an error that names the address", name, err)
		}
		s.SetAfter(func(time.Duration) <-chan time.Time { now := make(chan time.Time); close(now); return now })
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
		err := listen.NewBindError(tc.name, tc.addr, tc.err)
		if err.Error() != tc.want {
			t.Errorf("got  %s\nwant %s", err, tc.want)
		}
		if !errors.Is(err, tc.err) {
			t.Errorf("%v does not wrap its cause", err)
		}
	}
}

func TestBrokenListenerIsAnError(t *testing.T) {
	s := listen.New("https", loopback, zap.NewNop())
	must(t, s.Listen(context.Background()))
	s.Break()
	err := s.Serve(context.Background(), &http.Server{}, time.Second)
	if !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "serving https on 127.0.0.1:0: ") {
		t.Errorf("got %v, want the error of the listener", err)
	}
}

func TestServeReleasesTheAddress(t *testing.T) {
	s := listen.New("http", loopback, zap.NewNop())
	must(t, s.Listen(context.Background()))
	addr := s.Addr()
	stop := serve(s)
	must(t, get(addr))
	must(t, stop())
	if s.Addr() != "" || get(addr) == nil {
		t.Error("the address is still bound")
	}
}

func TestCloseReleasesTheAddress(t *testing.T) {
	s := listen.New("http", loopback, zap.NewNop())
	must(t, s.Listen(context.Background()))
	addr := s.Addr()
	s.Close()
	if get(addr) == nil {
		t.Error("the address is still bound")
	}
}

func TestInheritedSocketIsUsed(t *testing.T) {
	given := squat(t)
	s := listen.New("http", "127.0.0.1:1", zap.NewNop())
	s.Inherit(given)
	must(t, s.Listen(context.Background()))
	if s.Addr() != given.Addr().String() {
		t.Errorf("listens on %s, want %s", s.Addr(), given.Addr())
	}
	stop := serve(s)
	must(t, get(given.Addr().String()))
	must(t, stop())
	if get(given.Addr().String()) == nil {
		t.Error("the socket is still open")
	}
}

// A drainer is a listener that notes how it is stopped.
type drainer struct {
	net.Listener
	notes chan string
}

func (d *drainer) Drain(ctx context.Context) {
	if _, limited := ctx.Deadline(); limited {
		d.notes <- "drain"
	}
}

func (d *drainer) Close() error { d.notes <- "close"; return d.Listener.Close() }

func TestDrainsBeforeItCloses(t *testing.T) {
	s := listen.New("http", loopback, zap.NewNop())
	notes := make(chan string, 10)
	s.Front(func(l net.Listener) net.Listener { return &drainer{l, notes} })
	must(t, s.Listen(context.Background()))
	addr := s.Addr()
	stop := serve(s)
	must(t, get(addr))
	must(t, stop())
	if first, second := <-notes, <-notes; first != "drain" || second != "close" {
		t.Errorf("got %s, then %s", first, second)
	}
}
