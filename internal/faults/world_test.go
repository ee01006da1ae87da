package faults_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/testca"
	"wellkey/internal/testprogram"
	"wellkey/internal/testworld"
	"wellkey/keystore"
)

// A world is everything that the real binary needs around it, with a CA that has
// faults before it, a key that is there from the beginning, and a client that
// watches.
type world struct {
	*testworld.World
	t       *testing.T
	ctx     context.Context
	ca      *authority
	watcher *watcher
	running *testworld.Process
	former  []*testworld.Process
}

// newWorld starts all but wellkey, which has not run there before.
func newWorld(t *testing.T, options ...func(*testworld.Config)) *world {
	t.Helper()
	host, domain := newHost()
	config := testworld.Config{Domain: domain, Dir: t.TempDir(), Host: host}
	for _, option := range options {
		option(&config)
	}
	inner, err := testworld.Start(config)
	must(t, err)
	w := &world{World: inner, t: t}
	w.goOn()
	if inner.CA != nil {
		w.ca = newAuthority(inner.CA)
	}
	must(t, os.MkdirAll(w.DataDir, 0o700))
	w.watcher = watch(t, w.HTTPSAddr, w.Domain, w.writeKey(), w.Roots, time.Now, func() bool { return false })
	t.Cleanup(func() {
		w.watcher.stop()
		if p := w.running; p != nil {
			_ = p.Signal(os.Kill)
			p.Wait()
		}
		if err := inner.Close(); err != nil {
			t.Errorf("closing the world: %v", err)
		}
		if t.Failed() {
			for n, p := range append(w.former, w.running) {
				if p != nil {
					lines := strings.Split(p.Log.String(), "\n")
					t.Logf("process %d:\n%s", n, strings.Join(lines[max(0, len(lines)-12):], "\n"))
				}
			}
		}
	})
	return w
}

// goOn begins the time of a long test anew.
func (w *world) goOn() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	w.t.Cleanup(cancel)
	w.ctx = ctx
}

// writeKey puts a new private key into the data directory and returns how its
// public half is served.
func (w *world) writeKey() []byte {
	w.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	der, err := x509.MarshalECPrivateKey(private)
	must(w.t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	parsed, err := keystore.Parse(text)
	must(w.t, err, os.WriteFile(w.keyFile(), text, 0o600))
	return parsed.Key.PEM()
}

func (w *world) keyFile() string { return filepath.Join(w.DataDir, "key.pem") }

// state is where the storage is.
func (w *world) state() string { return filepath.Join(w.DataDir, "state") }

// start runs the real binary.
func (w *world) start(settings ...string) *testworld.Process {
	w.t.Helper()
	return w.startAs(testprogram.Path(w.t), settings...)
}

// startAs runs another program that becomes the real binary.
func (w *world) startAs(program string, settings ...string) *testworld.Process {
	w.t.Helper()
	environ := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.DataDir}
	p, err := w.Exec(program, environ, append([]string{"LOG_LEVEL=info"}, settings...)...)
	must(w.t, err)
	if w.running != nil {
		w.former = append(w.former, w.running)
	}
	w.running = p
	return p
}

// wrapper returns a program that runs these commands of a shell and then becomes
// the real binary, run by prefix.
func (w *world) wrapper(commands, prefix string) string {
	w.t.Helper()
	script := filepath.Join(w.t.TempDir(), "wellkey")
	text := "#!/bin/sh\nset -eu\n" + commands + "\nexec " + prefix + " '" + testprogram.Path(w.t) + "' \"$@\"\n"
	must(w.t, os.WriteFile(script, []byte(text), 0o755))
	return script
}

// kill ends the process as the kernel does, and tells since when it is gone.
func (w *world) kill() (since time.Time) {
	w.t.Helper()
	since = w.watcher.down()
	must(w.t, w.running.Signal(os.Kill))
	if code := w.running.Wait(); code != -1 {
		w.t.Fatalf("exit code is %d, want that a signal ended it", code)
	}
	return since
}

// await returns the first status for which match holds.
func (w *world) await(what string, match func(admin.Status) bool) admin.Status {
	w.t.Helper()
	status, err := w.AwaitStatus(w.ctx, match)
	if err != nil {
		w.t.Fatalf("waiting for %s: %v; the last status: %+v", what, err, status)
	}
	return status
}

// awaitLine waits for a line of the log.
func (w *world) awaitLine(p *testworld.Process, message string) testworld.Entry {
	w.t.Helper()
	entry, err := p.Log.Await(w.ctx, func(e testworld.Entry) bool { return e.Message == message })
	if err != nil {
		w.t.Fatalf("waiting for the line %q: %v", message, err)
	}
	return entry
}

// settled waits until the running wellkey has a certificate and nothing to do, or
// says why it orders none.
func (w *world) settled() admin.Status {
	w.t.Helper()
	return w.await("rest", func(s admin.Status) bool {
		c := s.Sites[0].Certificate
		return !c.NextAttempt.IsZero() && (c.Have || c.LastError != nil)
	})
}

// production has the CA known under a name that is not on this machine, so that
// it counts as one with limits that last.
func (w *world) production() string {
	return "ACME_DIRECTORY=" + strings.Replace(w.ca.Directory(), "127.0.0.1", testca.APIName, 1)
}

// snapshot returns the files below dir.
func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			files[name], err = os.ReadFile(path)
		}
		return err
	}))
	return files
}

// restore makes dir hold these files and no others.
func restore(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if !os.IsNotExist(err) {
		must(t, err)
	}
	for _, entry := range entries {
		must(t, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	for name, data := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600))
	}
}
