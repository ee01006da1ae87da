package certs_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"wellkey/internal/testca"
)

// TestOneFailedReadIsNoOutage: the CA's directory is read once more before the CA
// counts as down, unless it has said that it wants to be left alone.
func TestOneFailedReadIsNoOutage(t *testing.T) {
	t.Parallel()
	answer := func(status int, retryAfter string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if retryAfter != "" {
				w.Header().Set("Retry-After", retryAfter)
			}
			w.WriteHeader(status)
		}
	}
	for name, test := range map[string]struct {
		fails int32 // so many reads
		how   func(http.ResponseWriter)
		have  bool // a certificate, by the same attempt
	}{
		"503": {1, answer(http.StatusServiceUnavailable, ""), true},
		"cut": {1, func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"newNonce":`))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, true},
		"twice":     {2, answer(http.StatusServiceUnavailable, ""), false},
		"told when": {1, answer(http.StatusServiceUnavailable, "7200"), false},
		"limited":   {1, answer(http.StatusTooManyRequests, ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "read-"+strings.ReplaceAll(name, " ", "-")+".test", testca.Config{})
			var reads atomic.Int32
			r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if req.URL.Path != testca.DirectoryPath || reads.Add(1) > test.fails {
					return false
				}
				test.how(w)
				return true
			})
			m := r.start(t, r.config(t))
			m.settle(t)
			s := m.Status()
			if s.Have != test.have || s.Attempts != 1 || (s.LastError == nil) != test.have {
				t.Errorf("got %+v", s)
			}
			if n := reads.Load(); !test.have && n != test.fails {
				t.Errorf("the directory was read %d times, want %d", n, test.fails)
			}
		})
	}
}
