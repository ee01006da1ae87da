// Package secret has a type for values that must never be printed: client
// secrets, tokens, passwords. Only Reveal gives the value away, so a search for
// it finds every place where a secret leaves.
package secret

import (
	"fmt"
	"io"
	"unique"
)

const redacted = "[redacted]"

// A Text is a secret string. Printed with any verb, marshalled as JSON, YAML or
// text, or logged by zap, it says "[redacted]". Two of them are equal (==) when
// their secrets are. The zero Text is "no secret".
type Text struct {
	// handle points at the string: fmt calls no method of a Text in an unexported
	// field of another struct, but it follows no pointer there either.
	handle unique.Handle[string]
}

// New returns value as a secret; an empty value is the zero Text.
func New(value string) Text {
	if value == "" {
		return Text{}
	}
	return Text{unique.Make(value)}
}

// Reveal returns the secret itself: for the one request that needs it.
func (t Text) Reveal() string {
	if t.IsZero() {
		return ""
	}
	return t.handle.Value()
}

// IsZero reports whether there is no secret.
func (t Text) IsZero() bool { return t == Text{} }

// String implements fmt.Stringer, and so zap.Stringer and %v.
func (t Text) String() string { return redacted }

// Format implements fmt.Formatter: every verb, also %#v, prints the same.
func (t Text) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText implements encoding.TextMarshaler, and so JSON and YAML.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
