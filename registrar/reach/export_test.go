package reach

import "net/netip"

// What tests see of the inside.
var (
	Public = public
	Decide = decide
)

// DialFailure returns the reason of a dial that failed with err, and what is said
// of it.
func DialFailure(err error, timedOut, routed bool) (reason, seen string) {
	h := look{prober: &Prober{}}.newHost(netip.MustParseAddr("192.0.2.1"))
	h.main = visit{err: err, timedOut: timedOut, routed: routed}
	return h.dialFailure()
}

// Together runs f with 0 to n-1 side by side, as a look does.
func (p *Prober) Together(n int, f func(int)) { p.together(n, f) }
