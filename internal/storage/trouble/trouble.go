// Package trouble puts into words for the operator why a shared store cannot be
// used: what was seen, the likely cause, and the fix.
package trouble

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"wellkey/internal/phrase"
)

// A Reason is one of a closed set.
type Reason string

// All reasons.
const (
	Refused   Reason = "refused"   // nobody listens
	Unknown   Reason = "unknown"   // its name has no address
	Silent    Reason = "timeout"   // no answer in time
	Untrusted Reason = "untrusted" // its certificate does not prove it
	NoTLS     Reason = "no_tls"    // one speaks TLS and the other does not
	Login     Reason = "login"     // wrong or no user or password
	Privilege Reason = "privilege" // the user may not do this
	ReadOnly  Reason = "read_only" // it is a replica
	Database  Reason = "database"  // there is no such database
	Full      Reason = "full"      // no memory or disk left
	Starting  Reason = "starting"  // it is not ready yet
	Schema    Reason = "schema"    // made by a newer wellkey
	Broken    Reason = "broken"    // the connection broke
	Other     Reason = "other"
)

// NameOf returns the URL of a store without user and query, as it is shown to
// people; kind where it is no URL.
func NameOf(text, kind string) string {
	u, err := url.Parse(text)
	if err != nil {
		return kind
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// An Error is why a store cannot be used. Store names it, without a password.
type Error struct {
	Store            string
	Reason           Reason
	Seen, Cause, Fix string // whole phrases, lower case
	Err              error  // what the client said
}

func (e *Error) Error() string {
	return "storage " + e.Store + " cannot be used: " + e.Seen + " (" + e.Cause + "); " + e.Fix
}

func (e *Error) Unwrap() error { return e.Err }

// Of returns err as an Error, if it is one.
func Of(err error) (*Error, bool) { return errors.AsType[*Error](err) }

// Network explains what happens on the way to a store, whatever it is; nil if
// err is none of that. Roots says which setting trusts a private CA.
func Network(store string, err error) *Error {
	e := &Error{Store: store, Err: err}
	text := err.Error()
	var (
		name      *net.DNSError
		untrusted *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &untrusted):
		e.Reason, e.Seen = Untrusted, "its certificate is not trusted: "+Quote(untrusted.Err.Error())
		e.Cause = "it is of a private authority, for another name, or expired"
		e.Fix = "set storage_roots to the PEM file of the authority that signed it, and use a host name that is in the certificate"
	case errors.As(err, &record), strings.Contains(text, "server refused TLS connection"):
		e.Reason, e.Seen = NoTLS, "it does not speak TLS at this port"
		e.Cause, e.Fix = "TLS is off there, or has a port of its own", "use the port for TLS, or redis:// in place of rediss://, or sslmode=disable on a network that you trust"
	case errors.As(err, &name):
		e.Reason, e.Seen = Unknown, "its host name "+Quote(name.Name)+" has no address: "+Quote(name.Err)
		e.Cause, e.Fix = "the name is misspelled, or the DNS of this host does not know it", "correct the host in storage; inside Kubernetes the name is service.namespace"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Reason, e.Seen = Refused, "the connection was refused"
		e.Cause, e.Fix = "it does not run, or listens at another address or port", "start it, or correct host and port in storage"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		e.Reason, e.Seen = Unknown, "there is no way to its address"
		e.Cause, e.Fix = "the network between is down, or a firewall rejects it", "see whether this host can reach it"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Reason, e.Seen = Silent, "it did not answer in time"
		e.Cause, e.Fix = "it is overloaded or hangs, or a firewall drops what is sent to it", "see whether it answers from this host, and its own log"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Reason, e.Seen = Broken, "the connection broke"
		e.Cause, e.Fix = "it was restarted, or requires TLS at this port", "nothing, if this passes; else see its own log, and try rediss:// in place of redis://"
	default:
		return nil
	}
	return e
}

// Unexplained is for what nobody has words for.
func Unexplained(store string, err error) *Error {
	return &Error{Store: store, Reason: Other, Seen: "it answers " + Quote(err.Error()), Cause: "not known", Fix: "see its own log", Err: err}
}

// Quote quotes what a server said, and cuts it.
func Quote(text string) string { return phrase.Quote(text, 300) }
