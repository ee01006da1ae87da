package hardened_test

import (
	"slices"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
)

// A finding is what a scanner does not like, and why it stays.
type finding struct{ scanner, what, why string }

// earlyAnswer is why the order of frames decides what h2spec sees.
const earlyAnswer = "Not always found. No answer waits for a body, so it may be complete, and the stream closed, before what is amiss arrives (RFC 9113, section 8.1)"

// accepted are all findings that fail no test. docs/reliability.md has them as a table.
var accepted = []finding{
	{"h2spec", "http2/6.5.3/1", "`net/http` ends a connection whose SETTINGS name the same thing twice"},
	{"h2spec", "http2/6.9.1/3", earlyAnswer},
	{"h2spec", "http2/8.1.2.2/1", "`net/http` answers such a field with 400 where it should reset the stream"},
	{"h2spec", "http2/8.1.2.2/2", "The same"},
	{"h2spec", "http2/8.1.2.6/1", earlyAnswer},
	{"h2spec", "http2/8.1.2.6/2", "The same"},
	{"testssl.sh", "TLS_session_ticket", "`crypto/tls` lets the ticket of a session live for seven days, and has a new key for them every day"},
}

// accepts reports whether a finding is one of those.
func accepts(scanner, what string) bool {
	return slices.ContainsFunc(accepted, func(f finding) bool { return f.scanner == scanner && f.what == what })
}

// The document has the same list, in the same order.
func TestAcceptedFindings(t *testing.T) {
	t.Parallel()
	doc := string(deploytest.ReadFile(t, "../../docs/reliability.md"))
	_, section, found := strings.Cut(doc, "\n## Scanned\n")
	if !found {
		t.Fatal("docs/reliability.md does not tell what was scanned")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var want, got []string
	for _, f := range accepted {
		want = append(want, "| "+f.scanner+" | `"+f.what+"` | "+f.why+" |")
	}
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| scanner ") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table of docs/reliability.md is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
