package scheme_test

import (
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/storage/scheme"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOf(t *testing.T) {
	t.Parallel()
	kinds := map[string]scheme.Kind{"redis": scheme.Redis, "rediss": scheme.Redis, "postgres": scheme.Postgres, "postgresql": scheme.Postgres}
	if all := scheme.All(); len(all) != len(kinds) {
		t.Errorf("got %q", all)
	}
	for _, name := range scheme.All() {
		if got := scheme.Of(name); got == scheme.None || got != kinds[name] {
			t.Errorf("%s: got %q", name, got)
		}
	}
	for _, name := range []string{"", "https", "Redis", "file", "mysql"} {
		if got := scheme.Of(name); got != scheme.None {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
