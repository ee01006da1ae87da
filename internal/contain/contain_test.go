package contain_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/contain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "Canary7f3a"

// part returns a Part, and its log.
func part() (*contain.Part, *observer.ObservedLogs) {
	core, logs := observer.New(zap.DebugLevel)
	return contain.New("test", zap.New(core)), logs
}

func explode(secret [32]byte, words any) {
	if secret[0] != 'C' {
		return
	}
	panic(words)
}

func secret() (s [32]byte) {
	copy(s[:], canary)
	return s
}

// TestTold: each panic is counted and told with its place, and never with its words.
func TestTold(t *testing.T) {
	for name, row := range map[string]struct {
		f    func()
		want string
	}{
		"words":           {func() { explode(secret(), canary) }, "string"},
		"error":           {func() { explode(secret(), errors.New(canary)) }, "*errors.errorString"},
		"nothing":         {func() { explode(secret(), nil) }, `"panic called with nil argument"`},
		"bug":             {func() { explode(secret(), make([]int, 0)[len(canary)]) }, `"runtime error: index out of range [10] with length 0"`},
		"other goroutine": {func() { contain.Together(3, func(i int) { explode(secret(), fmt.Sprint(canary, i)) }) }, "string"},
	} {
		p, logs := part()
		if !p.Do(row.f) {
			t.Errorf("%s: no panic", name)
		}
		if got := testutil.ToFloat64(p); got != 1 {
			t.Errorf("%s: %v panics are counted", name, got)
		}
		entries := logs.TakeAll()
		if len(entries) != 1 || entries[0].Level != zap.ErrorLevel || !strings.Contains(entries[0].Message, "panicked") {
			t.Fatalf("%s: logged %v", name, entries)
		}
		told := entries[0].ContextMap()
		stack := fmt.Sprint(told["stack"])
		if told["panic"] != row.want || !strings.Contains(stack, "contain_test.") || !strings.Contains(stack, "contain_test.go:") {
			t.Errorf("%s: told %v", name, told)
		}
		if all := fmt.Sprint(told); strings.Contains(all, canary) || strings.Contains(all, "0x43") || strings.Contains(all, "{0x") {
			t.Errorf("%s: words or arguments are told: %v", name, told)
		}
	}
	p, logs := part()
	if p.Do(func() {}) || logs.Len() != 0 || testutil.ToFloat64(p) != 0 {
		t.Error("what does not panic is told")
	}
}

// TestToldOnceAMinute: a panic that somebody can cause at will fills no log, and each is
// counted.
func TestToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, logs := part()
		other, others := part()
		for range 3 {
			for range 1000 {
				p.Do(func() { panic(canary) })
				p.Elsewhere("http: panic serving")
			}
			time.Sleep(time.Minute)
		}
		other.Do(func() { panic(canary) })
		if logs.Len() != 3 || others.Len() != 1 || testutil.ToFloat64(p) != 6000 {
			t.Errorf("%v panics are counted and %d logged, and %d of another part", testutil.ToFloat64(p), logs.Len(), others.Len())
		}
	})
}

// TestElsewhere: of a panic that net/http contained, the places are told.
func TestElsewhere(t *testing.T) {
	p, logs := part()
	said := func() (said string) {
		defer func() {
			buf := make([]byte, 64<<10)
			said = fmt.Sprintf("http: panic serving 192.0.2.1:1: %v\n%s", recover(), buf[:runtime.Stack(buf, false)])
		}()
		explode(secret(), "words\n\t"+canary+"\ngoroutine 1 [running]:\n\t"+canary)
		return ""
	}()
	p.Elsewhere(said)
	entries := logs.TakeAll()
	if len(entries) != 1 || entries[0].Level != zap.ErrorLevel || testutil.ToFloat64(p) != 1 {
		t.Fatalf("%v panics are counted, logged %v", testutil.ToFloat64(p), entries)
	}
	stack := fmt.Sprint(entries[0].ContextMap()["stack"])
	if !strings.Contains(stack, "contain_test.go:") || strings.Contains(stack, canary) || strings.Contains(stack, "0x") {
		t.Errorf("told %s", stack)
	}
	p.Elsewhere("")
}

func TestOnce(t *testing.T) {
	p, _ := part()
	broken := errors.New("broken")
	if err := p.Once(func() error { return broken }); err != broken {
		t.Errorf("got %v", err)
	}
	if err := p.Once(func() error { panic(canary) }); !errors.Is(err, contain.ErrPanicked) || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v", err)
	}
}

// TestAgain: a loop goes on after a pause that grows, and ends when it is told to.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, logs := part()
		began, broken := time.Now(), errors.New("broken")
		var at []time.Duration
		err := p.Again(t.Context(), func(context.Context) error {
			at = append(at, time.Since(began))
			if len(at) <= 8 {
				panic(canary)
			}
			return broken
		})
		if err != broken || fmt.Sprint(at) != "[0s 1s 3s 7s 15s 31s 1m3s 2m3s 3m3s]" || logs.Len() != 3 {
			t.Errorf("got %v; ran at %v", err, at)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Again(ctx, func(context.Context) error { panic(canary) }); err != nil || ctx.Err() == nil {
			t.Errorf("at the end: got %v, %v", err, ctx.Err())
		}
	})
}

func TestTogetherWithoutPanic(t *testing.T) {
	ran := make([]bool, 5)
	contain.Together(len(ran), func(i int) { ran[i] = true })
	if fmt.Sprint(ran) != "[true true true true true]" {
		t.Errorf("ran %v", ran)
	}
}

// halves is a collector that ends half-way.
type halves struct{ prometheus.Gauge }

func (h halves) Collect(out chan<- prometheus.Metric) {
	h.Gauge.Collect(out)
	panic(canary)
}

// TestCollector: a scrape survives, and tells of it the next time.
func TestCollector(t *testing.T) {
	p, _ := part()
	registry := prometheus.NewRegistry()
	registry.MustRegister(p, p.Collector(halves{prometheus.NewGauge(prometheus.GaugeOpts{Name: "half"})}))
	for range 2 {
		if families, err := registry.Gather(); err != nil || len(families) != 2 {
			t.Errorf("got %v, %v", families, err)
		}
	}
	if got := testutil.ToFloat64(p); got != 2 {
		t.Errorf("%v panics are counted", got)
	}
}

func TestNilPartContainsNothing(t *testing.T) {
	defer func() {
		if recover() != canary {
			t.Error("the panic is gone")
		}
	}()
	(*contain.Part)(nil).Do(func() { panic(canary) })
}
