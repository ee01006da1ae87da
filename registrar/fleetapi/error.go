package fleetapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"wellkey/internal/phrase"
)

// ErrNotRegistered is what errors.Is finds in the error of PublicKey where
// Tesla answered, in words, that it has no key of the domain for this
// application in this region. The *Error around it keeps the reason. An answer
// that was not understood never is ErrNotRegistered, since a key may be made
// where none is registered.
var ErrNotRegistered = errors.New("not registered")

// quoted is how much of a foreign text an error shows, in bytes.
const quoted = 300

// An Error is a request that did not succeed: refused by Tesla, or failed on
// the way. It holds no secret. Text, which comes from outside, is raw: quote it
// before it is shown, as Error does.
type Error struct {
	Operation Operation
	Region    Region
	Domain    string // "" for tokens
	ClientID  string
	BaseURL   string // of the region, as dialled
	AuthURL   string // of the region, as dialled

	Refusal    Refusal
	Status     int       // of the answer; 0 where there was none
	Text       string    // Tesla's words, or what failed on the way; at most 2,000 bytes
	TxID       string    // Tesla's name for the request: its support asks for it
	RetryAfter time.Time // not before this time; zero where Tesla did not say
	Err        error     // what failed on the way; nil where Tesla answered

	gaveUp bool // the caller's own deadline ended it
}

// Error says in one line what was asked, what happened and what Tesla said.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (%s", e.doing(), e.Subject().Fill(e.Refusal.Summary), e.Refusal.Code)
	if e.Status != 0 {
		fmt.Fprintf(&b, ", status %d", e.Status)
	}
	b.WriteString(")")
	if e.Text != "" {
		b.WriteString(": " + strconv.Quote(phrase.Cut(e.Text, quoted, "…")))
	}
	if e.TxID != "" {
		b.WriteString(", txid " + e.TxID)
	}
	return b.String()
}

func (e *Error) doing() string {
	switch e.Operation {
	case OpRegister:
		return fmt.Sprintf("registering %s in %s", e.Domain, e.Region)
	case OpPublicKey:
		return fmt.Sprintf("asking for the key of %s in %s", e.Domain, e.Region)
	case OpStatus:
		return fmt.Sprintf("asking whether Tesla is up in %s", e.Region)
	}
	return fmt.Sprintf("getting a token for %s", e.Region)
}

// Unwrap returns what failed on the way, such as context.DeadlineExceeded.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is ErrNotRegistered and e says so.
func (e *Error) Is(target error) bool {
	return target == ErrNotRegistered && e.Operation == OpPublicKey && e.Refusal.Absent
}

// Reason returns the reason code.
func (e *Error) Reason() ReasonCode { return e.Refusal.Code }

// Cause returns the likely cause, in whole sentences.
func (e *Error) Cause() string { return e.Subject().Fill(e.Refusal.Cause) }

// Fix returns what to do, in whole sentences.
func (e *Error) Fix() string { return e.Subject().Fill(e.Refusal.Fix) }

// Subject returns what the request was about.
func (e *Error) Subject() Subject {
	return Subject{Region: e.Region, Domain: e.Domain, ClientID: e.ClientID, BaseURL: e.BaseURL, AuthURL: e.AuthURL}
}

// lost is a failure on the way that shows the cleaned text instead of its own.
type lost struct {
	text string
	err  error
}

func (l *lost) Error() string { return l.text }
func (l *lost) Unwrap() error { return l.err }
