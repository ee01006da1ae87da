package trouble_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/storage/trouble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestQuote: what a server said is shown as it may be, and a cut is seen.
func TestQuote(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"ERR \x1b[2J":                  `"ERR \x1b[2J"`,
		"x" + strings.Repeat("é", 500): `"x` + strings.Repeat("é", 149) + `"...`,
	} {
		if got := trouble.Quote(said); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got, want := trouble.Unexplained("redis://a", errors.New(said)).Seen, "it answers "+want; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
