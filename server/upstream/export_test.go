package upstream

import (
	"net/netip"
	"time"
)

// Diagnose returns what a visitor and the log are told of err.
func Diagnose(err error) (reason, cause, fix string, code int) {
	t := diagnose(err)
	return t.reason, t.cause, t.fix, t.code
}

// Reasons are the values of the label reason.
func Reasons() []string { return reasons }

// Sentences are what visitors read, by status.
var Sentences = sentences

// IsForwarding reports whether a field says who the client is.
var IsForwarding = isForwarding

// SetPatience sets how long the application may leave unread what it was sent.
func (p *Proxy) SetPatience(d time.Duration) { p.patience.Store(int64(d)) }

// SetLinger sets how long a connection stays for a body that nobody reads.
func (p *Proxy) SetLinger(d time.Duration) { p.linger = d }

// Enter counts a request of a client, or returns why it is refused.
func (p *Proxy) Enter(client netip.Prefix) (leave func(), refused string) {
	refused = p.places.Enter(client)
	return func() { p.places.Leave(client) }, refused
}
