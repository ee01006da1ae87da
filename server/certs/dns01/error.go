package dns01

import (
	"context"
	"errors"
	"fmt"

	"wellkey/internal/phrase"
)

// A Kind is the class of a failure: one of a closed set.
type Kind string

// The kinds of failures.
const (
	KindProvider   Kind = "provider"   // the provider refused the change, or could not be asked
	KindZone       Kind = "zone"       // nobody knows the zone that the record belongs to
	KindUnseen     Kind = "unseen"     // the record was made, and the name servers do not have it
	KindDelegation Kind = "delegation" // the CNAME of the challenge does not lead where it must
	KindLookup     Kind = "lookup"     // no resolver answered
)

// An Error is a failure in words that an operator can act on. It holds no secret,
// and what strangers said is quoted and cut.
type Error struct {
	Kind Kind
	text string
	err  error // nil = none
}

func (e *Error) Error() string { return e.text }

// Unwrap returns the cause, if there is one.
func (e *Error) Unwrap() error { return e.err }

func fail(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, text: fmt.Sprintf(format, args...)}
}

// wrap puts what was done before err, which keeps its kind if it has one.
func wrap(kind Kind, err error, format string, args ...any) *Error {
	var known *Error
	if errors.As(err, &known) {
		kind = known.Kind
	}
	text := err.Error()
	if errors.Is(err, context.DeadlineExceeded) && known == nil {
		text += ": there was no answer in time"
	}
	return &Error{Kind: kind, text: fmt.Sprintf(format, args...) + ": " + text, err: err}
}

// quote returns what a stranger said as it may be shown.
func quote(text string) string { return phrase.Quote(text, 200) }
