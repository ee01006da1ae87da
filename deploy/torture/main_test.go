package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"more"}, {"-none"}, {"-only", "kindness"}, {"-fast", "-report", "a.md"}, {"-only", "nothing", "-report", "a.md"}} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), args, &stdout, &stderr); code != 2 || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%q: got %d, %q, %q", args, code, &stdout, &stderr)
		}
	}
}

// Attackers do what they are told, and say what they cannot.
func TestObeys(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{`{"Fast":true,"Only":"nothing"}`: 0, `{"Attack":1000}`: 1, `{"Only":"kindness"}`: 1, "": 1} {
		var stdout, stderr strings.Builder
		if code := obey(t.Context(), text, &stdout, &stderr); code != want || (stderr.Len() > 0) != (want != 0) {
			t.Errorf("%q: got %d, %q, %q", text, code, &stdout, &stderr)
		}
	}
}

// Attackers that cannot attack, here since they do not have the addresses, say so.
func TestNoAttack(t *testing.T) {
	t.Parallel()
	at := &aim{Port: "1", Plain: "1", Admin: "127.0.0.1:1"}
	for name, do := range map[string]func() (string, error){
		"idle":      func() (string, error) { return idle(t.Context(), at, 1, false, 0) },
		"plain":     func() (string, error) { return idlePlain(t.Context(), at, 1, 0) },
		"hellos":    func() (string, error) { return hellos(t.Context(), at, 1, time.Minute) },
		"plaintext": func() (string, error) { return plaintext(t.Context(), at, 1, time.Minute) },
		"busy": func() (string, error) {
			return busy(t.Context(), at, 1, time.Minute, "", func(net.Conn) error { return nil })
		},
		"flood": func() (string, error) {
			return flood(t.Context(), at, 1, time.Minute, false, func(*flooded) error { return nil })
		},
	} {
		if saw, err := do(); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("%s: got %q and %v, want that there is no such address", name, saw, err)
		}
	}
}

// Who asks at rest does so more than once, even in a hurry and after a long handshake.
func TestAskAtRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, served := net.Pipe()
		defer conn.Close()
		go func() {
			defer served.Close()
			for reader := bufio.NewReader(served); ; {
				if _, err := http.ReadRequest(reader); err != nil {
					return
				}
				if _, err := io.WriteString(served, "HTTP/1.1 204 No Content\r\n\r\n"); err != nil {
					return
				}
			}
		}()
		_ = conn.SetDeadline(time.Now()) // as busy does, of whose time nothing is left
		var rested atomic.Int64
		if err := askAtRest(t.Context(), conn, time.Second, &rested); !errors.Is(err, os.ErrDeadlineExceeded) || rested.Load() != 3 {
			t.Errorf("got %v, and %d answers after the first", err, rested.Load())
		}
	})
}

// What wellkey does to a connection excuses it, and nothing else; a tenth of them is
// the least.
func TestTurnedAway(t *testing.T) {
	t.Parallel()
	network := func(op string, err error) error { return &net.OpError{Op: op, Net: "tcp", Err: err} }
	for _, one := range []struct {
		err  error
		want bool
	}{
		{errors.Join(io.EOF, nil), true}, {io.ErrUnexpectedEOF, true}, {network("read", syscall.ECONNRESET), true}, {network("write", syscall.EPIPE), true},
		{network("dial", syscall.ECONNREFUSED), true}, {network("dial", os.ErrDeadlineExceeded), true}, {network("remote error", errors.New("tls: internal error")), true},
		{network("dial", syscall.EADDRNOTAVAIL), false}, {network("dial", syscall.ENETUNREACH), false}, {network("dial", syscall.EADDRINUSE), false},
		{network("dial", syscall.EMFILE), false}, {net.ErrClosed, false}, {context.Canceled, false}, {errors.New("tls: something else"), false},
	} {
		if got := turnedAway(one.err); got != one.want {
			t.Errorf("%v: got %v", one.err, got)
		}
	}
	for got, want := range map[int64]bool{0: false, 9: false, 10: true, 100: true} {
		if err := enough("opened", got, 100); (err == nil) != want {
			t.Errorf("%d of 100: got %v", got, err)
		}
	}
	if enough("opened", 0, 1) == nil {
		t.Error("none of one is enough")
	}
}

// What is beyond the bounds is told, whichever it is.
func TestJudges(t *testing.T) {
	t.Parallel()
	good := visited{good: 100, p50: time.Millisecond, p99: 99 * time.Millisecond}
	for want, one := range map[string]row{
		"": {name: "a", visited: good, memory: 95_999_999},
		"a: 1 of 101 visits failed; the first: no":                            {name: "a", visited: visited{good: 100, bad: 1, first: "no"}},
		"a: only 4 visits were made":                                          {name: "a", visited: visited{good: 4}},
		"a: one visit in a hundred took 101ms or more, and 100ms is the most": {name: "a", visited: visited{good: 100, p99: 101 * time.Millisecond}},
		"a: wellkey took 97 MB, and 96 MB is the most":                        {name: "a", visited: good, memory: 97_000_000},
	} {
		var r report
		r.attack(one)
		if got := strings.Join(r.wrong, "\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if text := r.markdown(); strings.Contains(text, "All of it holds.") != (want == "") || !strings.Contains(text, want) {
			t.Errorf("the report does not tell %q:\n%s", want, text)
		}
	}
}

// Of a hundred visits one may be slow, and no more.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	v := visitor{failed: []string{"first", "second"}}
	for n := range 100 {
		v.took = append(v.took, time.Duration(100-n))
	}
	if got, want := v.turn(), (visited{good: 100, bad: 2, p50: 51, p99: 99, first: "first"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := v.turn(); got != (visited{}) {
		t.Errorf("after the turn: %+v", got)
	}
}
