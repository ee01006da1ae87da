package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// handshakeReasons are the label values of failed TLS handshakes.
var handshakeReasons = []string{"eof", "timeout", "not_tls", "unsupported", "no_certificate", "client_alert", "busy", "too_long", "other"}

// errPlainHTTP ends a handshake that a client begins with a request.
var errPlainHTTP = errors.New("the client sent an HTTP request, and this port speaks HTTPS")

// complain counts a handshake that failed. Most of them are strangers' doing, so they are
// logged at debug level, at most one a second, quoted and cut.
func (l *listener) complain(conn net.Conn, err error) {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
		return // it was ended by us: see connections
	}
	reason := handshakeReason(err)
	l.owner.metrics.handshakeErrors.WithLabelValues(reason).Inc()
	if l.logger.Core().Enabled(zap.DebugLevel) && l.noise.allow(time.Second) {
		l.logger.Debug("TLS handshake failed", zap.String("reason", reason), zap.Stringer("remote", conn.RemoteAddr()), zap.String("error", quote(err.Error())))
	}
}

// handshakeReason sorts what ends a handshake. Where crypto/tls has nothing but texts,
// some quote what the client sent, behind the words that tell them apart. One that
// changes with a new Go becomes "other", which a test tells.
func handshakeReason(err error) string {
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	var record tls.RecordHeaderError
	var network *net.OpError
	switch {
	case is(errBusy, errMultiplexed):
		return "busy"
	case is(errLongHello):
		return "too_long"
	case is(errPlainHTTP), errors.As(err, &record):
		return "not_tls"
	case is(os.ErrDeadlineExceeded):
		return "timeout"
	case is(io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return "eof"
	case errors.As(err, &network) && network.Op == "remote error":
		return "client_alert"
	}
	text := err.Error()
	for _, beginning := range []string{
		"tls: client offered only unsupported versions", "tls: client requested unsupported application protocols",
		"tls: no cipher suite supported", "tls: no key exchanges supported",
	} {
		if strings.HasPrefix(text, beginning) {
			return "unsupported"
		}
	}
	if strings.Contains(text, "no certificate") { // also in the words of those who have them
		return "no_certificate"
	}
	return "other"
}
