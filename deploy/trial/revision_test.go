package trial_test

import (
	"os"
	"regexp"
	"testing"

	"wellkey/deploy/trial"
)

// Who reads a report learns which wellkey was measured, where that is known.
func TestRevision(t *testing.T) {
	t.Parallel()
	const unknown = "a wellkey of an unknown revision"
	known := regexp.MustCompile(`^wellkey [0-9a-f]{12}( with changes)?$`)
	if got := trial.Revision(t.Context(), ""); !known.MatchString(got) && got != unknown {
		t.Errorf("of this tree: got %q", got)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{self, "/etc/passwd", "/nothing"} { // a test has no revision in it
		if got := trial.Revision(t.Context(), path); got != unknown && !known.MatchString(got) || path != self && got != unknown {
			t.Errorf("%s: got %q", path, got)
		}
	}
}
