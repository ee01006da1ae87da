package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
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
	"golang.org/x/net/http/httpguts"
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
	for text, want := range map[string]int{`{"Only":"nothing","Aim":{"Fast":true}}`: 0, `{"Attack":1000}`: 1, `{"Only":"kindness"}`: 1, "": 1} {
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
		"plaintext": func() (string, error) { return plaintext(t.Context(), at, 1, time.Minute, time.Minute) },
		"busy": func() (string, error) {
			return busy(t.Context(), at, 1, time.Minute, "", func(net.Conn) error { return nil })
		},
		"flood": func() (string, error) {
			return flood(t.Context(), at, time.Minute, flooding{conns: 1, do: func(context.Context, *flooded) error { return nil }})
		},
		"silent": func() (string, error) { return silent(t.Context(), at, 0, true, time.Minute) },
		"resets": func() (string, error) { return resets(t.Context(), at, time.Minute) },
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

// Of what wellkey lets happen to all connections nine of ten are the least, and a tenth
// where it is to be fast.
func TestNearlyAll(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		got  int64
		fast bool
		want string
	}{
		{4500, false, ""}, {500, true, ""},
		{4499, false, "4499 of 5000 connections were opened, and 4500 are the least"},
		{499, true, "499 of 5000 connections were opened, which is no attack"},
	} {
		got := ""
		if err := (&aim{Fast: one.fast}).nearlyAll("opened", one.got, 5000); err != nil {
			got = err.Error()
		}
		if got != one.want {
			t.Errorf("%d: got %q, want %q", one.got, got, one.want)
		}
	}
	if (&aim{}).nearlyAll("opened", 0, 1) == nil {
		t.Error("none of one is enough")
	}
}

// What is beyond the bounds is told, whichever it is.
func TestJudges(t *testing.T) {
	t.Parallel()
	good := visited{good: 120, p50: time.Millisecond, p99: 99 * time.Millisecond, slowest: 7 * time.Second}
	for want, one := range map[string]row{
		"": {name: "a", visited: good, memory: mostMemory, far: &good},
		"a: wellkey took 98 MB, and 96 MB is the most":                                              {name: "a", visited: visited{good: 96, bad: 24, p99: time.Hour}, beyond: true, memory: 98_000_000},
		"a: 95 of 120 visits were right, and four of five are the least; the first that failed: no": {name: "a", visited: visited{good: 95, bad: 25, first: "no"}, beyond: true},
		"a: 0 of 120 visits were right, and four of five are the least; the first that failed: ":    {name: "a", beyond: true},
		"a: 1 of 121 visits failed; the first: no":                                                  {name: "a", visited: visited{good: 120, bad: 1, first: "no"}},
		"a: only 119 visits were made, and 120 are the least":                                       {name: "a", visited: visited{good: 119}},
		"a: one visit in a hundred took 101ms or more, and 100ms is the most":                       {name: "a", visited: visited{good: 120, p99: 101 * time.Millisecond}},
		"a: wellkey took 97 MB, and 96 MB is the most":                                              {name: "a", visited: good, memory: 97_000_000},
		"a: one visit in a hundred took 251ms or more, and 250ms is the most":                       {name: "a", app: true, visited: visited{good: 120, p99: 251 * time.Millisecond}, memory: 97_000_000},
		"a: wellkey took 135 MB, and 134 MB is the most":                                            {name: "a", app: true, visited: good, memory: 135_000_000},
		"a: 2 of 122 visits from far away failed; the first: no":                                    {name: "a", visited: good, far: &visited{good: 120, bad: 2, first: "no"}},
		"a: only 0 visits from far away were made, and 120 are the least":                           {name: "a", visited: good, far: &visited{}},
	} {
		r := report{of: "wellkey of a test"}
		r.attack(one)
		if got := strings.Join(r.wrong, "\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if text := r.markdown(); strings.Contains(text, "All of it holds.") != (want == "") || !strings.Contains(text, want) {
			t.Errorf("the report does not tell %q:\n%s", want, text)
		}
		if text := r.markdown(); !strings.Contains(text, ", wellkey of a test, ") || want == "" && !strings.Contains(text, "| a | 120 of 120 | 1.0 ms | 99.0 ms | 7000.0 ms | 96 MB | ; from 200ms away 120 of 120 right answers, p50 1.0 ms, slowest 7000.0 ms |") {
			t.Errorf("the report does not tell all:\n%s", text)
		}
	}
}

