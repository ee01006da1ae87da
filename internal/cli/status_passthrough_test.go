package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/tty"
)

// TestPassthroughOfSeveralSites: of several sites the status tells once that a server
// behind passthrough is down; of one it stands in the checklist, and nowhere else.
func TestPassthroughOfSeveralSites(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	status := admin.Status{At: now, Sites: []admin.SiteView{{Domain: "a.example.com"}, {Domain: "b.example.com"}}, Passthrough: []admin.Passed{
		{Name: "good.example.com", Target: "good:443", Total: 1},
		{Name: "telemetry.example.com", Target: "fleet-telemetry:443", Total: 7, Trouble: &admin.PassedTrouble{
			Since: now.Add(-time.Hour), Last: now.Add(-time.Minute), Seen: `"connection refused"`, Cause: "Nothing listens there.", Fix: "Start it.",
		}},
	}}
	print := func() string {
		var text bytes.Buffer
		out := tty.New(&text, nil)
		printPassed(out, status)
		if err := out.Err(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(text.String()), " ")
	}
	const want = `Connections for other servers warn Passthrough fleet-telemetry:443 could not be reached, so connections for telemetry.example.com were closed; ` +
		`the key is not concerned. First failed 1 hour ago, last 1 minute ago: "connection refused". cause Nothing listens there. fix Start it.`
	if got := print(); got != want {
		t.Errorf("got  %s", got)
	}
	status.Sites = []admin.SiteView{{Domain: "a.example.com", Checklist: []admin.Check{{ID: "passthrough_telemetry.example.com"}}}}
	if got := print(); got != "" {
		t.Errorf("with one site it is told twice: %s", got)
	}
}
