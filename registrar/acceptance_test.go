package registrar_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wellkey/keystore"
	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

func TestAcceptanceAllows(t *testing.T) {
	given := Acceptance{Key: third.Fingerprint(), Over: []string{ours.Fingerprint(), theirs.Fingerprint()}, Former: ours.Fingerprint()}
	withdrawn := given
	withdrawn.Withdrawn = now
	none := keystore.Key{}
	for _, test := range []struct {
		name      string
		a         Acceptance
		key, over keystore.Key
		want      bool
	}{
		{"the new over the former", given, third, ours, true},
		{"the new over another that was named", given, third, theirs, true},
		{"the new over one that was not", given, third, third, false},
		{"the former over the new", given, ours, third, false},
		{"a named one over another", given, ours, theirs, false},
		{"withdrawn", withdrawn, third, ours, false},
		{"nothing given", Acceptance{}, third, ours, false},
		{"nothing given, no keys", Acceptance{Over: []string{""}}, none, none, false},
		{"no key", Acceptance{Over: []string{ours.Fingerprint()}}, none, ours, false},
	} {
		if got := test.a.Allows(test.key, test.over); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

func TestAcceptanceIsKept(t *testing.T) {
	ctx, s := context.Background(), &memory{}
	if a, err := LoadAcceptance(ctx, s, "example.com"); err != nil || a.Key != "" {
		t.Errorf("nothing stored: %+v, %v", a, err)
	}
	want := Acceptance{Key: "new", Over: []string{"a", "b"}, Former: "a", At: now, Withdrawn: now.Add(time.Hour)}
	if err := StoreAcceptance(ctx, s, "example.com", want); err != nil {
		t.Fatal(err)
	}
	got, err := LoadAcceptance(ctx, s, "example.com")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if a, err := LoadAcceptance(ctx, s, "other.example"); err != nil || a.Key != "" {
		t.Errorf("another domain: %+v, %v", a, err)
	}
}

func TestDamagedAcceptanceAllowsNothing(t *testing.T) {
	ctx, s := context.Background(), &memory{}
	for _, damage := range []string{"", "{", "[]", `{"key": 1}`} {
		_ = s.Store(ctx, AcceptanceKey("example.com"), []byte(damage))
		a, err := LoadAcceptance(ctx, s, "example.com")
		if err == nil || a.Key != "" || a.Allows(third, ours) {
			t.Errorf("%q: got %+v, %v", damage, a, err)
		}
	}
}

type brokenStorage struct{ error }

func (b brokenStorage) Load(context.Context, string) ([]byte, error) { return nil, b.error }
func (b brokenStorage) Store(context.Context, string, []byte) error  { return b.error }

func TestAcceptanceTellsWhatTheStorageSays(t *testing.T) {
	broken := brokenStorage{errors.New("input/output error")}
	if _, err := LoadAcceptance(context.Background(), broken, "example.com"); err == nil || err.Error() != "loading the accepted key: input/output error" {
		t.Errorf("got %v", err)
	}
	if err := StoreAcceptance(context.Background(), broken, "example.com", Acceptance{}); err == nil || err.Error() != "storing the accepted key: input/output error" {
		t.Errorf("got %v", err)
	}
}

func TestLastAnswer(t *testing.T) {
	inWorld("as the registrar noted it", t, func(w *world) {
		ctx := context.Background()
		if a, err := LastAnswer(ctx, w.storage, "example.com", fleetapi.NA, "id"); a != nil || err != nil {
			t.Errorf("before: %+v, %v", a, err)
		}
		w.start()
		w.want(Registered)
		w.stop()
		for clientID, want := range map[string]bool{"id": true, "": true, "other": false} {
			a, err := LastAnswer(ctx, w.storage, "example.com", fleetapi.NA, clientID)
			if err != nil || (a != nil) != want || want && a.Key != ours.Hex() {
				t.Errorf("for %q: %+v, %v", clientID, a, err)
			}
		}
	})
}
