package registrar

import (
	"math/rand/v2"
	"slices"
	"time"

	"wellkey/registrar/fleetapi"
)

const (
	// checkAgain is how long Tesla's answer is trusted: a registration changes
	// only when somebody changes it, and every request is billable.
	checkAgain = 24 * time.Hour
	// lookAgain is how long our own look from outside is trusted.
	lookAgain = 10 * time.Minute
	// longestWait is more than any answer or failure puts off the next request: a
	// day, which is also the most that Tesla's own word may, and the jitter.
	longestWait = checkAgain + checkAgain/8
)

// Waits before the next try, by the class of the failure; the last of a row
// repeats.
var (
	// Tesla's or the network's fault: soon, then at most four times an hour, then
	// every six hours.
	waitsSoon = []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour}
	// A new application, or an edit in the portal, takes minutes to hours to
	// arrive everywhere at Tesla.
	waitsLag = []time.Duration{2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 15 * time.Minute,
		15 * time.Minute, 30 * time.Minute, time.Hour, time.Hour, 6 * time.Hour}
	// Tesla could not download the key: our own look may mend it meanwhile.
	waitsCheck = []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}
	// A person must act; a changed setting or key is tried at once anyway.
	waitsSlow = []time.Duration{time.Hour, 6 * time.Hour}
	// Tesla refuses the credentials, and does so until others are given, which are
	// tried at once. Only a new application is unknown at first.
	waitsDaily = []time.Duration{time.Hour, checkAgain}
	// Our own look from outside found a fault, or could not decide.
	waitsLook = []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, 2 * time.Minute,
		5 * time.Minute, lookAgain}
)

func waits(class fleetapi.Retry) []time.Duration {
	switch class {
	case fleetapi.RetrySoon:
		return waitsSoon
	case fleetapi.RetryLag:
		return waitsLag
	case fleetapi.RetryCheck:
		return waitsCheck
	case fleetapi.RetryDaily:
		return waitsDaily
	}
	return waitsSlow
}

// countAfter returns the count of a failure after another, nil = after none. Classes
// that take turns do not begin anew, or the waits would stay short for ever: a new one
// waits longer than the last, but begins with an hour at most.
func countAfter(was *Failure, class fleetapi.Retry) int {
	if was == nil {
		return 1
	}
	count := min(max(was.Count, 0), 1<<20) // a record may be damaged
	if was.Retry == class {
		return count + 1
	}
	last := waitAfter(waits(was.Retry), count)
	return 1 + slices.IndexFunc(waits(class), func(d time.Duration) bool { return d >= time.Hour || d > last })
}

// backoff returns the wait after the count-th failure in a row, count from 1,
// with up to a tenth of jitter on top, so that many domains do not come at once.
func backoff(row []time.Duration, count int) time.Duration {
	return jitter(waitAfter(row, count))
}

func waitAfter(row []time.Duration, count int) time.Duration {
	return row[min(max(count, 1), len(row))-1]
}

// jitter adds up to a tenth to d: never less than d.
func jitter(d time.Duration) time.Duration {
	return d + rand.N(d/10+1) // #nosec G404 -- it spreads load; who guesses it gains nothing
}
