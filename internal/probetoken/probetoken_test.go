package probetoken_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/probetoken"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newToken(t *testing.T) *probetoken.Token {
	t.Helper()
	token, err := probetoken.New()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAnswer(t *testing.T) {
	token := newToken(t)
	hex := regexp.MustCompile(`^[0-9a-f]{64}$`)
	for _, tc := range []struct {
		name, challenge string
		answered        bool
	}{
		{"empty", "", false},
		{"short", "a", true},
		{"longest", strings.Repeat("a", probetoken.MaxChallenge), true},
		{"too long", strings.Repeat("a", probetoken.MaxChallenge+1), false},
		{"not text", "\x00\xff", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := token.Answer(tc.challenge)
			if tc.answered != hex.MatchString(got) {
				t.Errorf("Answer = %q, want answered: %v", got, tc.answered)
			}
			if token.Verify(tc.challenge, got) != tc.answered {
				t.Errorf("Verify of its own answer = %v, want %v", !tc.answered, tc.answered)
			}
		})
	}
}

func TestAnswersDiffer(t *testing.T) {
	one, two := newToken(t), newToken(t)
	first := one.Answer("x")
	if one.Answer("x") != first {
		t.Error("the same challenge got two answers")
	}
	if one.Answer("y") == first {
		t.Error("two challenges got the same answer")
	}
	if one.Answer("x") == two.Answer("x") || one.Verify("x", two.Answer("x")) {
		t.Error("two tokens gave the same answer")
	}
}

func TestPrintsNothing(t *testing.T) {
	token := newToken(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, token); got != "[probe token]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
