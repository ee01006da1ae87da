package reach

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"

	"wellkey/internal/finding"
)

// A Challenge is how the domain is proved to the CA, as far as that concerns the name
// at which a CA looks for a DNS record. The zero value is that nobody here knows.
type Challenge struct {
	Known    bool   // the certificate is obtained here
	Provider string // who makes the record; "" = none: the CA comes to ports 80 and 443
	Zone     string // into which records are put; "" = it is found out
	Target   string // where a CNAME must lead; "" = anywhere, or it is not known
	Keeps    bool   // the provider never takes a record out
}

// mostLeft is how many records of challenges are no sign of anything: those of two
// orders that are under way, or were when somebody was killed.
const mostLeft = 2

// challenge gives dns_challenge: will the CA find the record that proves the domain
// (RFC 8555, section 8.4), where it is proved so; and where it is not, does a CNAME
// there give somebody else the means to prove it? That the name has a record, or its
// target none, says nothing: records come and go with each order.
func (l look) challenge(ctx context.Context) finding.Finding {
	const id = "dns_challenge"
	c, name := l.prober.config.Challenge, "_acme-challenge."+l.domain
	link, end := answer{err: errNotAsked}, answer{err: errNotAsked}
	l.prober.together(2, func(i int) {
		if i == 0 {
			link = l.askAny(ctx, name, dns.TypeCNAME)
		} else {
			end = l.askAny(ctx, name, dns.TypeTXT)
		}
	})
	target := ""
	for _, record := range link.records {
		if alias, is := record.(*dns.CNAME); is {
			target = strings.TrimSuffix(alias.Target, ".")
		}
	}
	if end.err == nil && len(end.chain) > 0 {
		target = end.chain[len(end.chain)-1]
	}
	switch {
	case link.err != nil && target == "" && c.Provider == "":
		return skipped(id, fmt.Sprintf("No resolver answered for %s, and nothing here depends on it.", name)).Finding
	case link.err != nil && target == "":
		return because(id, finding.Unknown, "", fmt.Sprintf("No resolver answered for %s: %v.", name, link.err),
			"The resolvers cannot be asked from here, or the domain's name servers fail.",
			"Look again later; if it stays, repair the name servers: the CA asks them for the record that proves the domain.").Finding
	case target == "":
		return l.undelegated(id, name, end).Finding
	}
	leads := fmt.Sprintf("%s is a CNAME to %s", name, quote(target))
	if free := l.nobodys(ctx, target); free != "" {
		status, more := finding.Warn, ""
		if c.Provider != "" {
			status, more = finding.Fail, " Until then no certificate can be had."
		}
		return because(id, status, "", fmt.Sprintf("%s, and the domain %s does not exist (NXDOMAIN).", leads, quote(free)),
			"That domain has lapsed, or the CNAME is misspelt.",
			fmt.Sprintf("Delete the CNAME, or let it lead into a zone of yours: whoever registers %s can get certificates for %s.%s", quote(free), l.domain, more)).Finding
	}
	if c.Provider == "" {
		return l.unused(id, leads, target).Finding
	}
	return l.delegated(id, leads, target, end).Finding
}

// undelegated judges that there is no CNAME; end is what the resolvers find at the name.
func (l look) undelegated(id, name string, end answer) result {
	c := l.prober.config.Challenge
	switch {
	case c.Provider == "acme-dns":
		fix := "Start wellkey, which makes an account; the log and the status say then which CNAME to make, once."
		if c.Target != "" {
			fix = fmt.Sprintf("Make this record, once: %s. CNAME %s.", name, c.Target)
		}
		return because(id, finding.Fail, "", fmt.Sprintf("There is no CNAME at %s.", name),
			"The record that delegates the proof to acme-dns was not made, or is gone.", fix)
	case c.Provider != "" && c.Zone != "" && !dns.IsSubDomain(dns.Fqdn(c.Zone), dns.Fqdn(name)):
		return because(id, finding.Fail, "", fmt.Sprintf("There is no CNAME at %s, and that name is not in the zone %s, into which the records are put.", name, c.Zone),
			"The CNAME that leads into that zone is missing, or dns_rfc2136_zone is another zone than that of the domain.",
			fmt.Sprintf("Make a CNAME at %s to a name in %s, or correct dns_rfc2136_zone.", name, c.Zone))
	case c.Provider != "" && len(end.records) > mostLeft:
		return left(id, fmt.Sprintf("At %s %d TXT records are left.", name, len(end.records)))
	}
	return ok(id, "There is no CNAME at %s.", name)
}

