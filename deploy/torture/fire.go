package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"wellkey/internal/pause"
)

// An attack does something bad to t, bounded in count and time, and says what
// became of it.
type attack struct {
	name string
	do   func(ctx context.Context, t *aim) (saw string, err error)
	app  bool // wellkey has an application behind it, and the memory of a small container
	far  bool // somebody from far away wants the key, too

	// It is more than the processors can do, from clients that nobody can tell from visitors,
	// so that some visits fail, and most are slow: how slow is told, and not judged.
	beyond bool
}

// chosen returns those of attacks that o asks for.
func (o options) chosen() []attack {
	return slices.DeleteFunc(attacks(o), func(a attack) bool { return !strings.Contains(a.name, o.only) })
}

// attacks returns all of them.
func attacks(o options) []attack {
	connections := o.few(5000)
	span, short := 20*time.Second, 5500*time.Millisecond // 120 visits, with what comes afterwards
	patience := 8 * time.Second                          // longer than wellkey waits for a handshake
	reaped := 6 * time.Second                            // a second longer than it waits for a header
	if o.fast {
		span, short = 2*time.Second, 500*time.Millisecond
		patience, reaped = time.Minute, time.Minute // the machine may be busy with other things
	}
	all := []attack{{name: "nothing", do: func(ctx context.Context, _ *aim) (string, error) {
		return "", pause.For(ctx, short)
	}}}
	for _, slow := range []struct{ name, mode string }{{"slow headers", slowHeaders}, {"slow bodies", slowBodies}, {"slow reading", slowReading}} {
		all = append(all, attack{name: fmt.Sprintf("slowhttptest %s: %s, %d connections", slow.mode, slow.name, connections),
			do: func(ctx context.Context, t *aim) (string, error) {
				return slowly(ctx, t, slow.mode, connections, span)
			}})
	}
	all = append(all,
		attack{name: fmt.Sprintf("%d slow headers and %d idle connections on 443, and as many on 80, all at once, each from an address or IPv6 /64 of its own", connections, connections),
			do: func(ctx context.Context, t *aim) (string, error) {
				return together(ctx, t, connections, reaped)
			}})
	all = append(all, idleAttacks(connections, short)...)
	all = append(all, http2Attacks(o, short)...)
	all = append(all, askingAttacks(o, short)...)
	all = append(all,
		attack{name: "ClientHello flood from 2,000 addresses", do: func(ctx context.Context, t *aim) (string, error) { return hellos(ctx, t, 2000, span/2) }},
		attack{name: "ClientHello flood from one address", do: func(ctx context.Context, t *aim) (string, error) { return hellos(ctx, t, 1, short) }},
		attack{name: fmt.Sprintf("ClientHello and then silence, %d a second from 2,000 addresses", o.few(1000)), do: func(ctx context.Context, t *aim) (string, error) {
			return silent(ctx, t, o.few(1000), true, short)
		}},
		attack{name: "ClientHello and then silence, as fast as they are sent, from 2,000 addresses", beyond: true, do: func(ctx context.Context, t *aim) (string, error) {
			return silent(ctx, t, 0, true, short)
		}},
		attack{name: fmt.Sprintf("%d connections a second from 2,000 addresses that say nothing, and a visitor 200 ms away", o.few(5000)), far: true,
			do: func(ctx context.Context, t *aim) (string, error) { return silent(ctx, t, o.few(5000), false, short) }},
		attack{name: "garbage on 443", do: func(ctx context.Context, t *aim) (string, error) {
			return garbage(ctx, t, connections, short, patience)
		}},
		attack{name: "plaintext on 443", do: func(ctx context.Context, t *aim) (string, error) {
			return plaintext(ctx, t, connections, short, patience)
		}},
	)
	return append(all, behindAttacks(o, 2*span/3)...)
}

