package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/tty"
)

// TestBehindSeveralSites: of several sites the status tells once that a server behind is
// down; of one it stands in the checklist, and nowhere else.
func TestBehindSeveralSites(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	down := &admin.Trouble{Since: now.Add(-time.Hour), Last: now.Add(-time.Minute), Seen: `"connection refused"`, Cause: "Nothing listens there.", Fix: "Start it."}
	status := admin.Status{At: now, Sites: []admin.SiteView{{Domain: "a.example.com"}, {Domain: "b.example.com"}}, Upstream: &admin.Behind{Target: "http://app:8080", Total: 3, Trouble: down}, Passthrough: []admin.Passed{
		{Name: "good.example.com", Behind: admin.Behind{Target: "good:443", Total: 1}},
		{Name: "telemetry.example.com", Behind: admin.Behind{Target: "fleet-telemetry:443", Total: 7, Trouble: down}},
	}}
	print := func() string {
		var text bytes.Buffer
		out := tty.New(&text, nil)
		printBehind(out, status)
		if err := out.Err(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(text.String()), " ")
	}
	const want = `Servers behind wellkey warn Application http://app:8080 failed, so visitors of your application got an error; the key is not concerned. ` +
		`First failed 1 hour ago, last 1 minute ago: "connection refused". cause Nothing listens there. fix Start it. ` +
		`warn Passthrough fleet-telemetry:443 could not be reached, so connections for telemetry.example.com were closed; ` +
		`the key is not concerned. First failed 1 hour ago, last 1 minute ago: "connection refused". cause Nothing listens there. fix Start it.`
	if got := print(); got != want {
		t.Errorf("got  %s", got)
	}
	status.Sites = []admin.SiteView{{Domain: "a.example.com", Checklist: []admin.Check{{ID: "upstream"}, {ID: "passthrough_telemetry.example.com"}}}}
	if got := print(); got != "" {
		t.Errorf("with one site it is told twice: %s", got)
	}
}
