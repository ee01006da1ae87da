package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"wellkey/internal/pause"
)

// An attack does something bad to t, bounded in count and time, and says what
// became of it.
type attack struct {
	name string
	do   func(ctx context.Context, t *aim) (saw string, err error)
}

// chosen returns those of attacks that o asks for.
func (o options) chosen() []attack {
	return slices.DeleteFunc(attacks(o), func(a attack) bool { return !strings.Contains(a.name, o.only) })
}

// attacks returns all of them.
func attacks(o options) []attack {
	connections := o.few(5000)
	span := 20 * time.Second
	patience := 8 * time.Second // longer than wellkey waits for a handshake
	if o.fast {
		span = 4 * time.Second
		patience = time.Minute // the machine may be busy with other things
	}
	short := span / 4
	all := []attack{{"nothing", func(ctx context.Context, _ *aim) (string, error) {
		return "", pause.For(ctx, short)
	}}}
	for _, slow := range []struct{ name, mode string }{{"slow headers", "-H"}, {"slow bodies", "-B"}, {"slow reading", "-X"}} {
		all = append(all, attack{fmt.Sprintf("slowhttptest %s: %s, %d connections", slow.mode, slow.name, connections),
			func(ctx context.Context, t *aim) (string, error) {
				return slowly(ctx, t, slow.mode, connections, span)
			}})
	}
	all = append(all,
		attack{fmt.Sprintf("%d idle connections, each from an address or IPv6 /64 of its own", connections), func(ctx context.Context, t *aim) (string, error) {
			return idle(ctx, t, connections, false, short)
		}},
		attack{fmt.Sprintf("%d idle connections from 127.0.0.0/8", connections), func(ctx context.Context, t *aim) (string, error) {
			return idle(ctx, t, connections, true, short)
		}},
		attack{fmt.Sprintf("%d handshakes that claim to be long, and stay without an end", connections), func(ctx context.Context, t *aim) (string, error) {
			return longHellos(ctx, t, connections, short)
		}},
		attack{fmt.Sprintf("%d idle connections to port 80", connections), func(ctx context.Context, t *aim) (string, error) {
			return idlePlain(ctx, t, connections, short)
		}},
	)
	all = append(all, http2Attacks(o, short)...)
	all = append(all, askingAttacks(o, short)...)
	return append(all,
		attack{"ClientHello flood from 2,000 addresses", func(ctx context.Context, t *aim) (string, error) { return hellos(ctx, t, 2000, span/2) }},
		attack{"ClientHello flood from one address", func(ctx context.Context, t *aim) (string, error) { return hellos(ctx, t, 1, short) }},
		attack{"garbage on 443", func(ctx context.Context, t *aim) (string, error) { return garbage(ctx, t, o.few(5000), patience) }},
		attack{"plaintext on 443", func(ctx context.Context, t *aim) (string, error) { return plaintext(ctx, t, o.few(5000), patience) }},
	)
}

// underFire attacks one wellkey with everything, one after the other.
func underFire(ctx context.Context, o options, dir string, r *report, say func(string, ...any)) (err error) {
	t, err := start(ctx, o, dir, "LOG_LEVEL=info")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	v := visit(ctx, t)
	defer v.stop()
	for n, one := range o.chosen() {
		say("%s", one.name)
		v.turn()
		if err := t.calm(); err != nil {
			return err
		}
		saw, err := launch(ctx, o, n, &t.aim)
		if err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
		if err := pause.For(ctx, time.Second); err != nil { // what it left behind is a part of it
			return err
		}
		seen := row{name: one.name, saw: saw, visited: v.turn()}
		if seen.memory, err = t.memory(); err != nil {
			return err
		}
		r.attack(seen)
		say("  %d right, %d wrong, p50 %v, p99 %v, %s; %s", seen.visited.good, seen.visited.bad, seen.visited.p50, seen.visited.p99, megabytes(seen.memory), saw)
	}
	series, err := t.series(ctx)
	if err != nil {
		return err
	}
	sum := func(pattern string) (n float64) {
		match := regexp.MustCompile(pattern)
		for name, value := range series {
			if match.MatchString(name) {
				n += value
			}
		}
		return n
	}
	if n := sum(`^wellkey_panics_total`); n > 0 {
		r.fault("%.0f panics", n)
	}
	r.say("%.0f connections lost their place to newer ones; %.0f were turned away for the rate and %.0f for the number of their address, and %.0f because no place was free.",
		sum(`^wellkey_connections_displaced_total`), sum(`^wellkey_connections_rejected_total.*"rate"`), sum(`^wellkey_connections_rejected_total.*"address"`), sum(`^wellkey_connections_rejected_total.*"total"`))
	return nil
}

// slowly has slowhttptest hold connections for a while. All come from 127.0.0.1,
// behind which many may stand, so that no limit of one address helps.
func slowly(ctx context.Context, t *aim, mode string, connections int, span time.Duration) (string, error) {
	args := []string{mode, "-c", strconv.Itoa(connections), "-r", "1000", "-i", "2", "-l", strconv.Itoa(int(span.Seconds())), "-p", "3", "-x", "24",
		"-u", "https://" + private + ":" + t.Port + "/", "-v", "1"}
	if mode == "-X" {
		args = append(args, "-w", "1", "-y", "2", "-n", "5", "-z", "1", "-k", "10")
	}
	// It asks whether the service is still there by visits of its own, and may end
	// with a status that says no; what counts is our visitor.
	out, err := exec.CommandContext(ctx, "slowhttptest", args...).CombinedOutput()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	if !strings.Contains(string(out), "Exit status") {
		return "", fmt.Errorf("slowhttptest did not do it: %s", out)
	}
	series, err := t.series(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%.0f are open at the end", series[`wellkey_connections{listener="https"}`]), nil
}
