package server

import (
	"log"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/phrase"
)

// newErrorLog returns the logger that net/http complains to. Most of its lines
// are made by strangers: they are logged at debug level, at most one a second,
// quoted and cut. Only a listener that cannot accept is news for the operator, and a
// panic. Of handshakes net/http knows nothing: see complain.
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

// quote makes remote text fit for a log.
func quote(text string) string { return phrase.Quote(text, 200) }
