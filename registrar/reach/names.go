package reach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"wellkey/internal/finding"
)

// errNotAsked stands where a lookup panicked.
var errNotAsked = errors.New("the question was not asked")

// A lookup is what one resolver says about the addresses of a name.
type lookup struct {
	resolver string
	v4, v6   answer
}

// names are the lookups of a name, one a resolver.
type names []lookup

// resolve asks every resolver for both families, all side by side, and gives
// them three tenths of the whole time: what is left must do for the addresses.
func (l look) resolve(ctx context.Context) names {
	ctx, cancel := context.WithTimeout(ctx, l.prober.config.Timeout*3/10)
	defer cancel()
	all := make(names, len(l.prober.config.Resolvers))
	for i, resolver := range l.prober.config.Resolvers {
		all[i] = lookup{resolver, answer{err: errNotAsked}, answer{err: errNotAsked}}
	}
	l.prober.together(2*len(all), func(i int) {
		if one := &all[i/2]; i%2 == 0 {
			one.v4 = ask(ctx, one.resolver, l.domain, dns.TypeA)
		} else {
			one.v6 = ask(ctx, one.resolver, l.domain, dns.TypeAAAA)
		}
	})
	return all
}

// addresses returns what this resolver gave, sorted.
func (l lookup) addresses() []netip.Addr {
	return sorted(slices.Concat(l.v4.addresses, l.v6.addresses))
}

// answered reports whether the resolver answered for both families.
func (l lookup) answered() bool { return l.v4.err == nil && l.v6.err == nil }

// addresses returns what any resolver gave, sorted.
func (all names) addresses() []netip.Addr {
	var addresses []netip.Addr
	for _, one := range all {
		addresses = append(addresses, one.addresses()...)
	}
	return sorted(addresses)
}

// any reports whether f holds for one of the answers.
func (all names) any(f func(answer) bool) bool {
	return slices.ContainsFunc(all, func(one lookup) bool { return f(one.v4) || f(one.v6) })
}

// verdict returns what the names alone decide, where there is no address.
func (all names) verdict() (Verdict, string) {
	switch {
	case all.any(func(a answer) bool { return a.nxdomain }):
		return Unreachable, ReasonNXDomain
	case slices.ContainsFunc(all, lookup.answered):
		return Unreachable, ReasonNoAddress
	default:
		return Inconclusive, ReasonDNS
	}
}

// findings returns what the resolvers said of domain; visited is what came of
// its addresses.
func (all names) findings(domain string, visited []Address) []finding.Finding {
	results := []result{all.resolves(domain), all.agree(visited)}
	if len(visited) > 0 {
		results = append(results, all.ipv4())
	}
	findings := make([]finding.Finding, len(results))
	for i, r := range results {
		findings[i] = r.Finding
	}
	return findings
}

// resolves gives dns_resolves: does the name lead to an address?
func (all names) resolves(domain string) result {
	const id = "dns_resolves"
	var through string
	if chain := all.chain(); len(chain) > 0 {
		through = ", by way of the CNAME " + strings.Join(chain, ", then ")
	}
	if addresses := all.addresses(); len(addresses) > 0 {
		var more string
		if extra := len(addresses) - maxAddresses; extra > 0 {
			more = fmt.Sprintf(" and %d more that were not looked at", extra)
		}
		return ok(id, "%s resolves to %s%s%s.", domain, list(addresses[:min(len(addresses), maxAddresses)]), more, through)
	}
	switch _, reason := all.verdict(); reason {
	case ReasonNXDomain:
		return because(id, finding.Fail, reason,
			fmt.Sprintf("The name %s does not exist (NXDOMAIN%s).", domain, through),
			"There is no DNS record of that name, it is misspelt, the domain has lapsed, or a record made a moment ago has not spread yet.",
			fmt.Sprintf("Create an A record for %s with the public IPv4 address of this host, and wait until the old answer's TTL has passed.", domain))
	case ReasonNoAddress:
		return because(id, finding.Fail, reason,
			fmt.Sprintf("The name %s exists, but has neither an A nor an AAAA record%s.", domain, through),
			"The records of that name are of other types only, such as TXT or MX.",
			fmt.Sprintf("Create an A record for %s with the public IPv4 address of this host.", domain))
	default:
		return because(id, finding.Unknown, reason,
			fmt.Sprintf("No resolver gave an answer for %s: %s.", domain, strings.Join(all.troubles(), "; ")),
			"SERVFAIL or REFUSED from all of them means that the domain's own name servers fail or that its DNSSEC signatures do not hold; no answer in time means that this machine may not ask them (port 53 is blocked, for UDP or, where answers are long, for TCP).",
			"Look at the domain's name servers and DS record at the registrar, or choose resolvers that this machine may ask (probe_resolvers).")
	}
}

