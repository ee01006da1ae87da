package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// text tells the arithmetic of the floor.
func (f *floor) text() string {
	var calls []string
	for _, name := range slices.Sorted(maps.Keys(f.Calls)) {
		calls = append(calls, fmt.Sprintf("%s %.1f", titleOf(name), f.Calls[name]))
	}
	return fmt.Sprintf(`The arithmetic, the quickest of many in Go on the same machine: an ECDSA signature %.0f µs, an X25519 key and exchange %.0f µs, an
encapsulation of ML-KEM-768 %.0f µs. Of a handshake with X25519 that is %.0f µs, with ML-KEM %.0f µs. System calls of the server for one visit,
counted with strace: %s.`,
		f.Sign, f.Exchange, f.Encapsulate, f.Sign+f.Exchange, f.Sign+f.Exchange+f.Encapsulate, strings.Join(calls, ", "))
}

// valid returns a scenario of which something is told; nil = there is none.
func (r *results) valid(name string) *measured {
	if m := r.Scenarios[name]; m != nil && m.Void == "" {
		return m
	}
	return nil
}

// arithmetic tells where the floor of a handshake is, and what of the goals lies below
// it; "" where it was not measured.
func (r *results) arithmetic() string {
	if r.Floor == nil {
		return ""
	}
	text := r.Floor.text()
	m := r.valid("x25519")
	if m == nil {
		return text
	}
	f := r.Floor
	least, own := m.of(bare).Mid, m.of(wellkey).Mid
	best := m.ratio(nginx, bare)
	text += fmt.Sprintf(`

So of the %s µs of bare crypto/tls %.0f are arithmetic, and %s the key schedule, the records, memory, and system calls: no server in Go takes less
without another crypto/tls. Beside nginx that bare loop, which has no HTTP, no limits and no metrics, comes out at %s, and wellkey takes %s µs more than it.`,
		figure(least), f.Sign+f.Exchange, figure(least-f.Sign-f.Exchange), interval(best), figure(own-least))
	var beyond []string
	for _, g := range goals {
		if g.scenario != "x25519" || g.peer != nginx {
			continue
		}
		for _, bound := range g.bounds() {
			if best.High < bound {
				beyond = append(beyond, number(bound))
			}
		}
	}
	if len(beyond) > 0 {
		text += fmt.Sprintf("\nThat floor itself is below %s on this machine, which is out of reach here.", strings.Join(beyond, " and "))
	}
	return text
}

// distance tells how far nginx is with HTTP/2, and what it would take; "" where that
// was not measured.
func (r *results) distance() string {
	m := r.valid("h2")
	if m == nil {
		return ""
	}
	text := fmt.Sprintf("The distance to nginx with HTTP/2: a request takes %s µs, and of nginx %s: %s.", figure(m.of(wellkey).Mid), figure(m.of(nginx).Mid), interval(m.ratio(wellkey, nginx)))
	if r.Profile != nil && r.Profile.Of["h2"] != nil {
		c := r.Profile.Of["h2"]
		text += fmt.Sprintf(" By the profile below %.0f %% of it are `net/http`, %.0f %% memory, %.0f %% goroutines, and %.0f %% our own.",
			100*c.part(costHTTP), 100*c.part(costMemory), 100*c.part(costRuntime), 100*c.part(costOurs))
	}
	return text + ` What it would
take is an HTTP/2 that answers in the goroutine that reads the frames: net/http starts a goroutine for each stream, hands every frame to a loop
that schedules them, and makes maps of the headers. That would be one of our own, with all that hostile clients do to such code, for a load
that a host of one key never has: nobody fetches it a thousand times on a connection.`
}
