package reach

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

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
	Fault    string // why Target is not known, or is of no use, with the fix; "" = nothing is wrong
	Keeps    bool   // the provider never takes a record out
}

// mostLeft is how many records of challenges are no sign of anything: those of two
// orders that are under way, or were when somebody was killed.
const mostLeft = 2

// challenge gives dns_challenge: will the CA find the record that proves the domain
// (RFC 8555, section 8.4), where it is proved so; and where it is not, does a CNAME
// there give somebody else the means to prove it? That the name has a record, or its
// target none, says nothing: records come and go with each order. Where a resolver is
// silent, the record itself is waited for until half of the time is over: the other
// half must do for the question whose domain its target is in.
func (l look) challenge(ctx context.Context) finding.Finding {
	const id = "dns_challenge"
	c, name := l.prober.config.Challenge, "_acme-challenge."+l.domain
	link, end := answer{err: errNotAsked}, answer{err: errNotAsked}
	first, cancel := context.WithTimeout(ctx, untilHalf(ctx))
	defer cancel()
	l.prober.together(2, func(i int) {
		if i == 0 {
			link = l.askAny(first, name, dns.TypeCNAME)
		} else {
			end = l.askAny(first, name, dns.TypeTXT)
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
	owner := l.ownerOf(ctx, target)
	if owner.none() {
		status, more := finding.Warn, ""
		if c.Provider != "" {
			status, more = finding.Fail, " Until then no certificate can be obtained."
		}
		return because(id, status, "", fmt.Sprintf("%s, and the domain %s does not exist (NXDOMAIN).", leads, quote(owner.domain)),
			"That domain has lapsed, or the CNAME is misspelt.",
			fmt.Sprintf("Delete the CNAME, or let it lead into a zone of yours: whoever registers %s can get certificates for %s.%s", quote(owner.domain), l.domain, more)).Finding
	}
	judged := l.delegated(id, leads, target, end)
	if c.Provider == "" {
		judged = l.unused(id, leads, target)
	}
	if judged.Status == finding.OK && !owner.one() {
		return because(id, finding.Unknown, "", fmt.Sprintf("%s, and it is not known whether there is the domain %s: of %d resolvers %d say that there is, %d that there is not (NXDOMAIN).",
			leads, quote(owner.domain), owner.asked, owner.there, owner.gone),
			"Some resolvers cannot be asked from here, or one of them filters names or knows another internet than the others.",
			fmt.Sprintf("Look again later, or choose resolvers that this machine may ask (probe_resolvers). If the domain has lapsed, delete the CNAME: whoever registers it can get certificates for %s.", l.domain)).Finding
	}
	return judged.Finding
}

// undelegated judges that there is no CNAME; end is what the resolvers find at the name.
func (l look) undelegated(id, name string, end answer) result {
	c := l.prober.config.Challenge
	switch {
	case c.Provider == "acme-dns":
		fix := "Start wellkey, which makes an account; the log and the status say then which CNAME to make, once."
		switch {
		case c.Fault != "":
			return because(id, finding.Fail, "", fmt.Sprintf("There is no CNAME at %s, and the account to which it must lead cannot be used here: %s.", name, c.Fault),
				"The record that delegates the proof to acme-dns was not made, or is gone, and the file with the account is another user's, damaged, or not whole.",
				"Run this as the user of wellkey, or fix what was seen; then look again, which tells the CNAME to make.")
		case c.Target != "":
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
	case c.Fault != "":
		return because(id, finding.Unknown, "", fmt.Sprintf("%s, and the account at acme-dns cannot be used here: %s.", leads, c.Fault),
			"The file with the account is another user's, damaged, or not whole.", "Run this as the user of wellkey, or fix what was seen.")
	case c.Target != "" && !strings.EqualFold(target, c.Target):
		return because(id, finding.Fail, "", fmt.Sprintf("%s, and the account at acme-dns is %s.", leads, c.Target),
			"The account was created again, or the CNAME is that of another one.",
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

// An owner is what the resolvers say of the domain that a name is below. Neither none
// nor one is that nobody knows.
type owner struct {
	domain             string
	asked, gone, there int // resolvers: all, those who say NXDOMAIN, and those who do not
}

// none reports whether anybody can have the domain. Networks and resolvers that filter
// say NXDOMAIN, too, so that two must say it, where two are asked.
func (o owner) none() bool { return o.gone > o.there && o.gone >= min(2, o.asked) }

// one reports whether somebody has the domain.
func (o owner) one() bool { return o.there > o.gone }

// ownerOf asks all resolvers side by side, until most of them say the same.
func (l look) ownerOf(ctx context.Context, name string) owner {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resolvers := l.prober.config.Resolvers
	o := owner{domain: registered(name), asked: len(resolvers)}
	var mu sync.Mutex // guards o
	l.prober.together(len(resolvers), func(i int) {
		a := ask(ctx, resolvers[i], o.domain, dns.TypeSOA)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case a.err != nil:
		case a.nxdomain && len(a.chain) == 0: // else it is the end of a CNAME that does not exist
			o.gone++
		default:
			o.there++
		}
		if 2*max(o.gone, o.there) > o.asked {
			cancel()
		}
	})
	return o
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
