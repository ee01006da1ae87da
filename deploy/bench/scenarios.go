package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"wellkey/internal/pause"
)

// A scenario is one kind of work.
type scenario struct {
	name    string
	title   string
	unit    string // of a sample
	peers   []string
	control [2]string // who is to come out like whom; "" = none
	longer  float64   // how many times as long a window is; 0 = 1
	run     func(ctx context.Context, b *bench, s *scenario) (*measured, error)
	prepare func(ctx context.Context, r *running) (prepared, error) // of windowed; nil = it is none
}

// The units of samples.
const (
	unitCPU  = "µs of processor"
	unitTime = "ms"
	unitMiB  = "MiB"
	unitMB   = "MB"
)

// atNginx is the control of most scenarios.
var atNginx = [2]string{nginx, nginxAgain}

// scenarios are all that can be measured, in the order of the report.
var scenarios = []*scenario{
	{name: "x25519", title: "full handshake + GET, X25519", unit: unitCPU, control: atNginx, run: windowed, prepare: handshakes(tls.X25519),
		peers: []string{wellkey, nginx, nginxAgain, haproxy, caddy, bare}},
	{name: "mlkem", title: "full handshake + GET, X25519MLKEM768 offered", unit: unitCPU, control: atNginx, run: windowed, prepare: handshakes(tls.X25519MLKEM768, tls.X25519),
		peers: []string{wellkey, nginx, nginxAgain, haproxy, caddy, bare}},
	{name: "resumed", title: "resumed handshake + GET", unit: unitCPU, control: atNginx, run: windowed, prepare: resumptions,
		peers: []string{wellkey, nginx, nginxAgain, haproxy, caddy, bare}},
	{name: "h1", title: "keep-alive, HTTP/1.1", unit: unitCPU, control: atNginx, run: windowed, prepare: keepAlive,
		peers: []string{wellkey, nginx, nginxAgain, nginxFile, haproxy, caddy, caddyFile, bare}},
	{name: "h2", title: "multiplexed, HTTP/2", unit: unitCPU, control: atNginx, run: windowed, prepare: multiplexed,
		peers: []string{wellkey, nginx, nginxAgain, haproxy, caddy}},
	{name: "arrivals", title: "median of a visit at 1,000 new connections/s", unit: unitTime, control: atNginx, run: windowed, prepare: arrivals,
		peers: []string{wellkey, nginx, nginxAgain, caddy}},
	{name: "start", title: "exec to the first 200, stored certificate", unit: unitTime, control: atNginx, run: starts,
		peers: []string{wellkey, nginx, nginxAgain, haproxy, caddy}},
	{name: "idle", title: "memory at rest (PSS)", unit: unitMiB, control: atNginx, run: memories(0, 3),
		peers: []string{wellkey, nginx, nginxAgain, haproxy, caddy}},
	{name: "open", title: "memory with 9,800 idle connections (PSS)", unit: unitMiB, control: atNginx, run: memories(9800, 3),
		peers: []string{wellkey, nginx, nginxAgain, caddy}},
	{name: "many-start", title: "10,000 certificates: exec to all loaded", unit: unitTime, run: manyStart,
		peers: []string{wellkeyMany, nginx}},
	{name: "many-memory", title: "10,000 certificates: memory (PSS)", unit: unitMiB, run: manyMemory,
		peers: []string{wellkeyMany, nginx}},
	{name: "many-cpu", title: "full handshake + GET with 10,000 certificates", unit: unitCPU, longer: 2.5, // than a cycle of its garbage collector
		control: [2]string{wellkey, oneAgain}, run: manyHandshakes, prepare: handshakes(tls.X25519),
		peers: []string{wellkeyMany, wellkey, oneAgain}},
	{name: "size", title: "size of the stripped program", unit: unitMB, run: sizes,
		peers: []string{wellkey, caddy}},
}

// A prepared is one server's part of a scenario: what a window does, and what is to be
// closed after the last one.
type prepared struct {
	window func(ctx context.Context, r *running, during time.Duration) (sample, error)
	close  func()
}

// windowed runs a scenario in windows, with all servers up.
func windowed(ctx context.Context, b *bench, s *scenario) (m *measured, err error) {
	all, err := b.up(ctx, s.peers)
	if err != nil {
		return nil, err
	}
	ready := map[string]prepared{}
	defer func() {
		for _, p := range ready {
			if p.close != nil {
				p.close()
			}
		}
	}()
	for _, r := range all {
		if ready[r.name], err = s.prepare(ctx, r); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, r.ended(err))
		}
		if b.o.short {
			continue
		}
		if _, err := ready[r.name].window(ctx, r, b.o.window/4); err != nil { // what is slow the first time
			return nil, fmt.Errorf("%s: %w", r.name, r.ended(err))
		}
	}
	w := b.windows(len(all))
	if s.longer > 0 {
		w.during = time.Duration(s.longer * float64(w.during))
	}
	samples, err := w.measure(ctx, all, func(ctx context.Context, r *running, during time.Duration) (sample, error) {
		return ready[r.name].window(ctx, r, during)
	}, b.say)
	return &measured{Samples: samples}, err
}

// handshakes prepares whole handshakes with these key exchanges offered. Servers of
// today's Go must take the first.
func handshakes(offered ...tls.CurveID) func(context.Context, *running) (prepared, error) {
	return func(_ context.Context, r *running) (prepared, error) {
		t := r.target
		t.offered = offered
		switch r.name {
		case wellkey, wellkeyMany, oneAgain, bare:
			t.agreed = offered[0]
		case caddy, caddyFile:
			if !r.old {
				t.agreed = offered[0]
			}
		}
		return visiting(&t), nil
	}
}

