package faults_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/storage"
	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// damages are what can become of a file.
func damages(other []byte) map[string]func(file string) error {
	write := func(data func(old []byte) []byte) func(string) error {
		return func(file string) error {
			old, err := os.ReadFile(file)
			if err != nil && !os.IsNotExist(err) {
				return err
			}
			return os.WriteFile(file, data(old), 0o600)
		}
	}
	instead := func(put func(file string) error) func(string) error {
		return func(file string) error {
			if err := os.RemoveAll(file); err != nil {
				return err
			}
			return put(file)
		}
	}
	return map[string]func(string) error{
		"empty":     write(func([]byte) []byte { return nil }),
		"cut":       write(func(old []byte) []byte { return old[:len(old)/2] }),
		"zeroed":    write(func(old []byte) []byte { return make([]byte, len(old)+1) }),
		"random":    write(func([]byte) []byte { return []byte("\x8f\x00\x17\xfe{random") }),
		"foreign":   write(func([]byte) []byte { return other }),
		"flipped":   write(func(old []byte) []byte { return bytes.ReplaceAll(old, []byte("A"), []byte("B")) }),
		"lost":      instead(func(string) error { return nil }),
		"directory": instead(func(file string) error { return os.MkdirAll(filepath.Join(file, "below"), 0o700) }),
		"dangling":  instead(func(file string) error { return os.Symlink("nowhere", file) }),
		"loop":      instead(func(file string) error { return os.Symlink(file, file) }),
	}
}

// TestDamage damages every file of the state in every way: under a wellkey that
// runs, which goes on as if nothing had happened, and is then killed. The next one
// heals what there is to heal, with no more than one order, and serves.
func TestDamage(t *testing.T) {
	t.Parallel()
	states := 0
	for file, test := range map[string]struct {
		orders int  // that it may cost
		forget bool // the certificate is lost as well, so that an order must be made
	}{
		"certificates/ISSUER/DOMAIN/DOMAIN.crt":  {1, false},
		"certificates/ISSUER/DOMAIN/DOMAIN.key":  {1, false},
		"certificates/ISSUER/DOMAIN/DOMAIN.json": {0, false},
		"certificates/ISSUER/DOMAIN/DOMAIN.next": {0, false},
		"issuance/ISSUER/DOMAIN.json":            {0, false},
		"issuance/ISSUER/DOMAIN.json.bak":        {0, false},
		"acme/ISSUER/users/default/default.json": {1, true},
		"acme/ISSUER/users/default/default.key":  {1, true},
		"locks/issue_cert_DOMAIN.lock":           {1, true},
	} {
		states += len(damages(nil))
		t.Run(strings.ReplaceAll(file, "/", " "), func(t *testing.T) {
			t.Parallel()
			damage(t, file, test.orders, test.forget)
		})
	}
	if states < 40 {
		t.Errorf("%d states, want 40", states)
	}
}

func damage(t *testing.T, file string, orders int, forget bool) {
	w := newWorld(t)
	w.start()
	w.await("a certificate", have)
	w.watcher.served()
	w.stop()
	good := snapshot(t, w.DataDir)
	var issuer string
	for name := range good {
		if dir, ok := strings.CutPrefix(name, "state/certificates/"); ok {
			issuer, _, _ = strings.Cut(dir, "/")
		}
	}
	path := filepath.Join(w.state(), strings.NewReplacer("ISSUER", issuer, "DOMAIN", w.Domain).Replace(file))
	for name, do := range damages(good["key.pem"]) {
		w.goOn()
		restore(t, w.DataDir, good)
		w.start()
		w.watcher.up(time.Now())
		w.settled()
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		if err := do(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.watcher.served()
		since := w.kill()
		if forget {
			must(t, os.RemoveAll(filepath.Join(w.state(), "certificates")))
		}
		before := w.ca.count(testca.NewOrderPath)
		w.start()
		if took := w.watcher.up(since); took > time.Minute {
			t.Errorf("%s: healing took %v", name, took)
		}
		w.await(name+": rest", func(s admin.Status) bool {
			c := s.Sites[0].Certificate
			return c.Have && c.LastError == nil && !c.NextAttempt.IsZero()
		})
		if n := w.ca.count(testca.NewOrderPath) - before; n > orders {
			t.Errorf("%s: %d orders, want %d at most", name, n, orders)
		}
		w.kill()
	}
}

var pid = regexp.MustCompile(`"pid":\d+`)

// bury makes the locks in dir those of a process that has ended, as it is after a
// power failure: in truth they are this test's.
func bury(t *testing.T, dir string) {
	t.Helper()
	dead := exec.Command("true")
	must(t, dead.Run())
	locks, err := filepath.Glob(filepath.Join(dir, "locks", "*.lock"))
	must(t, err)
	for _, lock := range locks {
		record, err := os.ReadFile(lock)
		must(t, err)
		record = pid.ReplaceAll(record, fmt.Appendf(nil, `"pid":%d`, dead.Process.Pid))
		must(t, os.WriteFile(lock, record, 0o600))
	}
}

// A recorder takes a picture of the data directory after everything that is
// written there.
type recorder struct {
	*storage.Directory
	take func()
}

// TestPowerLoss starts from every state in which the power can fail while a
// certificate is renewed. The old one or the new one is served at once, and one
// order more is the most that it costs.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	s := due(t)
	var pictures []map[string][]byte
	take := func() { pictures = append(pictures, snapshot(t, s.dir)) }
	s.change = func(c *certs.Config) { c.Storage = &recorder{s.store(), take} }
	s.ca.onRequest(func(string) { take() })
	i := s.start()
	i.renewed(i.settle(), time.Minute)
	renewed := i.Status().Serial
	s.ca.onRequest(nil)
	s.change = func(*certs.Config) {}
	t.Logf("%d states", len(pictures))
	if len(pictures) < 20 {
		t.Errorf("%d states, want more", len(pictures))
	}
	old, fresh := 0, 0
	for n, picture := range pictures {
		if n > 0 && fmt.Sprint(picture) == fmt.Sprint(pictures[n-1]) {
			continue
		}
		at := s.watcher.down()
		i.stop()
		restore(t, s.dir, picture)
		bury(t, s.dir)
		before := s.ca.count(testca.NewOrderPath)
		i = s.start()
		if gap := s.watcher.up(at); gap > startPatience {
			t.Errorf("state %d: nobody was served for %v", n, gap)
		}
		i.settle()
		if orders := s.ca.count(testca.NewOrderPath) - before; orders > 1 {
			t.Errorf("state %d: %d orders, want one at most", n, orders)
		}
		if last := i.Status().LastError; last != nil && last.Reason != certs.ReasonBudget {
			t.Errorf("state %d: %+v", n, last)
		}
		switch i.Status().Serial {
		case s.seeded:
			old++
		case renewed:
			fresh++
		}
		for _, found := range quarantined(s.dir) { // the account may be there half made: it is looked up
			if !strings.Contains(found, "/acme/") {
				t.Errorf("state %d: in quarantine: %q", n, found)
			}
		}
	}
	t.Logf("%d serve the old one, %d the new one, all others got another", old, fresh)
}

// Store implements certmagic.Storage.
func (r *recorder) Store(ctx context.Context, key string, value []byte) error {
	defer r.take()
	return r.Directory.Store(ctx, key, value)
}

// Delete implements certmagic.Storage.
func (r *recorder) Delete(ctx context.Context, key string) error {
	defer r.take()
	return r.Directory.Delete(ctx, key)
}
