package certs_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// issue makes a certificate for example.test by hand.
func issue(t *testing.T, opts testca.LeafOptions, name string) *testca.Leaf {
	t.Helper()
	signer, err := testca.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := signer.Issue(opts, name)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func write(t *testing.T, dir string, leaf *testca.Leaf) certs.FilesConfig {
	t.Helper()
	certFile, keyFile, err := leaf.WriteFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	return certs.FilesConfig{Domain: "example.test", CertFile: certFile, KeyFile: keyFile}
}

func TestFilesRefusesAtStart(t *testing.T) {
	good, other := issue(t, testca.LeafOptions{}, "example.test"), issue(t, testca.LeafOptions{}, "example.test")
	for name, test := range map[string]struct {
		change func(t *testing.T, cfg certs.FilesConfig) error
		want   string
	}{
		"no certificate": {func(_ *testing.T, cfg certs.FilesConfig) error { return os.Remove(cfg.CertFile) }, "tls_cert_file cannot be read"},
		"no key":         {func(_ *testing.T, cfg certs.FilesConfig) error { return os.Remove(cfg.KeyFile) }, "tls_key_file cannot be read"},
		"other key":      {func(_ *testing.T, cfg certs.FilesConfig) error { return os.WriteFile(cfg.KeyFile, other.KeyPEM, 0o600) }, "is not that of the certificate"},
		"not PEM":        {func(_ *testing.T, cfg certs.FilesConfig) error { return os.WriteFile(cfg.CertFile, []byte("x"), 0o600) }, "are not a certificate and its key"},
		"a pipe": {func(_ *testing.T, cfg certs.FilesConfig) error {
			return errors.Join(os.Remove(cfg.KeyFile), syscall.Mkfifo(cfg.KeyFile, 0o600)) // nobody ever writes to it
		}, "tls_key_file cannot be read: is not a regular file; check the path"},
		"endless": {func(_ *testing.T, cfg certs.FilesConfig) error { return os.Truncate(cfg.CertFile, 1<<40) }, "tls_cert_file cannot be read: is too large: 1048576 bytes are allowed; "},
		"other name": {func(t *testing.T, cfg certs.FilesConfig) error {
			write(t, filepath.Dir(cfg.CertFile), issue(t, testca.LeafOptions{}, "other.test"))
			return nil
		}, "is for another name"},
	} {
		cfg := write(t, t.TempDir(), good)
		if err := test.change(t, cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := certs.NewFiles(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestFilesWarns(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		opts testca.LeafOptions
		want string
	}{
		"good":        {testca.LeafOptions{}, ""},
		"self-signed": {testca.LeafOptions{SelfSigned: true}, ""},
		"expired":     {testca.LeafOptions{NotBefore: now.AddDate(0, -3, 0), NotAfter: now.Add(-time.Hour)}, "the certificate expired at "},
		"early":       {testca.LeafOptions{NotBefore: now.Add(time.Hour)}, "the certificate is not valid before "},
		"incomplete":  {testca.LeafOptions{Incomplete: true}, "no intermediate certificate"},
	} {
		files, err := certs.NewFiles(write(t, t.TempDir(), issue(t, test.opts, "example.test")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		status := files.Status("example.test")
		if !status.Have || status.Source != "files" || (status.Warning == "") != (test.want == "") || !strings.Contains(status.Warning, test.want) {
			t.Errorf("%s: got %+v, want warning %q", name, status, test.want)
		}
		if _, err := shake(t, files, "example.test"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFilesFaultIsQuotedAndCut: what is wrong with a change may be long, and is shown
// as text of whole characters, with a mark where it was cut.
func TestFilesFaultIsQuotedAndCut(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("é", 120), strings.Repeat("é", 120))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := write(t, dir, issue(t, testca.LeafOptions{}, "example.test"))
	files, err := certs.NewFiles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.CertFile, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if files.Reload() == nil {
		t.Fatal("no certificate is one")
	}
	failure := files.Status("example.test").LastError
	if failure == nil || !strings.HasPrefix(failure.Text, `"tls_cert_file \"/`) || !strings.HasSuffix(failure.Text, `é"...`) || len(failure.Text) > 600 {
		t.Errorf("got %+v", failure)
	}
}

// TestFilesReload swaps a symlinked directory, as Kubernetes does.
func TestFilesReload(t *testing.T) {
	first, second := issue(t, testca.LeafOptions{}, "example.test"), issue(t, testca.LeafOptions{}, "example.test")
	expired := issue(t, testca.LeafOptions{NotBefore: time.Now().AddDate(0, -3, 0), NotAfter: time.Now().Add(-time.Hour)}, "example.test")
	parent := t.TempDir()
	link := filepath.Join(parent, "current")
	swap := func(leaf *testca.Leaf) {
		t.Helper()
		dir := t.TempDir()
		write(t, dir, leaf)
		next := filepath.Join(parent, "next")
		if err := errors.Join(os.Symlink(dir, next), os.Rename(next, link)); err != nil {
			t.Fatal(err)
		}
	}
	swap(first)
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		files, err := certs.NewFiles(certs.FilesConfig{
			Domain: "example.test", CertFile: filepath.Join(link, "tls.crt"), KeyFile: filepath.Join(link, "tls.key"),
			Common: certs.Common{
				Poll: time.Second, OnChange: func(string) { changes++ },
				// The clock of the bubble stands in the year 2000.
				Now: func() time.Time { return first.Certificate.Leaf.NotBefore.Add(2 * time.Hour) },
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- files.Run(ctx) }()
		look := func() { time.Sleep(2500 * time.Millisecond); synctest.Wait() }
		check := func(step string, want *testca.Leaf, wantChanges int, cause string) {
			t.Helper()
			look()
			status := files.Status("example.test")
			if status.Serial != serialOf(want) || changes != wantChanges || (status.LastError == nil) != (cause == "") ||
				status.LastError != nil && !strings.Contains(status.LastError.Cause, cause) {
				t.Errorf("%s: got %+v, error %+v, %d changes", step, status, status.LastError, changes)
			}
		}
		check("nothing changed", first, 0, "")
		swap(second)
		check("a new one", second, 1, "")
		swap(expired)
		check("an expired one", second, 1, "expired at")
		check("an expired one, still", second, 1, "expired at")
		swap(second)
		check("the old one again", second, 1, "")
		swap(&testca.Leaf{CertPEM: first.CertPEM, KeyPEM: second.KeyPEM})
		check("half a change", second, 1, "is not that of the certificate")
		swap(first)
		check("the other half", first, 2, "")
		if err := os.Remove(link); err != nil {
			t.Error(err)
		}
		check("no files", first, 2, "tls_cert_file cannot be read")
		swap(second)
		if err := files.Reload(); err != nil || files.Status("example.test").Serial != serialOf(second) {
			t.Errorf("Reload: got %v, %+v", err, files.Status("example.test"))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func serialOf(leaf *testca.Leaf) string { return leaf.Certificate.Leaf.SerialNumber.Text(16) }

func TestFilesMetrics(t *testing.T) {
	cfg := write(t, t.TempDir(), issue(t, testca.LeafOptions{}, "example.test"))
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry
	if _, err := certs.NewFiles(cfg); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 3 {
		t.Errorf("got %d metrics, %v, want the two dates, and the panics", n, err)
	}
}

func TestNone(t *testing.T) {
	fallback := http.NotFoundHandler()
	none := certs.None{}
	if none.TLSConfig() != nil || none.Status("example.test").Source != "off" || none.HTTPHandler(fallback) == nil {
		t.Errorf("got %+v", none.Status("example.test"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := none.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}