// unused judges a CNAME that nothing here needs. One that stays within the domain gives
// nobody else anything.
func (l look) unused(id, leads, target string) result {
	if !l.prober.config.Challenge.Known || registered(target) == registered(l.domain) {
		return ok(id, "%s.", leads)
	}
	return because(id, finding.Warn, "", leads+", and the certificate here is proved over ports 80 and 443.",
		"The setting dns_provider is missing, the record is left from former times, another machine has certificates for the domain by it, or it is that of a wildcard.",
		fmt.Sprintf("Set dns_provider, if it is meant for wellkey; delete the CNAME if nobody needs it: whoever has the zone that it leads to can get certificates for %s.", l.domain))
}

// delegated judges a CNAME that leads to where the record will be put; end is what the
// resolvers find there.
func (l look) delegated(id, leads, target string, end answer) result {
	c := l.prober.config.Challenge
	var sure *badAnswer
	switch {
	case end.err != nil && errors.As(end.err, &sure):
		return because(id, finding.Fail, "", fmt.Sprintf("%s, which cannot be looked up: %v.", leads, end.err),
			"The zone is not on the name servers that its parent names, they are down, or CNAME records lead in a circle.",
			"Put the zone on the name servers to which it is delegated, or correct the CNAME: the CA meets the same, and gives no certificate.")
	case end.err != nil:
		return because(id, finding.Unknown, "", fmt.Sprintf("%s, for which no resolver had an answer: %v.", leads, end.err),
			"The resolvers cannot be asked from here, or the name servers of that zone are slow.", "Look again later.")
	case c.Target != "" && !strings.EqualFold(target, c.Target):
		return because(id, finding.Fail, "", fmt.Sprintf("%s, and the account at acme-dns is %s.", leads, c.Target),
			"The account was made anew, or the CNAME is that of another one.",
			fmt.Sprintf("Change the record to: _acme-challenge.%s. CNAME %s.", l.domain, c.Target))
	case c.Zone != "" && !dns.IsSubDomain(dns.Fqdn(c.Zone), dns.Fqdn(target)):
		return because(id, finding.Fail, "", fmt.Sprintf("%s, which is not in the zone %s, into which the records are put.", leads, c.Zone),
			"The CNAME leads elsewhere, or dns_rfc2136_zone is wrong.", "Correct one of the two.")
	case len(end.records) > mostLeft && !c.Keeps:
		return left(id, fmt.Sprintf("%s, where %d TXT records are left.", leads, len(end.records)))
	}
	return ok(id, "%s, which can be looked up.", leads)
}

// left says that records of former challenges are there.
func left(id, seen string) result {
	return because(id, finding.Warn, "", seen,
		"The provider takes new records and does not let them be taken out, or another client leaves its own.",
		"Delete them, and let the credentials of wellkey delete records, too: with too many of them the CA refuses the answer.")
}

// nobodys returns the domain that a name is below, if there is none of that name: it
// can be had by anybody. "" is that there is one, or that nobody knows.
func (l look) nobodys(ctx context.Context, name string) string {
	domain := registered(name)
	if a := l.askAny(ctx, domain, dns.TypeSOA); a.err == nil && a.nxdomain {
		return domain
	}
	return ""
}

// registered returns the part of a name that somebody registered: a name below a
// public suffix, or the name itself where it is not below one.
func registered(name string) string {
	name = strings.ToLower(name)
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name
}
