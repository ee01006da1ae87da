package reach

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"wellkey/internal/finding"
)

// caa gives dns_caa: may the authority in use issue for this domain? The records
// of the closest name upwards that has any count (RFC 8659, section 3). All names are
// asked about side by side, so that a resolver that does not answer about one takes no
// time from the next; nothing waits for the answers, so they have the whole look.
func (l look) caa(ctx context.Context) finding.Finding {
	const id = "dns_caa"
	var upwards []string
	for name := l.domain; name != ""; _, name, _ = strings.Cut(name, ".") {
		upwards = append(upwards, name)
	}
	answers := make([]answer, len(upwards))
	l.prober.together(len(upwards), func(i int) {
		answers[i].err = errNotAsked
		answers[i] = l.askAny(ctx, upwards[i], dns.TypeCAA)
	})
	for i, name := range upwards {
		a := answers[i]
		if a.err != nil {
			return because(id, finding.Unknown, "", fmt.Sprintf("No resolver answered for the CAA records of %s: %v.", name, a.err),
				"The resolvers cannot be asked from here, or the domain's name servers fail for this type.",
				"Look again later; if it stays, repair the name servers: an authority that cannot read CAA records does not issue.").Finding
		}
		if len(a.records) > 0 {
			return l.judgeCAA(id, name, a.records).Finding
		}
	}
	return ok(id, "There are no CAA records, so every authority may issue.").Finding
}

// askAny returns the first usable answer of a resolver, of all that are asked
// side by side, in their order. Where the first answers, it does not wait for others.
func (l look) askAny(ctx context.Context, name string, kind uint16) answer {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make([]answer, len(l.prober.config.Resolvers))
	l.prober.together(len(answers), func(i int) {
		answers[i].err = errNotAsked
		answers[i] = ask(ctx, l.prober.config.Resolvers[i], name, kind)
		if i == 0 && answers[i].err == nil {
			cancel()
		}
	})
	for _, a := range answers {
		if a.err == nil {
			return a
		}
	}
	return answers[0]
}

// judgeCAA reads the records of one name. Those for wildcards and mail say
// nothing about a certificate for a host.
func (l look) judgeCAA(id, name string, records []dns.RR) result {
	ca, fallback := strings.ToLower(l.prober.config.CA), strings.ToLower(l.prober.config.FallbackCA)
	var issuers []string
	allowed, both := false, fallback == ""
	for _, record := range records {
		r, isCAA := record.(*dns.CAA)
		if !isCAA {
			continue
		}
		if strings.EqualFold(r.Tag, "issue") {
			issuer, _, _ := strings.Cut(r.Value, ";") // parameters follow
			issuer = strings.ToLower(strings.TrimSpace(issuer))
			issuers = append(issuers, quote(issuer))
			allowed, both = allowed || issuer == ca, both || issuer == fallback
		} else if r.Flag&critical != 0 && !slices.Contains(knownTags(), strings.ToLower(r.Tag)) {
			return because(id, finding.Fail, "", fmt.Sprintf("A CAA record of %s is critical and has the tag %s, which authorities do not know.", name, quote(r.Tag)),
				"The tag is misspelt.", "Correct or delete that record: no authority may issue while it is there.")
		}
	}
	switch {
	case len(issuers) == 0:
		return ok(id, "The CAA records of %s do not limit who may issue for this name.", name)
	case ca == "":
		return ok(id, "The CAA records of %s let these authorities issue: %s.", name, strings.Join(issuers, ", "))
	case allowed && !both:
		return because(id, finding.Warn, "", fmt.Sprintf("The CAA records of %s let %s issue, but not %s, the fallback: they let only these authorities issue: %s.", name, ca, fallback, strings.Join(issuers, ", ")),
			"They were made before there was a fallback.",
			fmt.Sprintf("Add this record to the zone, or the fallback cannot help: %s. IN CAA 0 issue %q", name, fallback))
	case allowed && fallback != "" && fallback != ca:
		return ok(id, "The CAA records of %s let %s and %s issue.", name, ca, fallback)
	case allowed:
		return ok(id, "The CAA records of %s let %s issue.", name, ca)
	}
	return because(id, finding.Fail, "", fmt.Sprintf("The CAA records of %s let only these authorities issue: %s.", name, strings.Join(issuers, ", ")),
		"They were made for another authority than the one in use, "+ca+".",
		fmt.Sprintf("Add this record to the zone: %s. IN CAA 0 issue %q", name, ca))
}

// critical is the flag of a record that an authority must understand (RFC 8659,
// section 4.1).
const critical = 128

// knownTags returns the registered tags:
// https://www.iana.org/assignments/pkix-parameters
func knownTags() []string {
	return []string{"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"}
}
