// Package testleak knows which goroutines may outlive the tests of a package that
// has certificates obtained: those of others, which cannot be stopped. Packages that
// obtain none call goleak themselves, which lets nothing pass.
package testleak

import "go.uber.org/goleak"

// Main runs the tests of a package, which is m.Run or wraps it, ends the process, and
// fails where goroutines are left: for TestMain.
func Main(run func() int) {
	goleak.VerifyTestMain(runner(run),
		// What certmagic and Pebble leave running, in this order: up to 5 s
		// after a lock is released; one a CA and account, for ever; one a CA.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"))
}

type runner func() int

func (r runner) Run() int { return r() }
