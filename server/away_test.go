package server_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"wellkey/server"
)

// Nobody has the place of one of which the application has a request, however long it
// takes; when that has its answer, the client has a moment to read the end of it.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := server.NewConnections(1, 1, 0)
		conn := &closing{stub: from("192.0.2.1")}
		if reason := c.Admit(conn, 0); reason != "" {
			t.Fatal(reason)
		}
		newcomer := func(why string, comes bool) {
			t.Helper()
			if reason := c.Admit(from("192.0.2.2"), c.Now()); (reason == "") != comes || conn.closed != comes {
				t.Errorf("%s: %q", why, reason)
			}
		}
		c.Set(conn, http.StateActive, 0)
		c.Away(conn, true)
		time.Sleep(time.Hour)
		newcomer("the application has it", false)
		c.Away(conn, true)
		c.Away(conn, false)
		time.Sleep(time.Hour)
		newcomer("the application has one of two", false)
		c.Away(conn, false)
		time.Sleep(server.LeastWait)
		newcomer("it just came back", false)
		time.Sleep(time.Nanosecond)
		newcomer("its answer lies unread", true)
	})
}

// A listener that is full of clients that ask for the key and do not read it has a place
// for who comes, also where an application is behind; that has three quarters at most.
func TestUnreadKeysBesideAnApplication(t *testing.T) {
	hangs := make(chan struct{})
	release := sync.OnceFunc(func() { close(hangs) })
	defer release()
	a := newApp(t, func(http.ResponseWriter, *http.Request) { <-hangs })
	config, certs := configure(t)
	config.Upstream, config.Limits.Connections = a.config(), 4
	s := start(t, config)
	var all []*framed
	for n := range 4 {
		f := frame(t, s, certs, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		path := server.KeyPath
		if n == 0 {
			path = "/"
		}
		must(t, f.askFor(path, 1))
		all = append(all, f)
	}
	answered := func(f *framed) {
		t.Helper()
		for {
			got, err := f.ReadFrame()
			must(t, err)
			if _, ok := got.(*http2.HeadersFrame); ok {
				return
			}
		}
	}
	for _, f := range all[1:] {
		answered(f)
	}
	await(t, "the application to have one", func() bool { return len(a.requests()) == 1 })
	s.WaitUntil(-2 * server.StalledAfter)
	for range 3 {
		visitor := client(t, s.HTTPSAddr(), certs, false)
		await(t, "the key", func() bool {
			response, err := visitor.Get("https://" + domain + server.KeyPath)
			if err != nil {
				return false
			}
			_ = response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
	}
	if got := series(t, registryOf(config))["wellkey_connections_displaced_total{listener=https,state=stalled}"]; got == 0 {
		t.Error("nobody has lost a place")
	}
	release()
	answered(all[0])
}

// slow is a source of challenges that asks the storage, until that answers.
type slow struct {
	server.Certificates
	entered, answers chan struct{}
}

func (s slow) HTTPHandler(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.entered <- struct{}{}
		<-s.answers
		_, _ = io.WriteString(w, "token.thumbprint")
	})
}

// However many come meanwhile to a listener that is full, a CA gets its answer when the
// storage has it.
func TestChallengeTakesAWhile(t *testing.T) {
	config, certs := configure(t)
	storage := slow{certs, make(chan struct{}, 1), make(chan struct{})}
	answer := sync.OnceFunc(func() { close(storage.answers) })
	defer answer()
	config.Certificates = storage
	s := start(t, config)
	s.Full(1)
	authority, err := net.Dial("tcp", s.HTTPAddr())
	must(t, err)
	defer func() { _ = authority.Close() }()
	_, err = io.WriteString(authority, "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: "+domain+"\r\nConnection: close\r\n\r\n")
	must(t, err)
	<-storage.entered
	s.WaitUntil(-2 * server.StalledAfter)
	for range 3 {
		newcomer, err := net.Dial("tcp", s.HTTPAddr())
		must(t, err)
		defer func() { _ = newcomer.Close() }()
	}
	await(t, "the newcomers to be turned away", func() bool {
		all := series(t, registryOf(config))
		if n := all["wellkey_connections_displaced_total{listener=http,state=stalled}"]; n != 0 {
			t.Fatalf("%v have lost a place", n)
		}
		return all["wellkey_connections_rejected_total{listener=http,reason=total}"] == 3
	})
	answer()
	got, err := io.ReadAll(authority)
	if must(t, err); !strings.HasSuffix(string(got), "token.thumbprint") {
		t.Errorf("the authority got %q", got)
	}
}

// A large body goes to the application as fast as it takes it: at the pace of what needs
// an answer, this one would take longer than the client waits.
func TestUploads(t *testing.T) {
	t.Parallel()
	const size = 20 << 20
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body) // a wrong number tells
		_, _ = fmt.Fprint(w, n)
	})
	config, certs := configure(t)
	config.Upstream = a.config()
	s := start(t, config)
	for _, http2 := range []bool{false, true} {
		visitor := client(t, s.HTTPSAddr(), certs, http2)
		response, err := visitor.Post("https://"+domain+"/", "", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatalf("over HTTP/2: %t: %v", http2, err)
		}
		got, err := io.ReadAll(response.Body)
		must(t, errors.Join(err, response.Body.Close()))
		if string(got) != strconv.Itoa(size) {
			t.Errorf("over HTTP/2: %t: the application got %s bytes, want %d", http2, got, size)
		}
	}
}