// agree gives dns_agree: do all resolvers say the same?
func (all names) agree(visited []Address) result {
	const id = "dns_agree"
	if len(all) < 2 {
		return skipped(id, "Only one resolver is asked.")
	}
	var said []string
	answered := slices.DeleteFunc(slices.Clone(all), func(one lookup) bool { return !one.answered() })
	for _, one := range answered {
		said = append(said, one.resolver+" says "+one.summary())
	}
	seen := strings.Join(append(said, all.troubles()...), "; ") + "."
	differs := func(one lookup) bool { return !slices.Equal(one.addresses(), answered[0].addresses()) }
	empty := func(one lookup) bool { return len(one.addresses()) == 0 }
	bad := func(a Address) bool { return !a.OK }
	switch {
	case len(answered) < 2:
		return because(id, finding.Unknown, "", "Fewer than two resolvers answered: "+seen,
			"The others cannot be asked from this machine, or the domain's name servers fail now and then.",
			"Nothing, if another check says that the key is reachable; else choose resolvers that this machine may ask (probe_resolvers).")
	case !slices.ContainsFunc(answered, differs):
		return ok(id, "%d resolvers say the same%s.", len(answered), prefixed(": ", all.troubles()))
	case !slices.ContainsFunc(answered, empty) && !slices.ContainsFunc(visited, bad):
		return ok(id, "Resolvers give different addresses, as is usual for a content network, and all of them serve the key: %s", seen)
	default:
		return because(id, finding.Warn, "", "Resolvers disagree: "+seen,
			"A record was changed a short while ago and old answers are still cached, or the domain's name servers hold different zones.",
			"Wait until the TTL of the old record has passed; if they still disagree then, compare the zone on each of the domain's name servers.")
	}
}

// ipv4 gives dns_ipv4: is there an address for those without IPv6?
func (all names) ipv4() result {
	const id = "dns_ipv4"
	switch {
	case all.any(func(a answer) bool { return slices.ContainsFunc(a.addresses, netip.Addr.Is4) }):
		return ok(id, "There is an IPv4 address.")
	case slices.ContainsFunc(all, func(one lookup) bool { return one.v4.err == nil }):
		return because(id, finding.Warn, "", "There are IPv6 addresses only.",
			"No A record was made, or the provider gives no public IPv4 address.",
			"Add an A record: users report that Tesla's developer portal refuses hosts that have IPv6 only, and not every phone has it.")
	default:
		return because(id, finding.Unknown, "", "No resolver answered for the A record.",
			"The resolvers or the domain's name servers fail.", "Look again in a few minutes.")
	}
}

// chain returns the first CNAME chain that a resolver gave, quoted.
func (all names) chain() []string {
	for _, one := range all {
		for _, a := range []answer{one.v4, one.v6} {
			if len(a.chain) > 0 {
				quoted := make([]string, len(a.chain))
				for i, name := range a.chain {
					quoted[i] = quote(name)
				}
				return quoted
			}
		}
	}
	return nil
}

// troubles returns the resolvers that did not answer for both families, and
// how.
func (all names) troubles() []string {
	var texts []string
	for _, one := range all {
		switch {
		case one.v4.err != nil && one.v6.err != nil:
			texts = append(texts, fmt.Sprintf("%s: %v", one.resolver, one.v4.err))
		case one.v4.err != nil:
			texts = append(texts, fmt.Sprintf("%s, for A: %v", one.resolver, one.v4.err))
		case one.v6.err != nil:
			texts = append(texts, fmt.Sprintf("%s, for AAAA: %v", one.resolver, one.v6.err))
		}
	}
	return texts
}

// summary returns the answer of one resolver in a few words.
func (l lookup) summary() string {
	switch addresses := l.addresses(); {
	case len(addresses) > 0:
		return list(addresses[:min(len(addresses), maxAddresses)])
	case l.v4.nxdomain || l.v6.nxdomain:
		return "that the name does not exist"
	default:
		return "that the name has no address"
	}
}

// prefixed joins texts after a prefix; none give "".
func prefixed(prefix string, texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return prefix + strings.Join(texts, "; ")
}
