package cli_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/cli"
	"wellkey/internal/testca"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// TestPublicFace asks the listeners what visitors and strangers ask.
func TestPublicFace(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.run()
	w.awaitRegistered()
	etag := w.fetch().Header.Get("Etag")
	const plain, secure = "http", "https"
	tests := []struct {
		scheme, method, path string
		header               http.Header
		status               int
		name, value          string // of a header field in the answer
	}{
		{secure, "GET", reach.Path, nil, 200, "Content-Length", "178"},
		{secure, "HEAD", reach.Path, nil, 200, "Content-Length", "178"},
		{secure, "GET", reach.Path + "?cached=no", nil, 200, "Cache-Control", "public, max-age=300"},
		{secure, "GET", reach.Path, http.Header{"If-None-Match": {etag}}, 304, "Etag", etag},
		{secure, "POST", reach.Path, nil, 405, "Allow", "GET, HEAD"},
		{secure, "GET", reach.Path + "/", nil, 404, "X-Content-Type-Options", "nosniff"},
		{secure, "GET", "/", nil, 404, "Content-Type", "text/plain; charset=utf-8"},
		{secure, "GET", "/metrics", nil, 404, "", ""},
		{secure, "GET", "/status", nil, 404, "", ""},
		{plain, "GET", "/a?b=c", http.Header{"Host": {"evil.example.net"}}, 308, "Location", "https://" + w.Domain + "/a?b=c"},
		{plain, "GET", reach.Path, nil, 308, "Location", "https://" + w.Domain + reach.Path},
		{plain, "GET", "/.well-known/acme-challenge/unknown", nil, 308, "", ""},
		{plain, "POST", "/", nil, 405, "Allow", "GET, HEAD"},
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: w.Roots(), ServerName: w.Domain}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, tt := range tests {
		addr := map[string]string{plain: w.HTTPAddr, secure: w.HTTPSAddr}[tt.scheme]
		req, err := http.NewRequestWithContext(w.ctx, tt.method, tt.scheme+"://"+addr+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range tt.header {
			req.Header[name] = values
		}
		req.Host = tt.header.Get("Host")
		resp, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, req.URL, err)
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body) // what it says is the server's own test's business
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status || resp.Header.Get(tt.name) != tt.value {
			t.Errorf("%s %s: got %d with %v, want %d with %s: %s", tt.method, req.URL, resp.StatusCode, resp.Header, tt.status, tt.name, tt.value)
		}
	}
}

// TestHealthcheck is what a container's engine asks.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withFiles)
	ask := func() int {
		var out bytes.Buffer
		code := cli.Run(w.ctx, cli.Process{Args: []string{"healthcheck"}, Environ: w.Environ(), Stdout: &out, Stderr: &out})
		w.canary.saw("healthcheck", out.Bytes())
		return code
	}
	if code := ask(); code != 1 {
		t.Errorf("exit code is %d while nothing runs, want 1", code)
	}
	w.run()
	w.await("any status", func(admin.Status) bool { return true })
	if code := ask(); code != 0 {
		t.Errorf("exit code is %d, want 0", code)
	}
}

// TestWithoutAdmin: the admin listener is nobody's condition.
func TestWithoutAdmin(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	r := w.run("ADMIN_ADDR=")
	w.awaitLine(r.Log, "registered in every region; owners can pair their cars")
	if _, err := w.Admin(w.ctx, "/healthz"); err == nil {
		t.Error("the admin listener answers though it is off")
	}
}

// TestChina has a region of its own, with its own pairing link.
func TestChina(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.run("REGIONS=cn")
	s := w.await("registered in cn", func(s admin.Status) bool { return s.Sites[0].Registrations[0].State == registrar.Registered })
	if link := s.Sites[0].PairingLink; link != "https://tesla.cn/_ak/"+w.Domain || len(s.Sites[0].Registrations) != 1 {
		t.Errorf("the pairing link is %s, the registrations %+v", link, s.Sites[0].Registrations)
	}
	if err := w.Check(w.ctx, fleetapi.CN); err != nil {
		t.Error(err)
	}
}

// TestCARefuses: without a certificate wellkey goes on, and says why there is
// none.
func TestCARefuses(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	w.CA.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != testca.NewOrderPath {
			return false
		}
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(rw, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates (5) already issued","status":429}`)
		return true
	})
	r := w.run()
	s := w.await("the CA's refusal", func(s admin.Status) bool {
		c := s.Sites[0].Certificate
		return c.LastError != nil && !c.NextAttempt.IsZero() // which follows a moment later
	})
	failure := s.Sites[0].Certificate.LastError
	if failure.Cause == "" || failure.Fix == "" || !strings.Contains(failure.Text, "too many certificates") {
		t.Errorf("the status says %+v", failure)
	}
	next := "next     " + s.Sites[0].Certificate.NextAttempt.UTC().Format("2006-01-02 15:04 MST") + ": wellkey asks the CA again for a certificate."
	if got := w.command(nil, "status"); !strings.Contains(got.out, next) {
		t.Errorf("got %q, want %q in it", got.out, next)
	}
	w.awaitLine(r.Log, "certificate attempt failed", "level", "warn", "reason", string(failure.Reason), "cause", failure.Cause, "fix", failure.Fix)
	s = w.awaitStates(registrar.Pending, registrar.Pending)
	w.wantOperator(operatorView{status: 200, state: registrar.Pending, fingerprint: s.Sites[0].Key.Fingerprint})
	w.wantPosts(0)
}

// TestDamagedRecords: what is remembered of Tesla can be asked again, so damage
// costs a question and no more.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	first := w.run()
	w.awaitRegistered()
	first.Stop()
	asked := w.Tesla.Count(fleetapi.OpPublicKey, fleetapi.EU)
	records, err := filepath.Glob(filepath.Join(w.DataDir, "state", "registrations", "*", "*.json"))
	if err != nil || len(records) != 2 {
		t.Fatalf("the records are %q, %v", records, err)
	}
	for i, path := range records {
		w.replace(path, [][]byte{nil, []byte(`{"answer":{"key":"04be`)}[i])
	}
	second := w.run()
	w.awaitRegistered()
	for _, region := range []string{"na", "eu"} {
		w.awaitLine(second.Log, "registration record not readable; asking Tesla again", "level", "warn", "region", region)
	}
	w.wantPosts(2)
	if got := w.Tesla.Count(fleetapi.OpPublicKey, fleetapi.EU); got != asked+1 {
		t.Errorf("Tesla was asked %d times more, want once", got-asked)
	}
}
