package certs_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/testca"
)

// payload returns what an ACME request says.
func payload(t *testing.T, body []byte) string {
	var jws struct{ Payload string }
	if err := json.Unmarshal(body, &jws); err != nil {
		t.Errorf("reading a request: %v", err)
	}
	text, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil {
		t.Errorf("reading a payload: %v", err)
	}
	return string(text)
}

func TestStopDuringAnOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "stop.test", testca.Config{})
	ordered := make(chan struct{}, 10)
	r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != testca.NewOrderPath {
			return false
		}
		_, _ = io.Copy(io.Discard, req.Body) // so that the server notices who goes
		ordered <- struct{}{}
		<-req.Context().Done()
		return true
	})
	m := r.start(t, r.config(t))
	<-ordered
	began := time.Now()
	m.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %v", took)
	}
	if locks, err := filepath.Glob(filepath.Join(r.dir, "locks", "*")); err != nil || len(locks) > 0 {
		t.Errorf("got locks %q, %v, want none left", locks, err)
	}
}

func TestStopLetsFinalizeComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t, "finalize.test", testca.Config{})
	finalizing, answer := make(chan struct{}), make(chan struct{})
	r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, testca.FinalizePath) {
			close(finalizing)
			<-answer
		}
		return false
	})
	m := r.start(t, r.config(t))
	<-finalizing
	stopped := make(chan struct{})
	go func() { m.stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Fatal("stopped while an order was being finalized")
	case <-time.After(50 * time.Millisecond):
	}
	close(answer)
	<-stopped
	if !r.storage(t).Exists(t.Context(), keys.SiteCert(r.issuerKey(), r.domain)) {
		t.Error("the certificate is lost")
	}
}

// TestNobodyIsAskedOnTheTerminal is not parallel, since it replaces os.Stdout.
func TestNobodyIsAskedOnTheTerminal(t *testing.T) {
	r := newRig(t, "quiet.test", testca.Config{})
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	printed := make(chan []byte)
	go func() {
		text, _ := io.ReadAll(reader)
		printed <- text
	}()
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = writer, writer
	m := r.start(t, r.config(t))
	m.settle(t)
	os.Stdout, os.Stderr = stdout, stderr
	_ = writer.Close()
	if text := <-printed; len(text) > 0 {
		t.Errorf("printed %q, want nothing", text)
	}
	r.leaf(t, m, time.Now())
	accounts, err := r.storage(t).List(t.Context(), "acme", true)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range accounts {
		if strings.HasSuffix(key, ".json") {
			account, err := r.storage(t).Load(t.Context(), key)
			if err != nil || bytes.Contains(account, []byte("mailto:")) {
				t.Errorf("%s: got %s, %v, want an account without an address", key, account, err)
			}
		}
	}
	// The second order must find the same account.
	m.stop()
	if err := r.storage(t).Delete(t.Context(), "certificates"); err != nil {
		t.Fatal(err)
	}
	var made atomic.Int32
	r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == testca.NewAccountPath {
			body, _ := io.ReadAll(req.Body)
			req.Body = io.NopCloser(bytes.NewReader(body))
			if !strings.Contains(payload(t, body), "onlyReturnExisting") {
				made.Add(1)
			}
		}
		return false
	})
	r.relisten(t)
	m = r.start(t, r.config(t))
	m.settle(t)
	r.leaf(t, m, time.Now())
	if n := made.Load(); n != 0 {
		t.Errorf("got %d new accounts, want the old one", n)
	}
}
