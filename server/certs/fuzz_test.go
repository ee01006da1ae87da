package certs_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"wellkey/internal/storage"
	"wellkey/server/certs"
)

var fuzzed = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// FuzzRecord reads any record of orders. One that is taken for good never allows
// more orders than the budget has, and never holds them back for longer than a week;
// and after one more failure the CA is left alone for a minute to a week.
func FuzzRecord(f *testing.F) {
	for _, text := range []string{
		"", "{", "[]", "null", "\x00", `{"domain":"b.example"}`, `{"domain":"a.example"}`, `{"domain":"a.example","ledger":{"damaged":true}}`,
		`{"domain":"a.example","ledger":{"spent_until":"9999-12-31T23:59:59Z"}}`, `{"domain":"a.example","ledger":{"entries":[{"at":"9999-12-31T23:59:59Z"},{"at":"0001-01-01T00:00:00Z","replaces":"00"}]}}`,
		`{"domain":"a.example","ledger":{"entries":[{"at":"2026-11-25T11:00:00Z"},{"at":"2026-11-24T13:00:00Z"},{"at":"2026-11-20T12:00:00Z"},{"at":"2026-11-25T11:59:59Z","replaces":"01"}]},"failures":3,"running":true,"unclean":2}`,
		`{"domain":"a.example","failures":-5}`, `{"domain":"a.example","failures":9223372036854775807}`, `{"domain":"a.example","unclean":-1,"next_attempt":"9999-12-31T23:59:59Z","since":"0001-01-01T00:00:00Z"}`,
		`{"domain":"a.example","ledger":{"entries":[` + strings.Repeat(`{"at":"2026-11-25T11:59:59Z"},`, 50) + `{"at":"2026-11-25T12:00:00Z"}]}}`, `{"DOMAIN":"a.example","domain":"a.example","last_failure":{"reason":"dns"}}`, `{"domain":"a.example","last_failure":{"reason":"of_a_newer_version"},"why_fallback":{}}`,
	} {
		for _, reason := range []certs.Reason{certs.ReasonBudget, certs.ReasonDNS, certs.ReasonStorage} {
			f.Add(text, slices.Index(certs.Reasons(), reason))
		}
	}
	f.Fuzz(func(t *testing.T, text string, reason int) {
		if reason < 0 || reason >= len(certs.Reasons()) {
			return
		}
		rec, err := certs.DecodeRecord([]byte(text), "a.example")
		if err != nil {
			return
		}
		for _, apart := range []bool{false, true} {
			now, spent := fuzzed, 0
			for range 40 {
				rec.Mend(now)
				left := rec.Remaining(now, apart)
				if left < 0 || left > 2 {
					t.Fatalf("%d orders at once", left)
				}
				for range left {
					replaces := ""
					if apart {
						replaces = "serial"
					}
					rec.Spend(now, replaces)
					if now.Before(fuzzed.Add(7 * 24 * time.Hour)) {
						spent++
					}
				}
				next := rec.Refill(now, apart)
				if !next.After(now) || next.After(now.Add(7*24*time.Hour)) {
					t.Fatalf("at %v, after %d orders, the next is at %v", now, spent, next)
				}
				now = next
			}
			if spent > 3 {
				t.Fatalf("%d orders within a week", spent)
			}
		}
		rec.Elsewhere()
		if pause := rec.Fail(certs.Reasons()[reason], fuzzed); pause < time.Minute || pause > 7*24*time.Hour {
			t.Fatalf("a pause of %v", pause)
		}
		data, err := json.Marshal(rec)
		if err != nil {
			return // a year that RFC 3339 cannot write; it is told when it is stored
		}
		if _, err := certs.DecodeRecord(data, "a.example"); err != nil {
			t.Fatalf("its own output: %v", err)
		}
	})
}

// FuzzOrders reads any file of what all domains ordered: what counts lies within the
// window and in order, so it is always known when there may be more.
func FuzzOrders(f *testing.F) {
	for _, text := range []string{
		"", "{", "null", "{}", `["2026-11-25T11:00:00Z","2026-11-25T09:00:01Z"]`, `["9999-12-31T23:59:59Z"]`, `["0001-01-01T00:00:00Z",7]`, `["2026-11-25T11:00:00Z"`,
		"[" + strings.Repeat(`"2026-11-25T11:59:59Z",`, 300) + `"2026-11-25T11:59:59Z"]`,
	} {
		f.Add([]byte(text))
	}
	s, err := storage.OpenDirectory(f.TempDir(), nil)
	if err != nil {
		f.Fatal(err)
	}
	const key, window = "issuance/shared/ca/account.json", 3 * time.Hour
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := s.Store(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
		all, err := certs.Tally(t.Context(), s, key, window, fuzzed)
		if err != nil {
			t.Fatal(err)
		}
		last := fuzzed.Add(-window)
		for i, at := range all {
			if i == 0 && !at.After(last) || at.Before(last) || at.After(fuzzed) {
				t.Fatalf("got %v", all)
			}
			last = at
		}
	})
}
