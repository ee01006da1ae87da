package webconfig_test

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/internal/webconfig"
)

// What a flood of wrong passwords has of a processor, as docs/admin.md says.
func TestShareOfAFlood(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]float64{70 * time.Millisecond: 1. / 4, time.Second / 3: 1. / 4, time.Second: 1. / 2} {
		synctest.Test(t, func(t *testing.T) {
			var turns webconfig.Turns
			began := time.Now()
			const many = 100
			for range many {
				turns.Enter(t.Context(), "198.51.100.1:1")
				time.Sleep(took)
				turns.Wrong("198.51.100.1:1", took)
			}
			turns.Enter(t.Context(), "198.51.100.2:1")
			turns.Right()
			if got := float64(many*took) / float64(time.Since(began)); math.Abs(got-want) > 0.001 {
				t.Errorf("where one takes %v: got %.3f of the time, want %.3f", took, got, want)
			}
		})
	}
}

// Of many that came at once, before any was wrong, one wrong password has the others go
// after those who did not take part, and but a few of them wait.
func TestTurnsOfAFloodAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const attacker, scraper = "198.51.100.1:1", "198.51.100.2:1"
		var turns webconfig.Turns
		turns.Enter(t.Context(), attacker)
		ctx, cancel := context.WithCancel(t.Context())
		var entered, refused atomic.Int32
		for range 30 {
			go func() {
				if turns.Enter(ctx, attacker) {
					entered.Add(1)
				} else {
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		turns.Wrong(attacker, time.Second)
		synctest.Wait()
		if got := refused.Load(); got != 30-webconfig.MostWaiting {
			t.Errorf("%d were sent away", got)
		}
		if !turns.Enter(t.Context(), scraper) || entered.Load() > 0 {
			t.Errorf("%d of the flood came first", entered.Load())
		}
		cancel()
		synctest.Wait()
		turns.Right()
		if !turns.Enter(t.Context(), attacker) || entered.Load() > 0 {
			t.Error("who gave up has a turn")
		}
		turns.Right()
	})
}

// Whoever did not take part in a flood of wrong passwords comes first.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const attacker, neighbour, scraper, took = "[2001:db8::1]:1", "[2001:db8::2]:2", "198.51.100.1:1", 70 * time.Millisecond
		var turns webconfig.Turns
		began := time.Now()
		if !turns.Enter(t.Context(), attacker) {
			t.Fatal("the first has to wait")
		}
		order := make(chan string, 3)
		wait := func(address string) {
			go func() {
				if turns.Enter(t.Context(), address) {
					order <- address
				}
			}()
			synctest.Wait()
		}
		time.Sleep(took)
		turns.Wrong(attacker, took)
		wait(attacker)
		wait(neighbour)
		wait(scraper)
		for _, want := range []string{scraper, attacker, neighbour} {
			if got := <-order; got != want {
				t.Errorf("it is the turn of %s, want %s", got, want)
			}
			if want == scraper {
				if rest := time.Since(began) - took; rest != webconfig.RestFor*took {
					t.Errorf("after a wrong password nobody has a turn for %v", rest)
				}
				turns.Right()
				continue
			}
			turns.Wrong(want, time.Hour)
			ended := time.Now()
			turns.Enter(t.Context(), scraper)
			if rest := time.Since(ended); rest != webconfig.MostRest && want == neighbour {
				t.Errorf("after one of an hour nobody has a turn for %v", rest)
			}
			turns.Right()
		}
		time.Sleep(webconfig.BlamedFor)
		turns.Enter(t.Context(), scraper)
		wait(attacker)
		wait(scraper)
		turns.Right()
		if got := <-order; got != attacker {
			t.Errorf("after a minute it is the turn of %s, though another came first", got)
		}
		turns.Right()
		<-order
		turns.Right()
	})
}

// Who gives up takes no turn, and those who are blamed are bounded.
func TestTurnsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var turns webconfig.Turns
		turns.Enter(t.Context(), "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if turns.Enter(ctx, "b") {
			t.Error("two have a turn")
		}
		turns.Right()
		for n := range 2 * webconfig.MostBlamed {
			turns.Enter(t.Context(), "c")
			turns.Wrong(fmt.Sprintf("198.51.%d.%d:1", n/250, n%250), time.Millisecond)
		}
		if n := turns.Blamed(); n != webconfig.MostBlamed {
			t.Errorf("%d are blamed", n)
		}
		turns.Enter(t.Context(), "d")
		time.Sleep(webconfig.BlamedFor)
		turns.Wrong("203.0.113.1:1", time.Millisecond)
		if n := turns.Blamed(); n != 1 {
			t.Errorf("a minute later %d are blamed", n)
		}
		turns.Enter(t.Context(), "e")
		turns.Right()
	})
}

// Of those who were wrong only a few wait, and who has given up is none of them.
func TestTurnsAreNotWaitedForByMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const attacker = "198.51.100.1:1"
		var turns webconfig.Turns
		turns.Enter(t.Context(), attacker)
		turns.Wrong(attacker, time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		for range webconfig.MostWaiting {
			go func() {
				if turns.Enter(ctx, attacker) {
					t.Error("an attacker has a turn")
				}
			}()
		}
		synctest.Wait()
		began := time.Now()
		if turns.Enter(t.Context(), attacker) || time.Since(began) > 0 {
			t.Errorf("one more attacker waited for %v", time.Since(began))
		}
		<-ctx.Done()
		synctest.Wait()
		if !turns.Enter(t.Context(), attacker) {
			t.Error("nobody waits, and an attacker is refused")
		}
		turns.Right()
	})
}
