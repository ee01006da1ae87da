package main_test

import (
	"fmt"
	"strings"
	"testing"
)

// What docs/sites.md says of many domains follows from the limits in the code.
func TestManyDomains(t *testing.T) {
	t.Parallel()
	const account, registered = 250, 40 // in 3 hours, in 7 days
	if want := fmt.Sprintf("Limits{Account: %d, Registered: %d}", account, registered); !strings.Contains(read(t, "server/certs/orders.go"), want) {
		t.Errorf("server/certs/orders.go does not say %q any more: look at docs/sites.md and docs/performance.md, too", want)
	}
	doc := read(t, "docs/sites.md")
	windows := func(n, most int) int { return (n - 1) / most } // that must pass before the last is ordered
	for _, want := range []string{
		fmt.Sprintf("**%d new orders in 3 hours, and %d in 7 days below one registered\ndomain**", account, registered),
		fmt.Sprintf("| %d domains of different owners | some 5 minutes |\n| 1,000 | %d hours |\n| 5,000 | %d hours |",
			account, 3*windows(1000, account), 3*windows(5000, account)),
		fmt.Sprintf("| %d names below one registered domain | a minute |\n| 1,000 | %d weeks |\n| 5,000 | %d weeks |",
			registered, windows(1000, registered), windows(5000, registered)),
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("docs/sites.md does not say %q", want)
		}
	}
}
