package phrase_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/phrase"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSentence(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "put it back": "Put it back.", "Done.": "Done.", "why?": "Why?", "écrit": "Écrit.", `it says "no"`: `It says "no".`,
	} {
		if got := phrase.Sentence(text); got != want {
			t.Errorf("Sentence(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestList(t *testing.T) {
	words := []string{"na", "eu", "cn"}
	for n, want := range []string{"", "na", "na and eu", "na, eu and cn"} {
		if got := phrase.List(words[:n]); got != want {
			t.Errorf("List of %d = %q, want %q", n, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	for _, tc := range []struct {
		text string
		most int
		want string
	}{
		{"", 3, `""`},
		{"abc", 3, `"abc"`},
		{"abcd", 3, `"abc"...`},
		{"a\n\x1b[0m", 9, `"a\n\x1b[0m"`},
		{"aéb", 2, `"a"...`}, // no half of a character
		{"é", 1, `""...`},
	} {
		if got := phrase.Quote(tc.text, tc.most); got != tc.want {
			t.Errorf("Quote(%q, %d) = %s, want %s", tc.text, tc.most, got, tc.want)
		}
	}
}

func TestCut(t *testing.T) {
	if got := phrase.Cut("aéb", 2, "…"); got != "a…" {
		t.Errorf("Cut = %q", got)
	}
	if got := phrase.Cut("aéb", 4, "…"); got != "aéb" {
		t.Errorf("Cut = %q", got)
	}
	if got := phrase.Cut(strings.Repeat("\x80", 9), 7, "…"); got != strings.Repeat("\x80", 7)+"…" { // no text at all
		t.Errorf("Cut = %q", got)
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a\n\tb é ✓ █": "a\n\tb é ✓ █", "\x1b[2Ja\r": `\x1b[2Ja\r`, "a\u202eb\u2028\u2066\x00\u009b": `a\u202eb\u2028\u2066\x00\u009b`,
		"\xff\ufffd": "\\xff\ufffd", "\"\\": "\"\\",
	} {
		if got := phrase.Plain(text); got != want {
			t.Errorf("Plain(%q) = %q, want %q", text, got, want)
		}
		if again := phrase.Plain(phrase.Plain(text)); again != want {
			t.Errorf("twice: %q", again)
		}
	}
}

// TestPlainJSON: what is escaped says the same, and what was plain stays as it is.
func TestPlainJSON(t *testing.T) {
	for text, want := range map[string]string{
		"{\n\t\"a\": \"é ✓\"}\n": "{\n\t\"a\": \"é ✓\"}\n", `"\u001b"`: `"\u001b"`,
		"\"\u202e\u2028\u009b\x7f\u00a0\"": `"\u202e\u2028\u009b\u007f\u00a0"`, "\"\U000e0001\"": `"\udb40\udc01"`, "\"\xff\ufffd\"": "\"\\ufffd\ufffd\"",
	} {
		got := phrase.PlainJSON([]byte(text))
		if string(got) != want {
			t.Errorf("PlainJSON(%q) = %q, want %q", text, got, want)
		}
		var before, after any
		if json.Unmarshal([]byte(text), &before) != nil || json.Unmarshal(got, &after) != nil || !reflect.DeepEqual(before, after) {
			t.Errorf("PlainJSON(%q) says %v, want %v", text, after, before)
		}
	}
}
