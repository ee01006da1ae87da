package reach

import (
	"fmt"
	"net/netip"
	"strings"

	"wellkey/internal/finding"
	"wellkey/internal/phrase"
)

// maxQuote is how many bytes of a stranger's text are shown.
const maxQuote = 120

func quote(text string) string { return phrase.Quote(text, maxQuote) }

// list joins addresses or quoted names for a sentence.
func list[T fmt.Stringer](things []T) string {
	texts := make([]string, len(things))
	for i, thing := range things {
		texts[i] = thing.String()
	}
	return strings.Join(texts, ", ")
}

func family(ip netip.Addr) string {
	if ip.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// ok returns the result of a check that found all as it must be.
func ok(id, seen string, args ...any) result {
	return result{Finding: finding.Finding{ID: id, Status: finding.OK, Seen: fmt.Sprintf(seen, args...)}}
}

func skipped(id, seen string) result {
	return result{Finding: finding.Finding{ID: id, Status: finding.Skipped, Seen: seen}}
}

// because returns a result that is not well; reason is "" for one that leaves
// the verdict alone.
func because(id string, status finding.Status, reason, seen, cause, fix string) result {
	return result{finding.Finding{ID: id, Status: status, Seen: seen, Cause: cause, Fix: fix}, reason}
}
