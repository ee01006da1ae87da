package registrar_test

import (
	"strings"
	"testing"

	. "wellkey/registrar"
)

// TestEveryWaitHasWords: whatever is waited for, an operator who looks is told.
func TestEveryWaitHasWords(t *testing.T) {
	for _, reason := range []string{ReasonStarting, ReasonNoCredentials, ReasonBadCredentials, ReasonAsking, ReasonRegistering, ReasonNoKey,
		ReasonNoCertificate, ReasonSpreading, ReasonNotLooked, ReasonRegionsDisagree} {
		note := NoteOf(reason)
		if note.Reason != reason || !strings.HasSuffix(note.Seen, ".") {
			t.Errorf("%s: got %+v", reason, note)
		}
	}
}
