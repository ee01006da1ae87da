package fleetapi

import (
	"fmt"
	"strconv"
	"strings"
)

// Markdown returns the catalogue as a document for people: docs/errors.md.
func Markdown() []byte {
	s := Subject{
		Region: EU, Domain: "example.com", ClientID: "your-client-id",
		BaseURL: EU.BaseURL(), AuthURL: EU.AuthURL(),
	}
	var b strings.Builder
	b.WriteString(`# Refusals and failures

What Tesla's Fleet API, or the way to it, can say to a registration, and what to do then. Logs, metrics, the status and
` + "`wellkey doctor`" + ` use these reason codes. Texts are filled in for the domain example.com in the region eu. What the doctor checks, and
why a key counts as not reachable, is in [checks.md](checks.md).

This page is made from the table in ` + "`registrar/fleetapi/catalogue.go`" + `: ` +
		"`go test ./registrar/fleetapi -run TestDocs -update`" + `.

**Who acts**: the operator (whoever runs wellkey), Tesla, or nobody, since it passes or wellkey deals with it.
**Tried again**: 
*soon*: after 15 s, 30 s, 1 min, 2 min, 5 min, 10 min, 15 min, 30 min, 1 h, 2 h, 4 h, then every 6 h;
*lag*: after 2 min, 5 min, 10 min, 15 min, 15 min, 15 min, 30 min, 1 h, 1 h, then every 6 h;
*check*: after 1 min, 5 min, 15 min, then every 1 h, each time after a look at the key from outside;
*slow*: after 1 h, then every 6 h;
*daily*: after 1 h, then every 24 h.
Where the next failure has another of these rows, waits do not begin anew: the first is longer than the last one was, or an hour.
Credentials or a key that change are tried at once, whatever was waited for; and so is everything at SIGHUP, unless Tesla was asked
less than 5 minutes ago: [operating.md](operating.md#ask-tesla-again). A time that Tesla names is waited for in any case.

| code | what happened | who acts | tried again |
|---|---|---|---|
`)
	for _, r := range catalogue {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s |\n", r.Code, r.Code, s.Fill(r.Summary), r.Actor, r.Retry)
	}
	for _, r := range catalogue {
		r.section(&b, s)
	}
	return []byte(b.String())
}

func (r *Refusal) section(b *strings.Builder, s Subject) {
	fmt.Fprintf(b, "\n## %s\n%s.\n\n", r.Code, capital(s.Fill(r.Summary)))
	fmt.Fprintf(b, "- **Cause**: %s\n- **Fix**: %s\n- **In answer to**: %s\n", s.Fill(r.Cause), s.Fill(r.Fix), r.answers())
	if r.Absent {
		b.WriteString("- In answer to public_key this means: not registered, so wellkey registers.\n")
	}
	fmt.Fprintf(b, "- **Source**: %s\n", r.Source)
	for _, x := range r.Examples {
		body := strings.TrimRight(s.Fill(x.Body), "\n")
		if body == "" {
			body = "(empty)"
		}
		fmt.Fprintf(b, "\n```\n%d\n%s\n```\n", x.Status, body)
	}
}

// answers says which operations the row is about and by what it is recognised.
func (r *Refusal) answers() string {
	var ops, statuses []string
	for _, op := range r.Operations {
		ops = append(ops, string(op))
	}
	for _, status := range r.Statuses {
		if status < 10 {
			statuses = append(statuses, fmt.Sprintf("%dxx", status))
		} else {
			statuses = append(statuses, strconv.Itoa(status))
		}
	}
	text := strings.Join(ops, ", ")
	if len(statuses) > 0 {
		text += "; status " + strings.Join(statuses, ", ")
	}
	if r.Pattern != nil {
		text += "; text like `" + r.Pattern.String() + "`"
	}
	if r.Local {
		text += "; no answer came"
	}
	return text
}

func capital(s string) string {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
