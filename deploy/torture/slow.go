package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"wellkey/internal/pause"
)

// held is how many connections wellkey holds of each listener.
type held struct{ https, http float64 }

// holds asks wellkey how many those are.
func (a *aim) holds(ctx context.Context) (held, error) {
	series, err := a.series(ctx)
	return held{series[`wellkey_connections{listener="https"}`], series[`wellkey_connections{listener="http"}`]}, err
}

// lookEvery is how often that is asked.
const lookEvery = 100 * time.Millisecond

// most looks how many connections wellkey holds, until it is told to stop. It returns the
// most at a time, and for how long there were half as many or more on 443.
func (a *aim) most(ctx context.Context) (stop func() (most held, long time.Duration, err error)) {
	ctx, cancel := context.WithCancel(ctx)
	type look struct {
		held
		at time.Time
	}
	var looks []look
	ended := make(chan error, 1)
	go func() {
		for pause.For(ctx, lookEvery) == nil {
			now, err := a.holds(context.WithoutCancel(ctx)) // nothing ends a look that is under way
			if err != nil {
				ended <- err
				return
			}
			looks = append(looks, look{now, time.Now()})
		}
		ended <- nil
	}()
	return func() (most held, long time.Duration, err error) {
		cancel()
		err = <-ended
		for _, one := range looks {
			most.https, most.http = max(most.https, one.https), max(most.http, one.http)
		}
		for n := 1; n < len(looks); n++ {
			if looks[n-1].https >= most.https/2 && looks[n].https >= most.https/2 {
				long += looks[n].at.Sub(looks[n-1].at)
			}
		}
		return most, long, err
	}
}

// What slowhttptest is to do.
const (
	slowHeaders = "-H"
	slowBodies  = "-B"
	slowReading = "-X"
)

// slowly has slowhttptest hold connections for a while. All come from 127.0.0.1,
// behind which many may stand, so that no limit of one address helps.
//
// A body is not waited for, since the answer does not need it: who sends it slowly is held
// for a moment, and is one of those that were answered.
func slowly(ctx context.Context, t *aim, mode string, connections int, span time.Duration) (string, error) {
	args := []string{mode, "-c", strconv.Itoa(connections), "-r", "1000", "-i", "2", "-l", strconv.Itoa(int(span.Seconds())), "-p", "3", "-x", "24",
		"-u", "https://" + private + ":" + t.Port + "/", "-v", "1"}
	if mode == slowReading {
		args = append(args, "-w", "1", "-y", "2", "-n", "5", "-z", "1", "-k", "10")
	}
	before, err := t.series(ctx)
	if err != nil {
		return "", err
	}
	stop := t.most(ctx)
	// It asks whether the service is still there by visits of its own, and may end
	// with a status that says no; what counts is our visitor.
	out, err := exec.CommandContext(ctx, "slowhttptest", args...).CombinedOutput()
	most, long, mostErr := stop()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	end, err := slowEnd(string(out))
	after, afterErr := t.series(ctx)
	const counter = "wellkey_http_requests_total"
	answered := sum(after, counter, "") - sum(before, counter, "") // the visitor's are twenty a second
	switch least := span / 10; {
	case err != nil:
	case mode == slowBodies:
		err = t.nearlyAll("answered", int64(answered), connections)
	case long < least:
		err = fmt.Errorf("for %v only were there half as many connections as at the most, %v is the least", long, least)
	default:
		err = enough("held at a time", int64(most.https), connections)
	}
	return fmt.Sprintf("at most %.0f at a time, at least half of that for %.1f s; %.0f requests answered; %s", most.https, long.Seconds(), answered, end), errors.Join(err, mostErr, afterErr)
}

var slowStatus = regexp.MustCompile(`Exit status:(?:\x1b\[[0-9;]*m)? *([^\x1b\n]+)`)

// slowEnd returns why slowhttptest ended, by its own words; any but its time or the end
// of all its connections is an error.
func slowEnd(out string) (string, error) {
	found := slowStatus.FindStringSubmatch(out)
	if found == nil {
		return "", fmt.Errorf("slowhttptest did not do it: %s", out)
	}
	switch strings.TrimSpace(found[1]) {
	case "Hit test time limit":
		return "it went on to the end", nil
	case "No open connections left":
		return "all were closed before the end", nil
	}
	return "", fmt.Errorf("slowhttptest gave up: %s", found[1])
}

// together has slow headers and idle connections on both listeners at once, each from an
// address of its own, so many of each. It fails where they do not fill the listeners, and
// where any is left so long after the last of them was opened.
func together(ctx context.Context, t *aim, connections int, reaped time.Duration) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := t.most(ctx)
	var slow, idle, away atomic.Int64
	var clients, opened sync.WaitGroup
	opening := make(chan struct{}, 64)
	failed := make(chan error, 4*connections)
	for n := range 4 * connections {
		opened.Add(1)
		clients.Go(func() {
			opening <- struct{}{}
			from, to := source(n, false)
			drips, secured := n/2%2 == 0, n/4%2 == 0 // of each address family as many
			conn, err := t.dial(ctx, from, to, map[bool]string{true: t.Port, false: t.Plain}[secured])
			if err == nil && secured && drips {
				conn, err = t.shake(ctx, conn, "http/1.1")
			}
			<-opening
			opened.Done()
			switch {
			case err == nil && drips:
				slow.Add(1)
				drip(ctx, conn)
			case err == nil:
				idle.Add(1)
				await(ctx, conn)
			case turnedAway(err):
				away.Add(1)
			default:
				failed <- err
			}
		})
	}
	opened.Wait()
	last := time.Now()
	now, err := held{https: 1 << 20}, error(nil)
	// One or two of each are visitors of ours.
	for err == nil && (now.https > 3 || now.http > 3) && time.Since(last) < reaped {
		if err = pause.For(ctx, lookEvery); err == nil {
			now, err = t.holds(ctx)
		}
	}
	gone := time.Since(last)
	if err == nil && gone >= reaped {
		err = fmt.Errorf("%v after the last was opened, %.0f are open to 443 and %.0f to 80", gone, now.https, now.http)
	}
	most, _, mostErr := stop()
	cancel()
	clients.Wait()
	close(failed)
	for one := range failed {
		err = errors.Join(err, one)
	}
	least, leastHTTP := min(1000, connections/2), min(500, connections/2) // what they hold, or nearly
	if t.Fast {
		least, leastHTTP = connections/10, connections/10
	}
	if err == nil && (int(most.https) < least || int(most.http) < leastHTTP) {
		err = fmt.Errorf("%.0f were open to 443 and %.0f to 80 at the most, and %d and %d are the least", most.https, most.http, least, leastHTTP)
	}
	return fmt.Sprintf("%d slow and %d idle were opened, %d turned away; %.0f to 443 and %.0f to 80 at a time at the most; all gone %.1f s after the last was opened",
		slow.Load(), idle.Load(), away.Load(), most.https, most.http, gone.Seconds()), errors.Join(err, mostErr, t.nearlyAll("opened", slow.Load()+idle.Load(), 4*connections))
}

// drip sends a header that has no end, line by line, until the connection is closed or ctx
// is done.
func drip(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { hangUp(conn) })()
	defer hangUp(conn)
	words := keyHeader
	for {
		if _, err := io.WriteString(conn, words); err != nil || pause.For(ctx, 700*time.Millisecond) != nil {
			return
		}
		words = "X-More: of it\r\n"
	}
}

// await lets a connection lie until it is closed or ctx is done.
func await(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { hangUp(conn) })()
	defer hangUp(conn)
	_, _ = io.Copy(io.Discard, conn)
}
