package reach

import (
	"context"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"wellkey/internal/finding"
)

// caa gives dns_caa: may the authority in use issue for this domain? The records
// of the closest name upwards that has any count (RFC 8659, section 3).
func (l look) caa(ctx context.Context) finding.Finding {
	const id = "dns_caa"
	ctx, cancel := context.WithTimeout(ctx, l.prober.config.Timeout*3/10)
	defer cancel()
	for name := l.domain; name != ""; _, name, _ = strings.Cut(name, ".") {
		a := l.askAny(ctx, name, dns.TypeCAA)
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
// side by side, in their order.
func (l look) askAny(ctx context.Context, name string, kind uint16) answer {
	answers := make([]answer, len(l.prober.config.Resolvers))
	l.prober.together(len(answers), func(i int) {
		answers[i].err = errNotAsked
		answers[i] = ask(ctx, l.prober.config.Resolvers[i], name, kind)
	})
	for _, a := range answers {
		if a.err == nil {
			return a
		}
	}
	return answers[0]
}

func (l look) judgeCAA(id, name string, records []dns.RR) result {
	ca := l.prober.config.CA
	var issuers []string
	allowed := true // until an issue record limits it
	for _, record := range records {
		r, isCAA := record.(*dns.CAA)
		if !isCAA {
			continue
		}
		switch tag := strings.ToLower(r.Tag); {
		case tag == "issue":
			if len(issuers) == 0 {
				allowed = false
			}
			issuer, _, _ := strings.Cut(r.Value, ";")
			issuer = strings.ToLower(strings.TrimSpace(issuer))
			issuers = append(issuers, quote(issuer))
			allowed = allowed || issuer == strings.ToLower(ca)
		case tag != "issuewild" && tag != "iodef" && tag != "issuemail" && tag != "issuevmc" && tag != "contactemail" && tag != "contactphone" && r.Flag&128 != 0:
			return because(id, finding.Fail, "", fmt.Sprintf("A CAA record of %s is critical and has the tag %s, which no authority knows.", name, quote(r.Tag)),
				"A misspelt tag.", "Correct or delete that record: no authority may issue while it is there.")
		}
	}
	switch {
	case len(issuers) == 0:
		return ok(id, "The CAA records of %s do not limit who may issue for this name.", name)
	case ca == "":
		return ok(id, "The CAA records of %s let these authorities issue: %s.", name, strings.Join(issuers, ", "))
	case allowed:
		return ok(id, "The CAA records of %s let %s issue.", name, ca)
	}
	return because(id, finding.Fail, "", fmt.Sprintf("The CAA records of %s let only these authorities issue: %s.", name, strings.Join(issuers, ", ")),
		"They were made for another authority than the one in use, "+ca+".",
		fmt.Sprintf("Add the record: %s. CAA 0 issue %q", name, ca))
}
