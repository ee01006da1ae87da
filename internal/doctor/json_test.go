package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

var update = flag.Bool("update", false, "write testdata/report.json and docs/checks.md")

// The JSON of a report is a promise to programs: what is in the golden file may
// be added to, and nothing in it may change.
func TestJSON(t *testing.T) {
	key, err := keystore.ParsePoint("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
	if err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr("192.0.2.1")
	look := reach.Report{Domain: domain, Verdict: reach.Reachable,
		Addresses: []reach.Address{{IP: ip, Family: "ipv4", OK: true, Key: key}},
		Findings: []finding.Finding{
			{ID: "dns_resolves", Status: finding.OK, Seen: "It resolves."},
			{ID: "dial", Status: finding.OK, On: ip.String(), Seen: "It takes connections."},
			{ID: "http_head", Status: finding.Warn, On: ip.String(), Seen: "HEAD is not answered.", Cause: "A <firewall>.", Fix: "Answer HEAD."},
			{ID: "key_parse", Status: finding.OK, On: ip.String(), Seen: "It is a key."},
			{ID: "clock", Status: finding.Skipped, On: ip.String(), Seen: "There is no Date."},
		}}
	report := doctor.Run(context.Background(), doctor.Config{
		Domain: "https://" + domain, Prober: &stub{report: &look}, Regions: []fleetapi.Region{fleetapi.EU},
		Tesla: says{key: key, token: fleetapi.TokenInfo{ExpiresAt: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)}},
	})
	report.At, report.Seconds = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), 1.25
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(report); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.json", got.Bytes())
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not current: go test ./internal/doctor -update; got\n%s", path, got)
	}
}

func TestDocsAreCurrent(t *testing.T) {
	golden(t, "../../docs/checks.md", doctor.Markdown())
}

func TestEverythingIsDocumented(t *testing.T) {
	page := string(doctor.Markdown())
	for _, name := range slices.Concat(doctor.Checks(), reach.Reasons()) {
		if !strings.Contains(page, "| "+name+" | ") {
			t.Errorf("%s: no row", name)
		}
	}
	if strings.Contains(page, "|  |") {
		t.Error("a row has no text")
	}
}
