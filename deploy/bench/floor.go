package main

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/mlkem"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"wellkey/internal/pause"
)

// A floor is what a handshake in Go must cost at least, on this machine.
type floor struct {
	Sign, Exchange, Encapsulate float64            // µs
	Calls                       map[string]float64 // system calls for a visit, by peer
}

// floorHere measures the arithmetic, and counts the system calls of those that run
// over a number of visits.
func floorHere(ctx context.Context, all []*running, visits int) (*floor, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	other, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	decapsulation, err := mlkem.GenerateKey768()
	if err != nil {
		return nil, err
	}
	f := &floor{Calls: map[string]float64{}}
	digest := make([]byte, 32)
	for _, part := range []struct {
		into *float64
		work func() error
	}{
		{&f.Sign, func() error { _, err := ecdsa.SignASN1(rand.Reader, key, digest); return err }},
		{&f.Exchange, func() error {
			own, err := ecdh.X25519().GenerateKey(rand.Reader)
			if err == nil {
				_, err = own.ECDH(other.PublicKey())
			}
			return err
		}},
		{&f.Encapsulate, func() error { decapsulation.EncapsulationKey().Encapsulate(); return nil }},
	} {
		if *part.into, err = quickest(ctx, part.work); err != nil {
			return nil, err
		}
	}
	for _, r := range all {
		if r.name == nginxAgain {
			continue
		}
		calls, err := callsOf(ctx, r, visits)
		if err != nil {
			return nil, fmt.Errorf("counting the system calls of %s: %w", r.name, err)
		}
		f.Calls[r.name] = calls
	}
	return f, nil
}

// quickest returns the time that work takes, in microseconds, in the best of many
// batches: what else the machine does can only make it longer.
func quickest(ctx context.Context, work func() error) (float64, error) {
	const batches, batch = 300, 5
	best := 0.
	for range batches {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		began := time.Now()
		for range batch {
			if err := work(); err != nil {
				return 0, err
			}
		}
		if took := time.Since(began).Seconds() * 1e6 / batch; best == 0 || took < best {
			best = took
		}
	}
	return best, nil
}

// callsOf counts the system calls of a server for one visit, with strace.
func callsOf(ctx context.Context, r *running, visits int) (float64, error) {
	dir, err := os.MkdirTemp("", "wellkey-bench-strace-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	counts := filepath.Join(dir, "counts")
	args := []string{"-f", "-c", "-U", "calls,name", "-o", counts}
	for _, pid := range r.pids() {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	var said tail
	strace := exec.CommandContext(ctx, "strace", args...)
	strace.Stdout, strace.Stderr = &said, &said
	dieWithUs(strace)
	if err := strace.Start(); err != nil {
		return 0, err
	}
	attached := false
	for range 500 {
		if attached = strings.Count(said.String(), "attached") >= len(r.pids()); attached {
			break
		}
		if err := pause.For(ctx, 10*time.Millisecond); err != nil {
			break
		}
	}
	t, buffer := r.target, make([]byte, bufferSize)
	config := t.config()
	for range visits {
		if !attached || err != nil {
			break
		}
		err = t.visit(config, t.request(config), buffer)
	}
	_ = strace.Process.Signal(syscall.SIGINT) // it lets go of the server, and writes
	_ = strace.Wait()                         // it ends by that signal
	if !attached {
		return 0, fmt.Errorf("strace did not attach: %s", said.String())
	}
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(counts)
	if err != nil {
		return 0, err
	}
	total, err := totalCalls(text)
	return total / float64(visits), err
}

var callLine = regexp.MustCompile(`^\s*(\d+)\s+(\w+)\s*$`)

// totalCalls adds up what strace has counted, but for the end of the attachment.
func totalCalls(text []byte) (total float64, err error) {
	for line := range bytes.Lines(text) {
		words := callLine.FindSubmatch(line)
		if words == nil || string(words[2]) == "total" || string(words[2]) == "restart_syscall" {
			continue
		}
		n, err := strconv.ParseFloat(string(words[1]), 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	if total == 0 {
		return 0, errors.New("strace has counted nothing")
	}
	return total, nil
}
