package registrar_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"wellkey/keystore"
	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// FuzzRecord starts on any file of state. It may be damaged, of another program, or
// say what nobody ever wrote: nothing is registered over a key that Tesla has by it,
// or on an answer that is not of the last minutes; and it puts off the next question
// for a day and a bit at most, as what was written here may, also where somebody asks
// for it.
func FuzzRecord(f *testing.F) {
	write := func(r Record) {
		data, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), true)
	}
	write(Record{})
	write(Record{Answer: answer(keystore.Key{})})
	write(Record{Answer: answer(ours), RegisteredAt: now})
	write(Record{Answer: answer(theirs), Failure: failure("domain_taken", fleetapi.ActorOperator)})
	write(Record{Failure: failure("unavailable", fleetapi.ActorTesla)})
	for _, text := range []string{
		"", "{", "null", "[]", "\x00\x00", `{"answer":null,"failure":{}}`, `{"answer":{"at":"2026-11-24T11:59:30Z","next":"2999-01-01T00:00:00Z","client_id":"id"}}`,
		`{"answer":{"at":"2999-01-01T00:00:00Z","next":"2999-01-01T00:00:00Z","client_id":"id","key":""}}`, `{"answer":{"at":"0001-01-01T00:00:00Z","next":"9999-12-31T23:59:59Z","client_id":"id"}}`,
		`{"failure":{"at":"2026-11-24T11:59:30Z","next":"2999-01-01T00:00:00Z","count":-9223372036854775808,"application":"digest","fingerprint":"` + ours.Fingerprint() + `"}}`,
		`{"failure":{"at":"2026-11-24T09:59:30Z","next":"2026-11-24T12:59:30Z","not_before":"2999-01-01T00:00:00Z","application":"digest","fingerprint":"` + ours.Fingerprint() + `"}}`,
		`{"failure":{"at":"2026-11-24T09:59:30Z","next":"2999-01-01T00:00:00Z","not_before":"2026-11-24T12:30:00Z","retry":"lag","application":"digest","fingerprint":"` + ours.Fingerprint() + `"}}`,
		`{"answer":{"at":"2026-11-24T11:59:30Z","next":"2026-11-24T12:59:30Z","client_id":"id","key":"` + strings.ToUpper(ours.Hex()) + `"}}`, `{"answer":{"client_id":"id","key":"zz"}}`,
	} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, have bool) {
		s := &memory{}
		_ = s.Store(context.Background(), RecordKey("example.com", fleetapi.NA), []byte(text))
		o := ready()
		if !have {
			o.Key = keystore.Key{}
		}
		r, err := LoadRecord(context.Background(), s, "example.com", fleetapi.NA)
		if err != nil && r != (Record{}) {
			t.Fatalf("%v, but the record is %+v", err, r)
		}
		o.Record = Loaded(r, now, o.Key)
		d := Decide(o)
		latest := now.Add(27 * time.Hour)
		if d.Next.After(latest) {
			t.Fatalf("the next step is at %v: %+v", d.Next, r)
		}
		if f := o.Record.Failure; f != nil {
			if _, whyNot := Hurried(f, latest); whyNot != "" {
				t.Fatalf("whoever asks for it is told that %s, a day and a bit later: %+v", whyNot, f)
			}
		}
		a := o.Record.Answer
		switch {
		case d.Action == Register && (a == nil || !have || a.ClientID != o.ClientID || !a.Registered().IsZero() || now.Sub(a.At).Abs() > 5*time.Minute):
			t.Fatalf("registers on %+v", a)
		case d.State == Registered && (a == nil || a.Registered() != ours):
			t.Fatalf("passes for registered: %+v", a)
		}
		key := DecideKey(KeyObservation{Now: now, Credentials: true, Answers: []*Answer{a}, Accept: func(keystore.Key, keystore.Key) bool { return false }})
		if key.Action == KeyGenerate && (a == nil || a.Key != "") || key.Action == KeyRestore && key.Key != a.Registered() {
			t.Fatalf("%+v on %+v", key, a)
		}
		// What it says can be stored, and says the same again.
		data, err := json.Marshal(o.Record)
		if err != nil {
			t.Skip("a year that RFC 3339 cannot write") // json.Marshal refuses it, and so does update, aloud
		}
		_ = s.Store(context.Background(), RecordKey("example.com", fleetapi.NA), data)
		if again, err := LoadRecord(context.Background(), s, "example.com", fleetapi.NA); err != nil || (again.Answer == nil) != (a == nil) {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	})
}

// FuzzAcceptance: no record of a rotation lets a key replace another that it does
// not name, or anything once it was withdrawn.
func FuzzAcceptance(f *testing.F) {
	good, err := json.Marshal(Acceptance{Key: ours.Fingerprint(), Over: []string{theirs.Fingerprint()}, Former: theirs.Fingerprint(), At: now})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(good))
	f.Add(strings.Replace(string(good), "}", `,"withdrawn":"2026-11-24T12:00:00Z"}`, 1))
	f.Add(strings.Replace(string(good), "key", "KEY", 1))
	for _, text := range []string{"", "{", "null", `{"over":null}`, `{"key":"","over":[""]}`, `{"key":"` + ours.Fingerprint() + `","over":"` + theirs.Fingerprint() + `"}`} {
		f.Add(text)
	}
	keys := []keystore.Key{{}, ours, theirs, third}
	f.Fuzz(func(t *testing.T, text string) {
		s := &memory{}
		_ = s.Store(context.Background(), AcceptanceKey("example.com"), []byte(text))
		a, err := LoadAcceptance(context.Background(), s, "example.com")
		for _, key := range keys {
			for _, over := range keys {
				if !a.Allows(key, over) {
					continue
				}
				if err != nil || key.IsZero() || over.IsZero() || !a.Withdrawn.IsZero() || !strings.Contains(text, key.Fingerprint()) || !strings.Contains(text, over.Fingerprint()) {
					t.Fatalf("%q, %v: lets %v replace %v", text, err, key, over)
				}
			}
		}
	})
}
