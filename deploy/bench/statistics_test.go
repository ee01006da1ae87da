package main

import (
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want || !slices.Equal(before, c.values) {
			t.Errorf("%v: got %v, want %v; the values are now %v", before, got, c.want, c.values)
		}
	}
}

func TestBootstrap(t *testing.T) {
	t.Parallel()
	if got := bootstrap(nil); got != (span{}) {
		t.Errorf("of nothing: %v", got)
	}
	same := []float64{2, 2, 2, 2}
	if got := bootstrap(same); got != (span{2, 2, 2}) {
		t.Errorf("of what does not vary: %v", got)
	}
	values := []float64{1.00, 1.02, 0.98, 1.01, 0.99, 1.30, 0.70, 1.00, 1.03, 0.97, 1.00, 1.01, 0.99, 1.02, 0.98}
	got := bootstrap(values)
	if got.Mid != 1 || got.Low < 0.97 || got.Low > 1 || got.High < 1 || got.High > 1.03 {
		t.Errorf("got %v; two outliers of fifteen must not matter", got)
	}
	if again := bootstrap(values); again != got {
		t.Errorf("got %v, then %v", got, again)
	}
	if few := bootstrap(values[4:9]); few.High-few.Low <= got.High-got.Low {
		t.Errorf("fewer values give a narrower interval: %v, %v", few, got)
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	got := ratios([]float64{10, 0, 30, 40, 50}, []float64{5, 5, 0, 10})
	if !slices.Equal(got, []float64{2, 4}) {
		t.Errorf("got %v, want only the repetitions in which both are there", got)
	}
}

// Each is first once in as many pairs of repetitions as there are, and whoever stands
// before another one stands behind it in the next.
func TestTurn(t *testing.T) {
	t.Parallel()
	all := []string{"a", "b", "c"}
	var got []string
	for i := range 6 {
		order := turn(all, i)
		got = append(got, order[0]+order[1]+order[2])
	}
	if want := []string{"abc", "cba", "bca", "acb", "cab", "bac"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !slices.Equal(all, []string{"a", "b", "c"}) || turn([]string{}, 3) != nil {
		t.Errorf("turned what was given: %v", all)
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	for control, want := range map[float64]bool{0.929: false, 0.93: true, 1: true, 1.07: true, 1.071: false, 0: false} {
		if holds(control) != want {
			t.Errorf("a control of %v: got %v", control, !want)
		}
	}
}
