package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wellkey/internal/admin"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/reach"
	"wellkey/server/framing"
)

var update = flag.Bool("update", false, "write the golden files")

// ask asks a handler, over an address that is not loopback, and returns the answer.
func ask(t testing.TB, h http.Handler, target string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

// TestScenes judges every situation.
func TestScenes(t *testing.T) {
	for _, scene := range scenes() {
		t.Run(scene.name, func(t *testing.T) {
			w := newWorld(t, domain)
			scene.change(t, w)
			site := w.admin(t).Status().Sites[0]
			s := site.Summary
			if string(s.State) != scene.state || !strings.HasPrefix(s.Text, scene.says) || !strings.Contains(s.Fix, scene.fix) || s.More != scene.more || s.Check != scene.check {
				t.Errorf("the summary is %+v", s)
			}
			for _, c := range site.Checklist {
				if c.ID == scene.check && !strings.Contains(c.Seen, scene.seen) {
					t.Errorf("the check is %+v, without %q", c, scene.seen)
				}
				if (c.State == admin.Action || c.State == admin.Step || c.State == admin.Attention) && c.Fix == "" {
					t.Errorf("the check asks for somebody, but does not say what to do: %+v", c)
				}
				if c.Text == "" || !strings.HasSuffix(c.Text, ".") {
					t.Errorf("the check has the text %q", c.Text)
				}
			}
		})
	}
}

// TestScenesAreComplete sees to it that no state is forgotten.
func TestScenesAreComplete(t *testing.T) {
	states, conditions := map[registrar.State]bool{}, map[admin.Condition]bool{}
	for _, scene := range scenes() {
		w := newWorld(t, domain)
		scene.change(t, w)
		site := w.admin(t).Status().Sites[0]
		for _, r := range site.Registrations {
			states[r.State] = true
		}
		for _, c := range site.Checklist {
			conditions[c.State] = true
		}
	}
	for _, s := range registrar.States() {
		if !states[s] {
			t.Errorf("no scene has a registration that is %s", s)
		}
	}
	for _, c := range admin.Conditions() {
		if !conditions[c] {
			t.Errorf("no scene has a check that is %s", c)
		}
	}
}

func TestEveryLookHasATitle(t *testing.T) {
	for _, id := range reach.Checks() {
		if admin.TitleOf(id) == id {
			t.Errorf("the check %s has no title", id)
		}
	}
	if got := admin.TitleOf("something_new"); got != "something_new" {
		t.Errorf("a check without a title is called %q", got)
	}
}

// TestStatusJSON holds the contract of the JSON. Where this fails because a field
// was added, run the test with -update; anything else breaks whoever reads it.
func TestStatusJSON(t *testing.T) {
	w := newWorld(t, domain)
	refused(t, w)
	certificate(func(c *certStatus) { c.LastError = failed("connection") })(t, w)
	w.listeners[0].Bound, w.listeners[0].Error = false, "listening on :80: address already in use"
	w.sites[0].Look.Findings = w.sites[0].Look.Findings[:6]
	passedDown(t, w)
	applicationDown(t, w)
	compareGolden(t, w, "testdata/status.json")

	w = newWorld(t, domain)
	withoutKey(registrar.Note{Reason: registrar.ReasonAsking})(t, w)
	w.stopping = true
	compareGolden(t, w, "testdata/status-no-key.json")

	compareGolden(t, newWorld(t), "testdata/status-empty.json")
}

func compareGolden(t *testing.T, w *world, path string) {
	t.Helper()
	resp, body := ask(t, w.admin(t).Handler(), "/status")
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("the content type is %q", got)
	}
	if *update {
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), body); diff != "" {
		t.Errorf("%s is no longer what is answered (- want, + got):\n%s", path, diff)
	}
}

// TestHealth shows that the process is alive, whatever else is wrong.
func TestHealth(t *testing.T) {
	w := newWorld(t)
	w.listeners, w.stopping = nil, true
	resp, body := ask(t, w.admin(t).Handler(), "/healthz")
	if resp.StatusCode != http.StatusOK || body != "ok\n" {
		t.Errorf("answered %d, %q", resp.StatusCode, body)
	}
}

