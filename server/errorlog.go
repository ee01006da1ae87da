package server

import (
	"log"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// handshakeReasons are the label values of failed TLS handshakes.
var handshakeReasons = []string{"eof", "timeout", "not_tls", "unsupported", "no_certificate", "client_alert", "busy", "too_long", "other"}

// newErrorLog returns the logger that net/http complains to. Most of its lines
// are made by strangers: failed handshakes are counted, and any line is logged at
// debug level, at most one a second, quoted and cut. Only a listener that cannot
// accept is news for the operator.
func newErrorLog(s *Server, logger *zap.Logger) *log.Logger {
	return log.New(&errorLog{server: s, logger: logger}, "", 0)
}

type errorLog struct {
	server *Server
	logger *zap.Logger

	noise, accept limiter
}

// Write takes one line of net/http. It never fails.
func (e *errorLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	switch {
	case strings.HasSuffix(text, "use of closed network connection"):
		// We closed it ourselves: see connections.
	case strings.HasPrefix(text, "http: TLS handshake error from "):
		reason := handshakeReason(text)
		e.server.metrics.handshakeErrors.WithLabelValues(reason).Inc()
		if e.logger.Core().Enabled(zap.DebugLevel) && e.noise.allow(time.Second) {
			e.logger.Debug("TLS handshake failed", zap.String("reason", reason), zap.String("line", quote(text)))
		}
	case strings.HasPrefix(text, "http: Accept error: "):
		// Out of file descriptors, most likely; net/http retries by itself.
		if e.accept.allow(time.Minute) {
			e.logger.Warn("cannot accept connections for now, retrying; too many open files? raise LimitNOFILE or ulimit -n", zap.String("line", quote(text)))
		}
	case strings.HasPrefix(text, "http: panic serving "), strings.HasPrefix(text, "http2: panic serving "):
		e.server.metrics.panics.Elsewhere(text) // in what it reads from, or writes to
	default:
		if e.logger.Core().Enabled(zap.DebugLevel) && e.noise.allow(time.Second) {
			e.logger.Debug("net/http", zap.String("line", quote(text)))
		}
	}
	return len(line), nil
}

// handshakeReason sorts the texts of crypto/tls. Some of them quote what the
// client sent, so a client can choose its reason, but only from the closed set. A
// text that changes with a new Go becomes "other", which a test tells.
func handshakeReason(text string) string {
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case has("remote error: tls: "):
		return "client_alert"
	case strings.HasSuffix(text, errBusy.Error()), strings.HasSuffix(text, errMultiplexed.Error()):
		return "busy"
	case strings.HasSuffix(text, errLongHello.Error()):
		return "too_long"
	case has("no certificate"):
		return "no_certificate"
	case has("does not look like a TLS handshake"), has("HTTP request to an HTTPS server"):
		return "not_tls"
	case has("unsupported versions"), has("unsupported application protocols"), has("no cipher suite supported"),
		has("no key exchanges supported"):
		return "unsupported"
	case has("i/o timeout"):
		return "timeout"
	case strings.HasSuffix(text, "EOF"), has("connection reset by peer"), has("broken pipe"):
		return "eof"
	default:
		return "other"
	}
}

// A limiter lets one event an interval through.
type limiter struct {
	mu   sync.Mutex
	next time.Time // guarded by mu
}

func (l *limiter) allow(interval time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Before(l.next) {
		return false
	}
	l.next = now.Add(interval)
	return true
}

// quote makes remote text fit for a log: at most 200 bytes of it, with every
// control character escaped.
func quote(text string) string {
	const most = 200
	if len(text) > most {
		text = text[:most]
	}
	return strconv.QuoteToASCII(text)
}
