package registrar_test

import (
	"net/netip"
	"reflect"
	"testing"

	"wellkey/internal/finding"
	"wellkey/registrar"
	"wellkey/registrar/reach"
)

func TestKeptReportIsTheSame(t *testing.T) {
	t.Parallel()
	for name, report := range map[string]reach.Report{
		"empty": {Verdict: reach.Inconclusive, Reason: reach.ReasonCanceled},
		"found": {Domain: "a.example.com", Verdict: reach.Reachable, Addresses: []reach.Address{{IP: netip.MustParseAddr("192.0.2.1"), OK: true}},
			Findings: []finding.Finding{{ID: "dns", Status: finding.OK, Seen: "a.example.com is 192.0.2.1"}, {ID: "tls", Status: finding.Fail, On: "192.0.2.1",
				Seen: "the certificate is for a.example.com.org", Cause: "a.example.com", Fix: "open https://a.example.com/"}}},
		"NUL": {Domain: "a.example.com", Findings: []finding.Finding{{ID: "body", Status: finding.Fail, Seen: "\x00 of a.example.com"}}},
	} {
		if got := registrar.Kept(report); !reflect.DeepEqual(got, report) {
			t.Errorf("%s: got %+v, want %+v", name, got, report)
		}
	}
}
