package storagetest

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"
)

func testGuard(t *testing.T, b Backend) {
	address := b.New(t)
	s, other := b.Open(t, address), b.Open(t, address)
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
	guarded, release, err := s.Guard(ctx, "g")
	check(t, err)
	if guarded.Value(key{}) != "v" {
		t.Error("the guarded context is not one of the caller's")
	}
	wantTry(t, other, "g", false)
	check(t, s.Store(guarded, "d/k", []byte("one")))
	check(t, s.Store(context.WithoutCancel(guarded), "d/k", []byte("two"))) // is guarded all the same
	wantValue(t, other, "d/k", "two")
	check(t, s.Delete(guarded, "d"))
	check(t, s.Delete(guarded, "d"))
	check(t, s.Store(guarded, "d/k", nil))
	wantValue(t, other, "d/k", "")
	cancel()
	<-guarded.Done()
	check(t, release(t.Context()))
	if err := release(t.Context()); err == nil {
		t.Error("releasing twice: got no error")
	}
	wantTry(t, other, "g", true)
	wantError(t, "a write after the release", s.Store(context.WithoutCancel(guarded), "d/k", []byte("late")), b.Lost)
	check(t, other.Unlock(t.Context(), "g"))
	wantValue(t, other, "d/k", "")
}

func testGuardLost(t *testing.T, b Backend) {
	address := b.New(t)
	s := b.Open(t, address)
	guarded, release, err := s.Guard(t.Context(), "g")
	check(t, err)
	check(t, s.Store(guarded, "k", []byte("mine")))
	b.Seize(t, address, "g")
	// At once, before anybody here has seen it.
	still := context.WithoutCancel(guarded)
	wantError(t, "Store under a lost lock", s.Store(still, "k", []byte("late")), b.Lost)
	wantError(t, "Store of what is there, under a lost lock", s.Store(still, "k", []byte("mine")), b.Lost)
	wantError(t, "Store of a new key under a lost lock", s.Store(still, "new", []byte("late")), b.Lost)
	wantError(t, "Delete under a lost lock", s.Delete(still, "k"), b.Lost)
	wantValue(t, s, "k", "mine")
	check(t, s.Store(t.Context(), "k", []byte("not guarded"))) // others may
	select {
	case <-guarded.Done():
		wantError(t, "the cause of the end", context.Cause(guarded), b.Lost)
	case <-time.After(10*b.Lease + 10*time.Second):
		t.Error("the guarded context goes on after the lock was lost")
	}
	wantError(t, "release of a lost lock", release(t.Context()), b.Lost)
	wantTry(t, b.Open(t, address), "g", false)
}

// workGuarded tries to write after the end of the input, and says by another key
// what came of it.
func (b Backend) workGuarded(t *testing.T, s Storage) {
	guarded, release, err := s.Guard(t.Context(), "l")
	check(t, err)
	check(t, s.Store(guarded, "k", []byte("of the worker")))
	_, err = os.Stdout.WriteString(ready + "\n")
	check(t, err)
	_, err = io.Copy(io.Discard, os.Stdin)
	check(t, err)
	// As fast as it can, and long enough for its own refresher to wake up, too.
	said := "written"
	for range 20 {
		if err := s.Store(context.WithoutCancel(guarded), "k", []byte("of the worker, late")); errors.Is(err, b.Lost) {
			said = "refused"
		} else if err != nil || said == "refused" {
			said = "neither: " + said
			break
		}
	}
	check(t, s.Store(t.Context(), "said", []byte(said)))
	_ = release(t.Context()) // It may be lost.
}

func testPaused(t *testing.T, b Backend) {
	address := b.New(t)
	w := start(t, address, roleGuard)
	w.awaitReady(t)
	s := b.Open(t, address)
	wantTry(t, s, "l", false)
	check(t, w.command.Process.Signal(syscall.SIGSTOP))
	ctx, cancel := context.WithTimeout(t.Context(), 3*b.Lease+5*time.Second)
	if b.Steady {
		ctx, cancel = context.WithTimeout(t.Context(), 3*b.Lease)
	}
	defer cancel()
	guarded, release, err := s.Guard(ctx, "l")
	if b.Steady {
		wantError(t, "Guard of what a living process holds", err, context.DeadlineExceeded)
	} else {
		check(t, err)
		check(t, s.Store(guarded, "k", []byte("of the successor")))
	}
	check(t, w.input.Close()) // It writes as soon as it wakes.
	check(t, w.command.Process.Signal(syscall.SIGCONT))
	w.wait(t)
	if b.Steady {
		wantValue(t, s, "said", "written")
		wantValue(t, s, "k", "of the worker, late")
		return
	}
	wantValue(t, s, "said", "refused")
	wantValue(t, s, "k", "of the successor")
	check(t, release(t.Context()))
}