// A machine that is busy with other things has wider bounds.
func TestJudgesInAHurry(t *testing.T) {
	t.Parallel()
	good := visited{good: 10, p99: 5 * time.Second}
	for want, one := range map[string]row{
		"": {name: "a", visited: good, memory: fastMemory},
		"a: wellkey took 113 MB, and 112 MB is the most":                    {name: "a", visited: good, memory: 113_000_000},
		"a: wellkey took 135 MB, and 134 MB is the most":                    {name: "a", app: true, visited: good, memory: 135_000_000},
		"a: only 9 visits were made, and 10 are the least":                  {name: "a", visited: visited{good: 9}},
		"a: one visit in a hundred took 5.001s or more, and 5s is the most": {name: "a", app: true, visited: visited{good: 10, p99: 5001 * time.Millisecond}},
	} {
		r := report{fast: true}
		r.attack(one)
		if got := strings.Join(r.wrong, "\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Memory that one attack left is its fault, and not also that of those which follow;
// what they take beyond that is theirs.
func TestJudgesMemoryOnce(t *testing.T) {
	t.Parallel()
	var r report
	for _, one := range []row{
		{name: "a", began: 20_000_000, memory: 90_000_000}, {name: "b", began: 90_000_000, memory: 97_000_000},
		{name: "c", began: 97_000_000, memory: 97_000_000}, {name: "d", began: 97_000_000, memory: 99_000_000},
		{name: "e", began: 98_000_000, memory: 120_000_000}, {name: "f", began: 90_000_000, memory: 98_000_000},
		{name: "g", began: 40_000_000, memory: 50_000_000}, {name: "h", began: 97_000_000, memory: 98_000_000},
	} {
		one.visited.good = leastVisits
		r.attack(one)
	}
	want := "b: wellkey took 97 MB, and 96 MB is the most\ne: wellkey took 120 MB, and 96 MB is the most\nf: wellkey took 98 MB, and 96 MB is the most\nh: wellkey took 98 MB, and 96 MB is the most"
	if got := strings.Join(r.wrong, "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Of a hundred visits one may be slow, and no more.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	r := round{failed: []string{"first", "second"}}
	for n := range 100 {
		r.took = append(r.took, time.Duration(100-n))
	}
	if got, want := r.seen(), (visited{good: 100, bad: 2, p50: 51, p99: 99, slowest: 100, first: "first"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := new(round).seen(); got != (visited{}) {
		t.Errorf("without a visit: %+v", got)
	}
}

// A stall of five seconds keeps a hundred visits waiting, each for as long as it lasts
// from then on, and they count for the attack in which they began.
func TestVisitorsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		v := visit(t.Context(), []byte("key"), func(ctx context.Context) ([]byte, error) {
			if stall := 5*time.Second - time.Since(began); stall > 0 {
				time.Sleep(stall)
			}
			return []byte("key"), nil
		})
		defer v.stop()
		time.Sleep(4*time.Second + time.Millisecond)
		first := v.turn()
		if want := (visited{good: 81, p50: 3 * time.Second, p99: 5 * time.Second, slowest: 5 * time.Second}); first != want {
			t.Errorf("got %+v, want %+v", first, want)
		}
		time.Sleep(time.Second)
		if rest := v.turn(); rest.good < 19 || rest.slowest > time.Second || rest.bad > 0 {
			t.Errorf("after the turn: %+v", rest)
		}
	})
}

// Who is far away hears and is heard later: it answers a round trip after it heard
// something, and begins at once.
func TestFar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, server := net.Pipe()
		defer near.Close()
		go func() {
			defer server.Close()
			_, _ = io.Copy(server, server)
		}()
		conn := &far{Conn: near, trip: time.Second}
		began := time.Now()
		for n, want := range []time.Duration{0, time.Second, 2 * time.Second} {
			if _, err := conn.Write([]byte("a")); err != nil || time.Since(began) != want {
				t.Errorf("write %d: %v after %v, want %v", n, err, time.Since(began), want)
			}
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		}
	})
}

