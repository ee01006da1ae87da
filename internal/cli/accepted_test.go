package cli

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/config"
	"wellkey/keystore"
	"wellkey/registrar"
)

// memory is a storage of one value, or of one error.
type memory struct {
	data []byte
	err  error
}

func (m *memory) Load(context.Context, string) ([]byte, error) {
	if m.err == nil && m.data == nil {
		return nil, fs.ErrNotExist
	}
	return m.data, m.err
}
func (m *memory) Store(_ context.Context, _ string, data []byte) error { m.data = data; return nil }

// Two points on the curve: the generator of P-256 times 1 and 2.
const (
	pointOne = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
	pointTwo = "047cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc4766997807775510db8ed040293d9ac69f7430dbba7dade63ce982299e04b79d227873d1"
)

func TestAccepted(t *testing.T) {
	one, err := keystore.ParsePoint(pointOne)
	if err != nil {
		t.Fatal(err)
	}
	two, err := keystore.ParsePoint(pointTwo)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.ErrorLevel)
	store := &memory{}
	site := config.Site{Domain: "example.com"}
	allows := accepted(&site, store, zap.New(core))
	want := func(name string, key, over keystore.Key, want bool) {
		t.Helper()
		if got := allows(key, over); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	want("nothing was said", one, two, false)
	site.AcceptKey = one.Fingerprint()
	allows = accepted(&site, store, zap.New(core))
	want("the setting", one, two, true)
	want("the setting names another", two, one, false)
	site.AcceptKey = ""
	allows = accepted(&site, store, zap.New(core))
	if err := registrar.StoreAcceptance(context.Background(), store, "example.com",
		registrar.Acceptance{Key: two.Fingerprint(), Over: []string{one.Fingerprint()}}); err != nil {
		t.Fatal(err)
	}
	want("a rotation, while we run", two, one, true)
	want("a rotation, the other way", one, two, false)
	if logs.Len() > 0 {
		t.Errorf("logged %v", logs.All())
	}
	store.err = errors.New("input/output error")
	want("the storage fails", two, one, false)
	if logs.FilterMessageSnippet("not readable, so nothing is replaced").Len() != 1 {
		t.Errorf("logged %v", logs.All())
	}
}
