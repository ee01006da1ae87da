// Package secret has a type for values that must never be printed: client
// secrets, tokens, passwords. Only Reveal gives the value away, so a search for
// it finds every place where a secret leaves.
package secret

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
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

// Hide returns text without the secret, plain or encoded as in a form, a path, JSON
// or base64: for what others say, who may repeat what they were sent. It must see
// the whole text: a secret at the edge of a cut one is not found.
func (t Text) Hide(text string) string {
	if t.IsZero() {
		return text
	}
	s := t.Reveal()
	quoted, _ := json.Marshal(s) // a string always marshals
	encoded := base64.StdEncoding.EncodeToString([]byte(s))
	for _, form := range []string{
		s, url.QueryEscape(s), url.PathEscape(s),
		string(quoted[1 : len(quoted)-1]), strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s), // with HTML escaped, and without
		encoded, url.QueryEscape(encoded),
	} {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return text
}

// IsZero reports whether there is no secret.
func (t Text) IsZero() bool { return t == Text{} }

// String implements fmt.Stringer, and so zap.Stringer and %v.
func (t Text) String() string { return redacted }

// Format implements fmt.Formatter: every verb, also %#v, prints the same.
func (t Text) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText implements encoding.TextMarshaler, and so JSON and YAML.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
