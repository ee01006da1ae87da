package certs

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A wire remembers what certmagic learns from the CA but tells only its log:
// when to come again, that it has reached us, and that an order is being
// finalized.
type wire struct {
	now        func() time.Time
	mu         sync.Mutex // guards what follows
	retryAfter time.Time
	validated  time.Time // when the CA last found the answer to a challenge here
	finalizing bool
}

// reset forgets the attempt before.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retryAfter, w.validated, w.finalizing = time.Time{}, time.Time{}, false
}

func (w *wire) read() (retryAfter time.Time, finalizing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.retryAfter, w.finalizing
}

// validation returns when the CA found the answer to a challenge here, in this
// attempt; zero = it did not, or went by what it found earlier.
func (w *wire) validation() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.validated
}

// note takes what is of interest out of one log entry. The entries are those of
// acmez v3.1.7 (acme/http.go and client.go); tests notice if they change.
func (w *wire) note(entry zapcore.Entry, fields []zapcore.Field) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch entry.Message {
	case "validations succeeded; finalizing order":
		w.finalizing = true
	case "authorization finalized":
		for _, field := range fields {
			if field.Key == "authz_status" && field.String == acme.StatusValid {
				w.validated = w.now()
			}
		}
	case "http request":
		var status int64
		var header http.Header
		for _, field := range fields {
			switch field.Key {
			case "status_code":
				status = field.Integer
			case "response_headers":
				header, _ = field.Interface.(http.Header)
			}
		}
		if status >= http.StatusBadRequest {
			w.retryAfter = parseRetryAfter(header.Get("Retry-After"), w.now())
		}
	}
}

// noteRetryAfter remembers when the CA wants to be asked again.
func (w *wire) noteRetryAfter(header http.Header) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retryAfter = parseRetryAfter(header.Get("Retry-After"), w.now())
}

// parseRetryAfter reads the header of RFC 9110, section 10.2.3; the zero time
// means that it says nothing.
func parseRetryAfter(value string, now time.Time) time.Time {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return now.Add(time.Duration(seconds) * time.Second)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return time.Time{}
	}
	return at
}

// quiet is log for certmagic: all it says goes on at debug level.
func quiet(log *zap.Logger) *zap.Logger {
	return log.Named("acme").WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return tap{core, &wire{now: time.Now}} }))
}

// A tap lets a wire read along with certmagic's log, which goes on at debug
// level: what matters of it is logged again, in our words.
type tap struct {
	zapcore.Core
	wire *wire
}

// Enabled implements zapcore.LevelEnabler: the wire reads every level.
func (t tap) Enabled(zapcore.Level) bool { return true }

// With implements zapcore.Core.
func (t tap) With(fields []zapcore.Field) zapcore.Core { return tap{t.Core.With(fields), t.wire} }

// Check implements zapcore.Core.
func (t tap) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(entry, t)
}

// Write implements zapcore.Core.
func (t tap) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	t.wire.note(entry, fields)
	if !t.Core.Enabled(zapcore.DebugLevel) {
		return nil
	}
	entry.Level, entry.Stack = zapcore.DebugLevel, ""
	return t.Core.Write(entry, fields)
}