// resumptions prepares handshakes with a ticket.
func resumptions(_ context.Context, r *running) (prepared, error) {
	t := r.target
	t.offered = []tls.CurveID{tls.X25519}
	resumable, err := t.resumable()
	if err != nil {
		return prepared{}, err
	}
	return visiting(resumable), nil
}

func visiting(t *target) prepared { return prepared{window: perOperation(visitsOf(t))} }

func visitsOf(t *target) load {
	return func(ctx context.Context, _ *running, during time.Duration) (int64, error) {
		return t.visits(ctx, during)
	}
}

// keepAlive prepares requests over open connections. They are opened in the window,
// but before what counts, since a server may close those that are idle.
func keepAlive(_ context.Context, r *running) (prepared, error) {
	t := r.target
	var conns kept
	count := perOperation(func(ctx context.Context, _ *running, during time.Duration) (int64, error) {
		return t.requests(ctx, conns, during)
	})
	return prepared{window: func(ctx context.Context, r *running, during time.Duration) (got sample, err error) {
		if conns, err = t.keep(ctx, keptAlive); err != nil {
			return 0, err
		}
		defer conns.close()
		return count(ctx, r, during)
	}}, nil
}

// succeeded is where h2load says how many requests were answered with 200.
var succeeded = regexp.MustCompile(`(?m)^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored`)

// multiplexed prepares requests over HTTP/2: 16 connections with 32 streams each.
func multiplexed(_ context.Context, r *running) (prepared, error) {
	return prepared{window: perOperation(func(ctx context.Context, r *running, during time.Duration) (int64, error) {
		ctx, cancel := context.WithTimeout(ctx, during+visitPatience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "h2load", "-c16", "-m32", "-t1", fmt.Sprintf("--duration=%dms", max(during, time.Second).Milliseconds()), "--connect-to="+r.addr, "https://"+host+r.path)
		dieWithUs(cmd)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("h2load: %w\n%s", err, out)
		}
		return requestsOf(out)
	})}, nil
}

// requestsOf reads what h2load says at its end.
func requestsOf(out []byte) (int64, error) {
	words := succeeded.FindSubmatch(out)
	if words == nil {
		return 0, fmt.Errorf("h2load does not say how many requests succeeded:\n%s", out)
	}
	for _, bad := range words[2:] {
		if string(bad) != "0" {
			return 0, fmt.Errorf("h2load: not all requests succeeded:\n%s", out)
		}
	}
	return strconv.ParseInt(string(words[1]), 10, 64)
}

// arrivals prepares new connections that come at a pace, however long each takes.
func arrivals(_ context.Context, r *running) (prepared, error) {
	t := r.target
	return prepared{window: func(ctx context.Context, _ *running, during time.Duration) (sample, error) {
		took, err := t.arrivals(ctx, 1000, during)
		if err != nil {
			return 0, err
		}
		values := make([]float64, len(took))
		for i, d := range took {
			values[i] = d.Seconds() * 1000
		}
		return median(values), nil
	}}, nil
}

// starts measures how long a server takes from exec to the first 200. One start is
// shorter than what others do on the quietest machine, so a window has several, one
// after the other, and gives their median.
func starts(ctx context.Context, b *bench, s *scenario) (*measured, error) {
	return b.inTurn(ctx, s, b.o.repetitions, func(ctx context.Context, name string, _ int) (sample, error) {
		took := make([]float64, b.o.starts)
		for i := range took {
			var err error
			if took[i], err = b.start(ctx, name); err != nil {
				return 0, err
			}
		}
		return median(took), nil
	})
}

// start starts a server, and returns the milliseconds until its first 200.
func (b *bench) start(ctx context.Context, name string) (float64, error) {
	r, err := b.stage.launch(name)
	if err != nil {
		return 0, err
	}
	defer r.stop()
	if err := r.awaitFirst(ctx, &r.target, time.Minute); err != nil {
		return 0, err
	}
	return time.Since(r.began).Seconds() * 1000, nil
}

// memories measures the memory of a server that has been visited by many, who stay.
func memories(open, repetitions int) func(context.Context, *bench, *scenario) (*measured, error) {
	return func(ctx context.Context, b *bench, s *scenario) (*measured, error) {
		n := min(open, b.o.open)
		return b.inTurn(ctx, s, min(repetitions, b.o.repetitions), func(ctx context.Context, name string, _ int) (got sample, err error) {
			var lifted []string
			if n > 0 {
				lifted = []string{"MAX_CONNECTIONS=10000"}
			}
			r, err := b.stage.launch(name, lifted...)
			if err != nil {
				return 0, err
			}
			defer r.stop()
			if err := r.awaitFirst(ctx, &r.target, time.Minute); err != nil {
				return 0, err
			}
			conns, err := r.keep(ctx, n)
			if err != nil {
				return 0, err
			}
			defer conns.close()
			if err := errors.Join(pause.For(ctx, b.o.rest), r.settle(ctx, shortLook, 5*time.Second)); err != nil {
				return 0, err
			}
			bytes, err := r.pss()
			if err != nil {
				return 0, err
			}
			lost, err := conns.lost()
			if lost > 0 { // it took so long to open them that the first were idle for too long
				b.say("  %s has closed %d of %d connections: void", titleOf(name), lost, n)
				return 0, err
			}
			return bytes / (1 << 20), err
		})
	}
}

// sizes looks at the programs. Debian's are linked with libraries of the system, and
// so have no size that could be compared.
func sizes(_ context.Context, b *bench, _ *scenario) (*measured, error) {
	m := &measured{Samples: map[string][]sample{}}
	for name, path := range map[string]string{wellkey: b.stage.deed.programs.wellkey, caddy: b.stage.deed.programs.caddy} {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		m.put(name, 0, float64(info.Size())/1e6)
	}
	return m, nil
}
