package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"wellkey/keystore"
)

// inOrder reports the first of the patterns that no line matches after the line
// of the one before it.
func inOrder(t *testing.T, text string, patterns ...string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	for _, pattern := range patterns {
		re := regexp.MustCompile(pattern)
		for len(lines) > 0 && !re.MatchString(lines[0]) {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			t.Fatalf("no line %q in its place in\n%s", pattern, text)
		}
		lines = lines[1:]
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	domain, at := place()
	code, out, stderr := demoAt(t.Context(), at, "-once")
	out = strings.ReplaceAll(out, domain, "example.com")
	if code != 0 || stderr != "" {
		t.Fatalf("got %d, %q\n%s", code, stderr, out)
	}
	inOrder(t, out,
		`^wellkey demo: `,
		`^ *\d+\.\d\d  ok       an ACME CA, Pebble, at https://127\.\d+\.\d+\.\d+:\d+/dir$`,
		`  ok       Tesla's Fleet API, simulated: tokens at http://127.0.0.1:\d+, na at http://127.0.0.1:\d+, eu at http`,
		`^1\. A DNS record$`,
		`  ok       the DNS server at 127.0.0.1:\d+ has example\.com A 127\.\d+\.\d+\.\d+$`,
		`^2\. wellkey, with no more than a domain$`,
		`  ok       https listens on 127\.`,
		`  the CA takes an order for example\.com$`,
		`  ok       certificate obtained, signed by Pebble Intermediate CA \w+, for 90 days; to be renewed in [56]\d days$`,
		`  ok       reachable: `,
		`^3\. An application in Tesla's portal$`,
		`  ok       its allowed origin is https://example\.com, its client id 7a1c`,
		`^4\. Its credentials, in a file$`,
		`  ok       written: .*/credentials.yaml$`,
		`  ok       credentials of 7a1c.* picked up$`,
		`^The outcome$`,
		`  ok       seen from outside: `,
		`  ok       it took 1 order to the CA and 2 registrations$`)
	inOrder(t, out, `  ok       http listens on`, `reachable`)
	inOrder(t, out, `  ok       admin listens on`, `reachable`)
	inOrder(t, out, `  no credentials yet: `, `reachable`)
	inOrder(t, out, `  ok       key generated: .*/data/key.pem$`, `^                [0-9a-f]{64}$`, `reachable`)
	for region, name := range map[string]string{"na": "North America and Asia-Pacific", "eu": "Europe, Middle East and Africa"} {
		inOrder(t, out,
			`picked up$`,
			`  `+region+`: asks for a token: 200$`,
			`  `+region+`: asks which key is on record: 412, none$`,
			`  `+region+`: registers \(POST\), Tesla downloads the key \(ok\): 200$`,
			`  `+region+`: reads the key back: 200$`,
			`  ok       `+region+`: registered in `+name+`, with this key$`,
			`^The outcome$`)
	}
	inOrder(t, out, `  ok       owners can pair their cars: https://tesla.com/_ak/example.com$`, `^The outcome$`)
	if strings.ContainsAny(out, "\x1b\r") {
		t.Errorf("got control characters in a pipe: %q", out)
	}
	if n := strings.Count(out, "owners can pair"); n != 1 {
		t.Errorf("the pairing link was told %d times", n)
	}
}

func TestSecondRunHasNothingToDo(t *testing.T) {
	t.Parallel()
	_, at := place()
	dir := filepath.Join(t.TempDir(), "new", "dir")
	if code, out, stderr := demoAt(t.Context(), at, "-once", "-data", dir); code != 0 {
		t.Fatalf("got %d, %q\n%s", code, stderr, out)
	}
	code, out, stderr := demoAt(t.Context(), at, "-once", "-data", dir)
	if code != 0 || stderr != "" {
		t.Fatalf("got %d, %q\n%s", code, stderr, out)
	}
	inOrder(t, out, `^2\. wellkey, with what an earlier run left in `+regexp.QuoteMeta(dir)+`$`, `key loaded: `, `^The outcome$`,
		`  ok       seen from outside: `, `  ok       nothing was to be done: no order to the CA, no request to Tesla that changes anything$`)
	inOrder(t, out, `  ok       certificate loaded, signed by Pebble`, `  ok       reachable: `, `^The outcome$`)
	inOrder(t, out, `  ok       na: registered in `, `^The outcome$`)
	inOrder(t, out, `  ok       eu: registered in `, `^The outcome$`)
	for _, no := range []string{"(POST)", "order for", "generated", "3. ", "4. "} {
		if strings.Contains(out, no) {
			t.Errorf("got %q in\n%s", no, out)
		}
	}
	code, out, _ = demoAt(t.Context(), at, "-once", "-data", dir, "-fault", "key_taken")
	if code != 1 || !strings.Contains(out, "fail     the fault key_taken was not met: nothing had to be asked\n") {
		t.Errorf("got %d for a fault that nobody meets\n%s", code, out)
	}
	forget(t, dir)
	code, out, _ = demoAt(t.Context(), at, "-once", "-data", dir)
	inOrder(t, out, `  ok       na: registered in `, `^The outcome$`, `  fail     Tesla has no registration in na$`, `  fail     Tesla has no registration in eu$`)
	if code != 1 {
		t.Errorf("got %d after Tesla forgot", code)
	}
}

// forget makes the simulated Tesla of dir forget who is registered.
func forget(t *testing.T, dir string) {
	t.Helper()
	k, err := loadKeepsake(dir)
	if err != nil {
		t.Fatal(err)
	}
	k.Accounts = nil
	data, err := json.Marshal(k)
	if err == nil {
		err = os.WriteFile(keepsakePath(dir), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestLostKeyIsRestored: cars trust the key that Tesla has.
func TestLostKeyIsRestored(t *testing.T) {
	t.Parallel()
	_, at := place()
	dir := t.TempDir()
	if code, out, stderr := demoAt(t.Context(), at, "-once", "-data", dir); code != 0 {
		t.Fatalf("got %d, %q\n%s", code, stderr, out)
	}
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	code, out, _ := demoAt(t.Context(), at, "-once", "-data", dir)
	inOrder(t, out, `  ok       public half of the key restored: `, `^The outcome$`, `  ok       it took 1 order to the CA and 0 registrations$`)
	if code != 0 {
		t.Errorf("got %d after the key was lost\n%s", code, out)
	}
}

func TestWellkeyRefusesToStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "key.pem"), []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := demo(t.Context(), "-data", dir) // without -once, too, there is nothing to wait for
	inOrder(t, out, `  fail     wellkey says: wellkey: .*key.pem`, `  fail     it cannot go on, the log has ended after \d+ lines$`)
	if code != 1 || stderr != "" {
		t.Errorf("got %d, %q", code, stderr)
	}
}

func TestBrokenKeepsake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(keepsakePath(dir), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := demo(t.Context(), "-once", "-data", dir)
	if code != 1 || out != "" || stderr != "demo: reading what an earlier demo left: invalid character 'x' looking for beginning of value\n" {
		t.Errorf("got %d, %q, %q", code, out, stderr)
	}
}

func TestItTakesTooLong(t *testing.T) {
	t.Parallel()
	// wellkey looks for credentials after two seconds.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	code, out, stderr := demo(ctx, "-once")
	inOrder(t, out, `  fail     it takes too long$`, `  fail     na: not registered: `, `  fail     eu: not registered: `)
	if code != 1 || stderr != "" {
		t.Errorf("got %d, %q", code, stderr)
	}
}

// TestRunsOnUntilItIsStopped does what the last lines say: it visits the
// addresses and stops the demo.
func TestRunsOnUntilItIsStopped(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	domain, at := place()
	code := make(chan int, 1)
	go func() {
		defer writer.Close()
		code <- run(ctx, at, writer, io.Discard)
	}()
	said := ""
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		said += lines.Text() + "\n"
		if strings.HasPrefix(lines.Text(), "Ctrl-C stops it; the directory is then removed.") {
			break
		}
	}
	curl := regexp.MustCompile(`(?s)curl --cacert (\S+) \\\n  --resolve ` + regexp.QuoteMeta(domain) + `:(\d+):(\S+) \\\n  (https://\S+)\nstatus   curl (\S+)\nmetrics  curl (\S+)\ndata     (\S+)\n`).FindStringSubmatch(said)
	if curl == nil {
		t.Fatalf("no addresses in\n%s", said)
	}
	if _, err := keystore.Parse(visit(t, curl[1], net.JoinHostPort(curl[3], curl[2]), curl[4])); err != nil {
		t.Error(err)
	}
	if status := visit(t, "", "", curl[5]); !strings.Contains(string(status), `"registered"`) {
		t.Errorf("got %s", status)
	}
	if metrics := visit(t, "", "", curl[6]); !strings.Contains(string(metrics), "wellkey_build_info") {
		t.Errorf("got %s", metrics)
	}
	if _, err := os.Stat(filepath.Join(curl[7], "data", "key.pem")); err != nil {
		t.Error(err)
	}
	stop()
	rest, err := io.ReadAll(reader)
	if got := <-code; got != 0 || err != nil {
		t.Errorf("got exit code %d, %v", got, err)
	}
	inOrder(t, string(rest), `  ok       stopped, as asked$`)
	if _, err := os.Stat(curl[7]); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", curl[7], err)
	}
}

// visit gets url as curl does with --cacert and --resolve.
func visit(t *testing.T, cacert, resolve, url string) []byte {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	if cacert != "" {
		pem, err := os.ReadFile(cacert)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, resolve)
		}
	}
	resp, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s: got %s, %v", url, resp.Status, err)
	}
	return body
}
