package cli_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/testworld"
	"wellkey/server"
)

// A serviceManager starts wellkey as systemd does: with sockets that stay open,
// and an ear for what it says.
type serviceManager struct {
	*world
	sockets []*os.File
	names   string
	ear     *net.UnixConn
	path    string
}

func (w *world) manage(names ...string) *serviceManager {
	w.t.Helper()
	m := &serviceManager{world: w, names: strings.Join(names, ":"), path: filepath.Join(w.dir, "notify")}
	for _, name := range names {
		addr := map[string]string{"http": w.HTTPAddr, "https": w.HTTPSAddr, "admin": w.AdminAddr}[name]
		l, err := net.Listen("tcp", addr)
		if err != nil {
			w.t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			w.t.Fatal(err)
		}
		_ = l.Close() // f is the socket
		w.t.Cleanup(func() { _ = f.Close() })
		m.sockets = append(m.sockets, f)
	}
	var err error
	if m.ear, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = m.ear.Close() })
	return m
}

// start starts wellkey with these variables, settings of the world among them; it
// is killed after the test.
func (m *serviceManager) start(variables ...string) *testworld.Process {
	m.t.Helper()
	var environ, settings []string
	for _, v := range variables {
		if setting, ok := strings.CutPrefix(v, "WELLKEY_"); ok {
			settings = append(settings, setting)
		} else {
			environ = append(environ, v)
		}
	}
	environ = append(environ, actAsWellkey+"=1", "PATH="+os.Getenv("PATH"), "HOME="+m.dir, coverage(), "NOTIFY_SOCKET="+m.path)
	p, err := m.ExecWith(m.sockets, m.names, os.Args[0], environ, settings...)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = p.Signal(os.Kill) // it may have ended
		p.Wait()
		if m.t.Failed() {
			m.t.Logf("the log:\n%s", tail(p.Log.String()))
		}
	})
	return p
}

// hear waits for something that wellkey says, and returns it.
func (m *serviceManager) hear(begin string) string {
	m.t.Helper()
	deadline, _ := m.ctx.Deadline()
	if err := m.ear.SetReadDeadline(deadline); err != nil {
		m.t.Fatal(err)
	}
	for word := make([]byte, 4096); ; {
		n, err := m.ear.Read(word)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v", begin, err)
		}
		if strings.HasPrefix(string(word[:n]), begin) {
			return string(word[:n])
		}
	}
}

// What a service manager hears of a life.
func TestServiceManagerHears(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	m := w.manage("http", "https", "admin")
	p := m.start("WATCHDOG_USEC=600000")
	m.hear("READY=1")
	w.fetch() // it serves
	m.hear("WATCHDOG=1")
	w.awaitRegistered()
	m.hear("STATUS=" + w.Domain + ": certificate until ")
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if word := m.hear("RELOADING=1"); !strings.Contains(word, "\nMONOTONIC_USEC=") {
		t.Errorf("heard %q", word)
	}
	m.hear("READY=1")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.hear("STOPPING=1")
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Sockets that nobody wants are told, and those that say nothing sensible end it.
func TestSocketsOfTheManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withFiles)
	m := w.manage("http", "https")
	m.names = "http:http"
	p := m.start()
	if code := p.Wait(); code != 2 || !strings.Contains(p.Log.String(), "the service manager passed two sockets for http") {
		t.Errorf("exit code %d, said %s", code, p.Log.String())
	}
	m.names = "http:https"
	p = m.start("WELLKEY_HTTP_ADDR=")
	w.awaitLine(p.Log, "systemd holds the socket of a listener that the settings switch off, so its visitors get no answer", "listener", "http",
		"fix", "systemctl mask --now wellkey-http.socket, or set http_addr")
	m.hear("READY=1")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	m.names = "wellkey.socket:wellkey.socket" // in the order http, https
	p = m.start()
	m.hear("READY=1")
	w.fetch()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.Wait()
}

// Visitors who come all the time notice nothing of a restart: neither of one that
// was asked for, nor, while a connection is not yet taken, of a kill.
func TestRestartRefusesNobody(t *testing.T) {
	t.Parallel()
	t.Run("plain", func(t *testing.T) { t.Parallel(); restartUnderLoad(t) })
	t.Run("with a gate", func(t *testing.T) {
		t.Parallel()
		restartUnderLoad(t, "WELLKEY_UPSTREAM=http://127.0.0.1:1", "WELLKEY_PASSTHROUGH=*=127.0.0.1:1")
	})
}

// hurry is a little less than the server waits for a client. Visitors take
// milliseconds; where they get no processor for seconds, nothing is shown by what
// they get.
const hurry = 4 * time.Second

func restartUnderLoad(t *testing.T, environ ...string) {
	w := newWorld(t, withFiles)
	m := w.manage("http", "https")
	first := m.start(environ...)
	m.hear("READY=1")
	if got := w.ask(w.Domain, "/"); strings.HasPrefix(got, "The application behind") != (len(environ) > 0) {
		t.Fatalf("the other paths answer %q", got)
	}

	var sent, refused, late, failed atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var visitors sync.WaitGroup
	visited := make(chan struct{}, 100_000)
	visit := func() {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: w.Roots(), ServerName: w.Domain},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", w.HTTPSAddr)
			},
		}}
		for range time.Tick(20 * time.Millisecond) {
			if ctx.Err() != nil {
				return
			}
			began := time.Now()
			resp, err := client.Get("https://" + w.Domain + server.KeyPath)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			sent.Add(1)
			visited <- struct{}{}
			switch {
			case errors.Is(err, syscall.ECONNREFUSED):
				refused.Add(1)
			case err != nil && time.Since(began) > hurry:
				late.Add(1) // who has not said what it wants by then is cut, restart or not
			case err != nil:
				failed.Add(1)
				if failed.Load() < 4 {
					t.Logf("a visit failed: %v", err)
				}
			}
		}
	}
	for range 6 { // 300 requests a second, where the machine allows it
		visitors.Go(visit)
	}
	more := func(n int) {
		for range n {
			select {
			case <-visited:
			case <-w.ctx.Done():
				t.Fatal("nobody visits any more")
			}
		}
	}
	more(100)
	current := first
	for range 3 {
		w.goOn()
		if err := current.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := current.Wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		current = m.start(environ...)
		m.hear("READY=1")
		more(200)
	}
	if refused.Load() > 0 || failed.Load() > 0 {
		t.Errorf("of %d visits, %d were refused and %d failed", sent.Load(), refused.Load(), failed.Load())
	}
	if late.Load() > sent.Load()/10 {
		t.Errorf("of %d visits, %d failed after %v or more", sent.Load(), late.Load(), hurry)
	}
	w.goOn()
	w.kill(current)
	m.start(environ...)
	m.hear("READY=1")
	more(100)
	stop()
	visitors.Wait()
	if refused.Load() > 0 {
		t.Errorf("of %d visits, %d were refused after a kill", sent.Load(), refused.Load())
	}
}
