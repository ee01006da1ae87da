package faults_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"wellkey/internal/testca"
)

// endpoints of the CA, by their paths.
func endpoints() []string {
	return []string{testca.DirectoryPath, testca.NewNoncePath, testca.NewAccountPath, testca.NewOrderPath, testca.OrderPath, testca.AuthzPath,
		testca.ChallengePath, testca.FinalizePath, testca.CertificatePath, testca.RenewalInfoPath}
}

// endpointOf returns the endpoint that a request is for, else its path.
func endpointOf(r *http.Request) string {
	for _, e := range endpoints() {
		if r.URL.Path == e || strings.HasSuffix(e, "/") && strings.HasPrefix(r.URL.Path, e) {
			return e
		}
	}
	return r.URL.Path
}

// A fault is what happens to a request to the CA instead of its answer. pass gets
// the true answer from Pebble.
type fault func(w http.ResponseWriter, r *http.Request, pass func() *httptest.ResponseRecorder)

// An authority is a CA with faults before it. It is safe for concurrent use.
type authority struct {
	*testca.CA

	mu     sync.Mutex // guards what follows
	faults map[string]fault
	seen   map[string]int
	watch  func(endpoint string) // called for every request, before it is answered
}

func newAuthority(ca *testca.CA) *authority {
	a := &authority{CA: ca, faults: map[string]fault{}, seen: map[string]int{}}
	ca.Intercept(a.handle)
	return a
}

func (a *authority) handle(w http.ResponseWriter, r *http.Request) bool {
	e := endpointOf(r)
	a.mu.Lock()
	if r.Method == http.MethodPost || e == testca.DirectoryPath || e == testca.NewNoncePath || e == testca.RenewalInfoPath {
		a.seen[e]++
	} else {
		a.seen["look"]++ // whether the CA is back; nothing is asked for
	}
	f, watch := a.faults[e], a.watch
	a.mu.Unlock()
	if watch != nil {
		watch(e)
	}
	if f == nil {
		return false
	}
	f(w, r, func() *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		a.Pass(answer, r)
		return answer
	})
	return true
}

// breaks lets a fault happen at endpoints, or at all of them.
func (a *authority) breaks(f fault, at ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(at) == 0 {
		at = endpoints()
	}
	for _, e := range at {
		a.faults[e] = f
	}
}

// mends ends all faults.
func (a *authority) mends() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.faults)
}

// onRequest has f called for every request.
func (a *authority) onRequest(f func(endpoint string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watch = f
}

// count returns how many requests came to endpoints, or to all of them. To an
// endpoint that is to be posted to, only those count.
func (a *authority) count(at ...string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for e, seen := range a.seen {
		if len(at) == 0 || slices.Contains(at, e) {
			n += seen
		}
	}
	return n
}

// away is a CA that cuts every connection.
func away(http.ResponseWriter, *http.Request, func() *httptest.ResponseRecorder) {
	panic(http.ErrAbortHandler)
}

// refuse answers with a problem (RFC 7807), and with headers given as name and
// value. kind is that of RFC 8555, section 6.7.
func refuse(status int, kind, detail string, headers ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func() *httptest.ResponseRecorder) {
		w.Header().Set("Content-Type", "application/problem+json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": detail, "status": status})
	}
}

// say answers with these bytes.
func say(status int, contentType, body string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func() *httptest.ResponseRecorder) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hang never answers.
func hang(_ http.ResponseWriter, r *http.Request, _ func() *httptest.ResponseRecorder) {
	_, _ = io.Copy(io.Discard, r.Body) // so that the server notices who goes
	<-r.Context().Done()
}

// cut sends half of the true answer and closes.
func cut(w http.ResponseWriter, _ *http.Request, pass func() *httptest.ResponseRecorder) {
	answer := pass()
	maps.Copy(w.Header(), answer.Header())
	w.Header().Set("Content-Length", fmt.Sprint(max(answer.Body.Len(), 2)))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
	panic(http.ErrAbortHandler)
}

// change sends the true answer with another body, where it is a good one.
func change(f func(body []byte) []byte) fault {
	return func(w http.ResponseWriter, _ *http.Request, pass func() *httptest.ResponseRecorder) {
		answer := pass()
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		body := answer.Body.Bytes()
		if answer.Code < http.StatusBadRequest {
			body = f(body)
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body)
	}
}

// typed sends the true answer as another content type.
func typed(contentType string) fault {
	return func(w http.ResponseWriter, _ *http.Request, pass func() *httptest.ResponseRecorder) {
		answer := pass()
		maps.Copy(w.Header(), answer.Header())
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}
}
