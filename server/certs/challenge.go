package certs

import (
	"slices"
	"strings"

	"github.com/mholt/acmez/v3/acme"
)

// challenges returns by what the CA can prove the domain, the preferred one first:
// HTTPS must be reachable anyway, or there is no key to fetch.
func (s addresses) challenges() []string {
	var all []string
	if s.tls != "" {
		all = append(all, acme.ChallengeTypeTLSALPN01)
	}
	if s.http != "" {
		all = append(all, acme.ChallengeTypeHTTP01)
	}
	return all
}

// offer chooses by which challenge the next order is made, and returns it. A
// challenge that fails takes its authorization and order with it, so that another
// one costs another order, and a second one of the 5 failed authorizations that
// Let's Encrypt allows in an hour. So an order has one, the one that worked last,
// and after a failure the next attempt has the other.
func (a *authority) offer(solves addresses) string {
	iss := a.client.iss
	all := solves.challenges()
	if iss.DNS01Solver != nil {
		return acme.ChallengeTypeDNS01 // certmagic makes no other then
	}
	if len(all) == 0 {
		return ""
	}
	if !slices.Contains(all, a.rec.Challenge) {
		a.rec.Challenge = all[0]
	}
	iss.DisableHTTPChallenge = a.rec.Challenge != acme.ChallengeTypeHTTP01
	iss.DisableTLSALPNChallenge = a.rec.Challenge != acme.ChallengeTypeTLSALPN01
	return a.rec.Challenge
}

// blame takes the other challenge the next time, where err may be that of the
// challenge.
func (a *authority) blame(err error, solves addresses) {
	if a.client.iss.DNS01Solver != nil || classify(err).elsewhere() != asHere && !strings.Contains(err.Error(), notOffered) {
		return
	}
	for _, other := range solves.challenges() {
		if other != a.rec.Challenge {
			a.rec.Challenge = other
			return
		}
	}
}

// notOffered is what acmez says where the CA does not know the challenge.
const notOffered = "no solvers available for remaining challenges"
