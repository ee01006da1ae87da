package main

import (
	"math/rand/v2"
	"slices"
)

// A span is an estimate with its interval.
type span struct{ Low, Mid, High float64 }

// median returns the middle of values; 0 where there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// resamples is how often the bootstrap draws.
const resamples = 4000

// bootstrap returns the median of values and its 90 % interval: from the 5th to the
// 95th hundredth of the medians of as many values, drawn with replacement. The same
// values give the same interval.
func bootstrap(values []float64) span {
	if len(values) == 0 {
		return span{}
	}
	random := rand.New(rand.NewPCG(1, 2))
	medians, drawn := make([]float64, resamples), make([]float64, len(values))
	for i := range medians {
		for j := range drawn {
			drawn[j] = values[random.IntN(len(values))]
		}
		medians[i] = median(drawn)
	}
	slices.Sort(medians)
	return span{medians[resamples/20], median(values), medians[resamples-1-resamples/20]}
}

// ratios divides a by b, repetition by repetition. One in which either is missing,
// which a 0 says, does not count.
func ratios(a, b []float64) []float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		if a[i] > 0 && b[i] > 0 {
			all = append(all, a[i]/b[i])
		}
	}
	return all
}

// turn returns the order of a repetition: each begins with another one, and every
// second goes backwards, so that whatever drifts falls on all.
func turn[T any](all []T, repetition int) []T {
	if len(all) == 0 {
		return nil
	}
	first := repetition / 2 % len(all)
	order := slices.Concat(all[first:], all[:first])
	if repetition%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

// The bounds of the control: nginx against itself must come out between them.
const (
	controlLeast = 0.93
	controlMost  = 1.07
)

// holds reports whether a control says that what stands beside it can be believed.
func holds(control float64) bool { return control >= controlLeast && control <= controlMost }
