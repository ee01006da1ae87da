// Package probetoken lets a wellkey process recognise itself from outside. The
// prober sends a random challenge in a request header, and the server answers
// it in the response with a keyed digest that only this process can compute: so
// "some other host serves the same key" is told apart from "this is me".
//
// The token proves an identity and grants nothing: whoever reads challenge and
// answer learns neither the token nor the answer to any other challenge.
package probetoken

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Header is the name of the request header that carries the challenge and of
// the response header that carries the answer.
const Header = "Wellkey-Probe"

// MaxChallenge is the length in bytes of the longest challenge that is
// answered: room for any prober's randomness, and a bound on what a stranger
// can make the server digest.
const MaxChallenge = 64

// A Token is the identity of one process. It is immutable and safe for
// concurrent use.
type Token struct {
	key [sha256.Size]byte
}

// New returns a random Token. It fails only where the system has no randomness.
func New() (*Token, error) {
	t := new(Token)
	if _, err := rand.Read(t.key[:]); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	return t, nil
}

// Answer returns the answer to challenge as 64 lower-case hexadecimal
// characters, or "" for a challenge that is not answered: an empty one, or one
// longer than MaxChallenge.
func (t *Token) Answer(challenge string) string {
	if challenge == "" || len(challenge) > MaxChallenge {
		return ""
	}
	mac := hmac.New(sha256.New, t.key[:])
	mac.Write([]byte(challenge))
	return hex.EncodeToString(mac.Sum(nil))
}

// Verify reports whether answer is this token's answer to challenge.
func (t *Token) Verify(challenge, answer string) bool {
	want := t.Answer(challenge)
	return want != "" && hmac.Equal([]byte(want), []byte(answer))
}

// String keeps the token out of anything that is printed.
func (t *Token) String() string { return "[probe token]" }

// GoString does the same for %#v.
func (t *Token) GoString() string { return t.String() }
