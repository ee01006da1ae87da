package reach

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"

	"wellkey/internal/finding"
)

// A host is what is known of one address of the domain. Only its examine
// writes to it, until that has returned.
type host struct {
	Address
	look      look
	challenge string
	main      visit // the plain request for the key, from which the verdict comes
	small     visit // where that one hangs: a handshake with small packets,
	usual     visit // and another one without
	extra     extra // the further visits of Examine
	results   []result
}

// errNotVisited stands where a visit panicked.
var errNotVisited = errors.New("the address was not visited")

func (l look) newHost(ip netip.Addr) *host {
	return &host{
		Address: Address{IP: ip, Family: family(ip), Reason: ReasonInternal},
		look:    l,
		main:    visit{err: errNotVisited},
		small:   visit{err: errNotVisited},
		usual:   visit{err: errNotVisited},
	}
}

// examine visits the address, if it may be, and runs the checks. The address is
// OK if no check gives a reason against it.
func (h *host) examine(ctx context.Context) {
	reason := h.run(h.public)
	if reason == "" {
		if h.look.prober.config.Token != nil {
			h.challenge = rand.Text()
		}
		h.visitAll(ctx)
		reason = h.run(h.checks()...)
	}
	h.Reason, h.OK = reason, reason == ""
}

// visitAll runs all errands side by side.
func (h *host) visitAll(ctx context.Context) {
	ended := make(chan struct{})
	visits := []func(){func() {
		defer close(ended)
		h.main = h.look.visit(ctx, h.IP, h.plainErrand())
	}, func() { h.tryNarrow(ctx, ended) }}
	if h.look.thorough {
		visits = append(visits, h.extraVisits(ctx)...)
	}
	h.look.prober.together(len(visits), func(i int) { visits[i]() })
}

// plainErrand is the plain request for the key.
func (h *host) plainErrand() errand {
	return errand{method: "GET", agent: h.look.prober.config.UserAgent, challenge: h.challenge}
}

// checks returns the checks in the order in which they are told; the first
// reason counts. A check that has nothing to look at, because the visit did not
// come that far, returns no results.
func (h *host) checks() []func() []result {
	checks := []func() []result{
		h.connected, h.handshake, h.tlsName, h.tlsChain, h.tlsDates, h.tlsCN,
		h.answered, h.redirect, h.challenged, h.statusCode, h.html, h.contentType, h.contentLength,
		h.published, h.matches, h.thisIsMe,
	}
	if h.look.thorough {
		checks = append(checks, h.noSNI, h.head, h.phone, h.port80, h.clock)
	}
	return checks
}

// run runs checks, keeps their results, and returns the first reason, or the
// alarm of a published private key wherever it comes.
func (h *host) run(checks ...func() []result) string {
	reason := ""
	for _, check := range checks {
		for _, r := range check() {
			h.results = append(h.results, r)
			if reason == "" || r.reason == ReasonPrivateKey {
				reason = r.reason
			}
		}
	}
	return reason
}

// public gives dns_public: may the address be dialed at all?
func (h *host) public() []result {
	const id = "dns_public"
	what := public(h.IP)
	switch {
	case what == "":
		return []result{ok(id, "%s is a public address.", h.IP)}
	case h.look.prober.config.AllowPrivate:
		return []result{ok(id, "%s is %s, which the settings allow.", h.IP, what)}
	}
	return []result{because(id, finding.Fail, ReasonPrivateAddress,
		fmt.Sprintf("%s is not a public address: it is %s. It was not dialed.", h.IP, what),
		"The record names the address of this host inside its own network, or a resolver inside that network answers differently than the world's (split DNS).",
		"Let the record name the public address, with the router forwarding TCP port 443 to this host; without a public address of your own (CGNAT) use a tunnel or a small rented host. For split DNS choose public resolvers (probe_resolvers).")}
}
