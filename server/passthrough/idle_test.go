package passthrough_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wellkey/server/passthrough"
)

// A duplex is one end of a connection of which each way may end alone, as of TCP's.
type duplex struct {
	net.Conn // what is read from
	out      net.Conn
}

func (d *duplex) Write(b []byte) (int, error) { return d.out.Write(b) }
func (d *duplex) CloseWrite() error           { return d.out.Close() }

func (d *duplex) Close() error {
	_ = d.out.Close()
	return d.Conn.Close()
}

// connected returns both ends of a connection.
func connected() (one, other *duplex) {
	in, from := net.Pipe()
	out, to := net.Pipe()
	return &duplex{in, to}, &duplex{out, from}
}

// between runs what two ends do that are joined, and returns after how long they were
// parted, and how many were cut for being idle.
func between(t *testing.T, ends func(client, target *duplex)) (after time.Duration, cut float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, registry: prometheus.NewRegistry()}
		var err error
		r.Passthrough, err = passthrough.New(passthrough.Config{
			Routes: []passthrough.Route{{Name: "a.example", Target: "b:1"}}, Own: owns("keys.example.com"), Registerer: r.registry,
		})
		must(t, err)
		client, here := connected()
		there, target := connected()
		began := time.Now()
		go ends(client, target)
		r.Join(here, there, r.Match("a.example"))
		after, cut = time.Since(began), r.failures("idle")
		_ = client.Close()
		_ = target.Close()
		r.Close()
	})
	return after, cut
}

// Who is silent both ways is cut.
func TestIdle(t *testing.T) {
	after, cut := between(t, func(*duplex, *duplex) {})
	if after < 30*time.Minute || after > 45*time.Minute || cut != 1 {
		t.Errorf("after %v %v were cut", after, cut)
	}
}

// talk has one end say something again and again for a day, and the other listen.
func talk(from, to *duplex, pause time.Duration) {
	go func() { _, _ = io.Copy(io.Discard, to) }()
	for began := time.Now(); time.Since(began) < 24*time.Hour; time.Sleep(pause) {
		if _, err := from.Write([]byte("y")); err != nil {
			return
		}
	}
	_ = from.CloseWrite()
}

// Who speaks one way is not cut, nor where the other end has finished.
func TestNotIdle(t *testing.T) {
	for name, ends := range map[string]func(client, target *duplex){
		"client": func(client, target *duplex) {
			talk(client, target, 25*time.Minute)
			_ = target.CloseWrite()
		},
		"target": func(client, target *duplex) {
			talk(target, client, 25*time.Minute)
			_ = client.CloseWrite()
		},
		"client, to a target that has finished": func(client, target *duplex) {
			_ = target.CloseWrite()
			go func() { _, _ = io.Copy(io.Discard, client) }()
			talk(client, target, 100*time.Second)
		},
		"target, to a client that has finished": func(client, target *duplex) {
			_ = client.CloseWrite()
			talk(target, client, 100*time.Second)
		},
	} {
		if after, cut := between(t, ends); after < 24*time.Hour || cut != 0 {
			t.Errorf("%s: it ended after %v, and %v were cut", name, after, cut)
		}
	}
}

// Where one end has finished, and the other neither finishes nor says anything, nothing is
// kept for it for long: also where all was silent before, or the first does not read.
func TestIdleAfterTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		before time.Duration
		ends   func(first, second *duplex)
	}{
		"silent":          {0, func(first, _ *duplex) { _ = first.CloseWrite() }},
		"silent for long": {29 * time.Minute, func(first, _ *duplex) { _ = first.CloseWrite() }},
		"does not read": {0, func(first, second *duplex) {
			_ = first.CloseWrite()
			_, _ = second.Write(make([]byte, 1<<20))
		}},
	} {
		for _, turned := range []bool{false, true} {
			after, cut := between(t, func(client, target *duplex) {
				if turned {
					client, target = target, client
				}
				time.Sleep(test.before)
				test.ends(client, target)
			})
			if after -= test.before; after < 2*time.Minute || after > 3*time.Minute || cut != 1 {
				t.Errorf("%s, turned %v: %v were cut, after %v", name, turned, cut, after)
			}
		}
	}
}
