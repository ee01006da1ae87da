package reach

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"wellkey/internal/finding"
	"wellkey/keystore"
)

// maxAddresses bounds how many addresses of one name are looked at. The largest
// content networks give eight a family.
const maxAddresses = 16

// A look is one look at one domain.
type look struct {
	prober   *Prober
	domain   string
	want     keystore.Key
	thorough bool // with the further checks of Examine
}

// A result is a finding, and the reason that it gives for the verdict, if any.
type result struct {
	finding.Finding
	reason string
}

// into fills report.
func (l look) into(ctx context.Context, report *Report) {
	if !isHostname(l.domain) || isIP(l.domain) {
		report.Verdict, report.Reason = Unreachable, ReasonBadDomain
		report.Findings = []finding.Finding{badDomain(l.domain)}
		return
	}
	var caa, challenge []finding.Finding
	var said names
	var hosts []*host
	parts := []func(){func() {
		said = l.resolve(ctx)
		hosts = l.visitAll(ctx, said.addresses())
	}}
	if l.thorough {
		parts = append(parts, func() { caa = []finding.Finding{l.caa(ctx)} }, func() { challenge = []finding.Finding{l.challenge(ctx)} })
	}
	l.prober.together(len(parts), func(i int) { parts[i]() })

	for _, h := range hosts {
		report.Addresses = append(report.Addresses, h.Address)
	}
	report.Verdict, report.Reason = said.verdict()
	if len(hosts) > 0 {
		report.Verdict, report.Reason = decide(report.Addresses)
	}
	report.Findings = append(said.findings(l.domain, report.Addresses), slices.Concat(caa, challenge)...)
	for _, h := range hosts {
		h.compare(report.Addresses)
		for _, r := range h.results {
			r.On = h.IP.String()
			report.Findings = append(report.Findings, r.Finding)
		}
	}
}

// visitAll visits every address side by side and judges what it saw there.
func (l look) visitAll(ctx context.Context, addresses []netip.Addr) []*host {
	hosts := make([]*host, min(len(addresses), maxAddresses))
	for i := range hosts {
		hosts[i] = l.newHost(addresses[i])
	}
	l.prober.together(len(hosts), func(i int) { hosts[i].examine(ctx) })
	return hosts
}

// isHostname reports whether name is a lower-case host name (RFC 1123) without
// a trailing dot.
func isHostname(name string) bool {
	if len(name) == 0 || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}

func isIP(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

func badDomain(domain string) finding.Finding {
	return finding.Finding{
		ID: "domain", Status: finding.Fail,
		Seen:  quote(domain) + " is not a bare, lower-case host name.",
		Cause: "A scheme, a path, a port, a trailing dot, an upper-case or a non-ASCII letter is part of it, or it is an IP address.",
		Fix:   "Give the host alone, as in example.com; write an international name in its xn-- form.",
	}
}

// sorted returns addresses without doubles, IPv4 first, so that reports can be
// compared.
func sorted(addresses []netip.Addr) []netip.Addr {
	addresses = slices.Clone(addresses)
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}