func TestReadiness(t *testing.T) {
	noKey := func(w *world, i int, note *registrar.Note) {
		w.sites[i].Key, w.sites[i].KeyNote = keystore.Key{}, note
	}
	for _, test := range []struct {
		name    string
		domains []string
		change  func(w *world)
		want    string // "" = ready
	}{
		{"all is well", []string{"a.example"}, func(*world) {}, ""},
		{"no certificate", []string{"a.example"}, func(w *world) { w.certs["a.example"] = certStatus{Source: "acme"} }, ""},
		{"Tesla refuses", []string{"a.example"}, func(w *world) { w.sites[0].Regions[0].State = registrar.Refused }, ""},
		{"no listener for challenges", []string{"a.example"}, func(w *world) { w.listeners[0].Bound = false }, ""},
		{"no listener for the key", []string{"a.example"}, func(w *world) { w.listeners[1].Bound = false }, "the https listener is not bound yet"},
		{"behind a proxy that ends TLS", []string{"a.example"}, func(w *world) { w.listeners = w.listeners[:1] }, ""},
		{"no listener behind a proxy", []string{"a.example"}, func(w *world) { w.listeners = w.listeners[:1]; w.listeners[0].Bound = false }, "the http listener is not bound yet"},
		{"no key", []string{"a.example"}, func(w *world) { noKey(w, 0, &registrar.Note{Reason: "asking"}) }, "no key for a.example yet: asking"},
		{"no key, no reason yet", []string{"a.example"}, func(w *world) { noKey(w, 0, nil) }, "no key for a.example yet"},
		{"no key of one of many", []string{"a.example", "b.example"}, func(w *world) { noKey(w, 0, nil) }, ""},
		{"no key of any", []string{"a.example", "b.example"}, func(w *world) { noKey(w, 0, nil); noKey(w, 1, nil) }, "no key yet for any of 2 domains"},
		{"no domain", nil, func(*world) {}, "no domain is configured"},
		{"stopping", []string{"a.example"}, func(w *world) { w.stopping = true }, "stopping"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.domains...)
			test.change(w)
			a := w.admin(t)
			code, text := http.StatusOK, "ready\n"
			if test.want != "" {
				code, text = http.StatusServiceUnavailable, test.want+"\n"
			}
			if resp, body := ask(t, a.Handler(), "/readyz"); resp.StatusCode != code || body != text {
				t.Errorf("answered %d, %q", resp.StatusCode, body)
			}
			if s := a.Status(); s.NotReady != test.want || s.Ready != (test.want == "") {
				t.Errorf("the status says ready %v, %q", s.Ready, s.NotReady)
			}
		})
	}
}

// TestRun asks over a real connection, as the healthcheck does, and stops.
func TestRun(t *testing.T) {
	a := newWorld(t, domain).admin(t)
	if a.Addr() != "" {
		t.Errorf("the address is %q before it is bound", a.Addr())
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := a.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	client := &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	_, port, err := net.SplitHostPort(a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"127.0.0.1:" + port: 200, "localhost:" + port: 200, "evil.example:" + port: 403} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Addr()+"/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // read to its end
		if err != nil || resp.StatusCode != want || json.Valid(body) != (want == 200) {
			t.Errorf("asked for %s, it answers %d: %s", host, resp.StatusCode, bytes.TrimSpace(body))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// TestManyFields: a header with more fields than anybody has is answered before it is whole.
func TestManyFields(t *testing.T) {
	a := newWorld(t, domain).admin(t)
	ctx, cancel := context.WithCancel(t.Context())
	if err := a.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	for more, want := range map[string]int{"\r\n": 200, "one: more\r\n": 400} {
		conn, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"+strings.Repeat("a: b\r\n", framing.MostFields-1)+more); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != want {
			t.Errorf("with %q: got %+v, %v; want %d", more, resp, err, want)
		}
		_ = conn.Close()
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopping: %v", err)
	}
}