// What slowhttptest says tells an attack from none.
func TestSlowEnd(t *testing.T) {
	t.Parallel()
	for out, good := range map[string]bool{
		"Exit status:\x1b[1;36m Hit test time limit\n\x1b[0m": true, "Exit status: No open connections left\n": true,
		"Exit status:\x1b[1;36m Connection refused\n\x1b[0m": false, "Exit status: Unexpected error\n": false, "Error in getaddrinfo": false, "": false,
	} {
		if end, err := slowEnd(out); (err == nil) != good || (end != "") != good {
			t.Errorf("%q: got %q and %v", out, end, err)
		}
	}
}

// Requests with an odd part are such as net/http takes, and what is odd about them is
// more than letters. They fit into what wellkey reads of a header.
func TestOddRequests(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	odd := 0
	for range 20_000 {
		method, text := oddRequest(random)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || r.Method != method {
			t.Fatalf("%q: %v", text, err)
		}
		if head, _, _ := strings.Cut(text, "\r\n\r\n"); len(head) > 11<<10 {
			t.Fatalf("a header of %d bytes", len(head))
		}
		for name, values := range r.Header {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(values[0]) {
				t.Fatalf("%q: %q", name, values)
			}
		}
		if !httpguts.ValidHostHeader(r.Host) {
			t.Fatalf("host %q", r.Host)
		}
		if strings.ContainsFunc(text, func(c rune) bool { return c > 0x7e || c == '%' }) {
			odd++
		}
	}
	if odd < 5000 {
		t.Errorf("%d of them are odd", odd)
	}
}

// A header of tiny fields has a field in each line, and no name twice.
func TestTinyFields(t *testing.T) {
	t.Parallel()
	text := tinyFields()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text + "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(text, "\n"); len(text) > 12<<10 || lines < 2900 {
		t.Errorf("%d lines of %d bytes", lines, len(text))
	}
	if len(r.Header) < 1500 {
		t.Errorf("%d names", len(r.Header))
	}
}

// What requests at random may not do is told.
func TestJudgesRandomRequests(t *testing.T) {
	t.Parallel()
	before := map[string]float64{"a": 1}
	for want, judge := range map[string]func(*report){
		"": func(r *report) { r.random(before, before, 11, 10, 10); r.names(10, 9, 10) },
		"random requests made the series b": func(r *report) {
			r.random(before, map[string]float64{"a": 1, "b": 2}, 10, 10, 10)
		},
		"2 panics by random requests": func(r *report) {
			r.random(map[string]float64{`wellkey_panics_total{part="server"}`: 0}, map[string]float64{`wellkey_panics_total{part="server"}`: 2}, 10, 10, 10)
		},
		"9 random requests of 10 were answered":                                func(r *report) { r.random(before, before, 9, 10, 9) },
		"wellkey's handler counted 9 requests of 10 that were answered":        func(r *report) { r.random(before, before, 9, 10, 10) },
		"9 random names of 10 were asked for within 3m0s":                      func(r *report) { r.names(9, 9, 10) },
		"8 random names of 10 were refused a certificate, and 9 are the least": func(r *report) { r.names(10, 8, 10) },
		"1 lines of log tell of a request, and there were 2":                   func(r *report) { r.log("{\"message\":\"request\"}\nb\n", 2) },
		"a line of the log has a control character at 1: \"a\\x1bb\\n\"":       func(r *report) { r.log("a\x1bb\n", 0) },
	} {
		var r report
		judge(&r)
		if got := strings.Join(r.wrong, "\n"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