// underFire attacks a wellkey with everything, one after the other, and then one that has
// an application behind it.
func underFire(ctx context.Context, o options, dir string, r *report, say func(string, ...any)) (err error) {
	chosen := o.chosen()
	if slices.ContainsFunc(chosen, func(a attack) bool { return !a.app }) {
		if err := fired(ctx, o, dir, false, nil, nil, r, say); err != nil {
			return err
		}
	}
	if !slices.ContainsFunc(chosen, func(a attack) bool { return a.app }) {
		return nil
	}
	addr, stop, err := application()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	// What wellkey lets the collector of garbage have where a container has as much.
	environ := []string{fmt.Sprintf("GOMEMLIMIT=%d", container/10*9)}
	return fired(ctx, o, dir+"-behind", true, environ, []string{"UPSTREAM=http://" + addr}, r, say)
}

// application starts an application that says hello.
func application() (addr string, stop func() error, err error) {
	l, err := net.Listen("tcp", private+":0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello\n") // to whoever waits
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	return l.Addr().String(), func() error {
		err := server.Close()
		if closed := <-ended; !errors.Is(closed, http.ErrServerClosed) {
			err = errors.Join(err, closed)
		}
		return err
	}, nil
}

// fired attacks one wellkey with those of the chosen attacks that want one with, or
// without, an application.
func fired(ctx context.Context, o options, dir string, app bool, environ, settings []string, r *report, say func(string, ...any)) (err error) {
	t, err := start(ctx, o, dir, environ, append(settings, "LOG_LEVEL=info")...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	near := visit(ctx, t.key, func(ctx context.Context) ([]byte, error) { return t.fetch(ctx, nearVisitor, 0) })
	defer near.stop()
	for n, one := range o.chosen() {
		if one.app != app {
			continue
		}
		say("%s", one.name)
		seen := row{name: one.name, beyond: one.beyond, app: app}
		near.turn()
		if seen.began, err = t.calm(); err != nil {
			return err
		}
		seen.saw, seen.far, err = t.attacked(ctx, o, n, one)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		seen.visited = near.turn()
		if seen.memory, err = t.memory(); err != nil {
			return err
		}
		r.attack(seen)
		say("  %d right, %d wrong, p50 %v, p99 %v, slowest %v, %s; %s", seen.visited.good, seen.visited.bad, seen.visited.p50, seen.visited.p99, seen.visited.slowest, megabytes(seen.memory), seen.told())
	}
	series, err := t.series(ctx)
	if err != nil {
		return err
	}
	if n := sum(series, "wellkey_panics_total", ""); n > 0 {
		r.fault("%.0f panics", n)
	}
	with := ""
	if app {
		with = "With an application behind, "
	}
	r.say("%s%.0f connections lost their place to newer ones; %.0f were turned away for the rate and %.0f for the number of their address, and %.0f because no place was free.", with,
		sum(series, "wellkey_connections_displaced_total", ""), sum(series, "wellkey_connections_rejected_total", `"rate"`),
		sum(series, "wellkey_connections_rejected_total", `"address"`), sum(series, "wellkey_connections_rejected_total", `"total"`))
	return nil
}

// attacked has attackers do one attack, and has somebody from far away visit where that is
// a part of it.
func (t *target) attacked(ctx context.Context, o options, n int, one attack) (saw string, far *visited, err error) {
	if one.far {
		v := visit(ctx, t.key, func(ctx context.Context) ([]byte, error) { return t.fetch(ctx, farVisitor, farAway) })
		defer v.stop()
		defer func() {
			seen := v.turn()
			far = &seen
		}()
	}
	if saw, err = launch(ctx, o, n, &t.aim); err != nil {
		return "", nil, err
	}
	afterwards := time.Second // what it left behind is a part of it
	if o.fast {
		afterwards /= 2
	}
	return saw, nil, pause.For(ctx, afterwards)
}

// farAway is the round trip of the visitor from far away: that of a phone on a poor
// mobile network, or of the other side of the world.
const farAway = 200 * time.Millisecond
