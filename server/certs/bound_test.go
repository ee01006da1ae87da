package certs_test

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// TestAnswersAreBounded: an answer without end is given up early, from whichever
// of the CA's resources it comes. It is also how an upgrade of certmagic that
// keeps its HTTP client elsewhere is noticed.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	for n, path := range []string{testca.DirectoryPath, testca.NewAccountPath, testca.NewOrderPath, testca.CertificatePath} {
		t.Run(strings.Trim(path, "/"), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "bound"+strconv.Itoa(n)+".test", testca.Config{})
			var sent atomic.Int64
			r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if !strings.HasPrefix(req.URL.Path, path) {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				for chunk := bytes.Repeat([]byte(" "), 64<<10); sent.Load() < 256<<20; {
					n, err := w.Write(chunk)
					if sent.Add(int64(n)); err != nil {
						return true
					}
				}
				return true
			})
			m := r.start(t, r.config(t))
			m.settle(t)
			if reasonOf(m) == "" || reasonOf(m) == certs.ReasonTimeout {
				t.Errorf("got %+v, want a failure before any timeout", m.Status().LastError)
			}
			if n := sent.Load(); n > 64<<20 { // of several tries; sockets buffer some MB of each
				t.Errorf("the CA could send %d MB", n>>20)
			}
			r.ca.Intercept(nil)
		})
	}
}
