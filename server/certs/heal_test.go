package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"wellkey/internal/storage"
	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// A scene is a storage that a rig's CA filled, and what is to be done to it.
type scene struct {
	*rig
	t     *testing.T
	other *testca.Leaf // a good pair that is not ours
}

func (s *scene) must(errs ...error) {
	s.t.Helper()
	if err := errors.Join(errs...); err != nil {
		s.t.Fatal(err)
	}
}

// file is the file of a key.
func (s *scene) file(key string) string { return filepath.Join(s.dir, filepath.FromSlash(key)) }

func (s *scene) cert() string { return s.file(keys.SiteCert(s.issuerKey(), s.domain)) }
func (s *scene) key() string  { return s.file(keys.SitePrivateKey(s.issuerKey(), s.domain)) }
func (s *scene) meta() string { return s.file(keys.SiteMeta(s.issuerKey(), s.domain)) }
func (s *scene) next() string { return strings.TrimSuffix(s.cert(), ".crt") + ".next" }
func (s *scene) site() string { return filepath.Dir(s.cert()) }
func (s *scene) accountFile(suffix string) string {
	return filepath.Join(s.dir, "acme", keys.Safe(s.issuerKey()), "users", "default", "default"+suffix)
}

func (s *scene) write(data string, files ...string) {
	s.t.Helper()
	for _, file := range files {
		s.must(os.WriteFile(file, []byte(data), 0o600))
	}
}

func (s *scene) cut(file string) {
	s.t.Helper()
	data, err := os.ReadFile(file)
	s.must(err, os.WriteFile(file, data[:len(data)/2], 0o600))
}

// directory puts a directory in place of a file.
func (s *scene) directory(file string) {
	s.t.Helper()
	s.must(os.RemoveAll(file), os.MkdirAll(filepath.Join(file, "below"), 0o700))
}

// flat puts a file in place of a directory.
func (s *scene) flat(dir string) {
	s.t.Helper()
	s.must(os.RemoveAll(dir), os.WriteFile(dir, []byte("flat"), 0o600))
}

func (s *scene) remove(files ...string) {
	s.t.Helper()
	for _, file := range files {
		s.must(os.RemoveAll(file))
	}
}

// forget loses the certificate, so that the next start must order.
func (s *scene) forget() { s.remove(s.site()) }

// damages are states of the storage that must heal at the next start; orders is
// what that may cost.
var damages = []struct {
	name   string
	orders int
	do     func(*scene)
}{
	{"cert empty", 1, func(s *scene) { s.write("", s.cert()) }},
	{"cert random", 1, func(s *scene) { s.write("\x8f\x00\x17random", s.cert()) }},
	{"cert cut", 1, func(s *scene) { s.cut(s.cert()) }},
	{"cert missing", 1, func(s *scene) { s.remove(s.cert()) }},
	{"cert is a directory", 1, func(s *scene) { s.directory(s.cert()) }},
	{"cert is a dangling link", 1, func(s *scene) { s.remove(s.cert()); s.must(os.Symlink("nowhere", s.cert())) }},
	{"cert is a loop", 1, func(s *scene) { s.remove(s.cert()); s.must(os.Symlink(s.cert(), s.cert())) }},
	{"cert holds the key", 1, func(s *scene) { data, err := os.ReadFile(s.key()); s.must(err); s.write(string(data), s.cert()) }},
	{"cert of another pair", 1, func(s *scene) { s.write(string(s.other.CertPEM), s.cert()) }},
	{"key empty", 1, func(s *scene) { s.write("", s.key()) }},
	{"key cut", 1, func(s *scene) { s.cut(s.key()) }},
	{"key missing", 1, func(s *scene) { s.remove(s.key()) }},
	{"key is a directory", 1, func(s *scene) { s.directory(s.key()) }},
	{"key of another pair", 1, func(s *scene) { s.write(string(s.other.KeyPEM), s.key()) }},
	{"pair for another name", 1, func(s *scene) {
		other := issue(s.t, testca.LeafOptions{}, "other.test")
		s.write(string(other.CertPEM), s.cert())
		s.write(string(other.KeyPEM), s.key())
	}},
	{"cert and key swapped", 1, func(s *scene) {
		swap := s.cert() + ".swap"
		s.must(os.Rename(s.cert(), swap), os.Rename(s.key(), s.cert()), os.Rename(swap, s.key()))
	}},
	{"all NUL", 1, func(s *scene) { s.write("\x00\x00\x00", s.cert(), s.key(), s.meta()) }},
	{"cert and meta cut", 1, func(s *scene) { s.cut(s.cert()); s.cut(s.meta()) }},
	{"all lost but meta", 1, func(s *scene) { s.remove(s.cert(), s.key()) }},
	{"site is a file", 1, func(s *scene) { s.flat(s.site()) }},
	{"issuer is a file", 1, func(s *scene) { s.flat(filepath.Dir(s.site())) }},
	{"certificates is a file", 1, func(s *scene) { s.flat(filepath.Join(s.dir, "certificates")) }},
	{"meta cut", 0, func(s *scene) { s.cut(s.meta()) }},
	{"meta empty", 0, func(s *scene) { s.write("", s.meta()) }},
	{"meta missing", 0, func(s *scene) { s.remove(s.meta()) }},
	{"meta of other JSON", 0, func(s *scene) { s.write(`{"a":[1]}`, s.meta()) }},
	{"meta null", 0, func(s *scene) { s.write("null", s.meta()) }},
	{"meta for another name", 0, func(s *scene) { s.write(`{"sans":["other.test"]}`, s.meta()) }},
	{"meta is a directory", 0, func(s *scene) { s.directory(s.meta()) }},
	{"next is nonsense", 0, func(s *scene) { s.write("nonsense", s.next()) }},
	{"next is a directory", 0, func(s *scene) { s.directory(s.next()) }},
	{"account cut", 1, func(s *scene) { s.forget(); s.cut(s.accountFile(".json")) }},
	{"account empty", 1, func(s *scene) { s.forget(); s.write("", s.accountFile(".json")) }},
	{"account lost", 1, func(s *scene) { s.forget(); s.remove(s.accountFile(".json")) }},
	{"account of other JSON", 1, func(s *scene) { s.forget(); s.write("{}", s.accountFile(".json")) }},
	{"account elsewhere", 1, func(s *scene) {
		s.forget()
		s.write(`{"status":"valid","location":"https://127.0.0.1:1/acct/7"}`, s.accountFile(".json"))
	}},
	{"account is a directory", 1, func(s *scene) { s.forget(); s.directory(s.accountFile(".json")) }},
	{"account key empty", 1, func(s *scene) { s.forget(); s.write("", s.accountFile(".key")) }},
	{"account key cut", 1, func(s *scene) { s.forget(); s.cut(s.accountFile(".key")) }},
	{"account key lost", 1, func(s *scene) { s.forget(); s.remove(s.accountFile(".key")) }},
	{"account key unknown to the CA", 1, func(s *scene) { s.forget(); s.write(string(s.other.KeyPEM), s.accountFile(".key")) }},
	{"account gone", 1, func(s *scene) { s.forget(); s.remove(filepath.Join(s.dir, "acme")) }},
	{"acme is a file", 1, func(s *scene) { s.forget(); s.flat(filepath.Join(s.dir, "acme")) }},
	{"locks is a file", 1, func(s *scene) { s.forget(); s.flat(filepath.Join(s.dir, "locks")) }},
	{"lock empty", 1, func(s *scene) { s.forget(); s.lock("") }},
	{"lock NUL", 1, func(s *scene) { s.forget(); s.lock("\x00\x00\x00\x00") }},
	{"lock cut", 1, func(s *scene) { s.forget(); s.lock(`{"created":"2026-`) }},
	{"lock of the future", 1, func(s *scene) {
		s.forget()
		s.lock(`{"created":"2099-01-01T00:00:00Z","updated":"2099-01-01T00:00:00Z"}`)
	}},
	{"issuance is a file", 1, func(s *scene) { s.forget(); s.flat(filepath.Join(s.dir, "issuance")) }},
	{"one copy of the record cut", 1, func(s *scene) {
		s.forget()
		s.cut(s.file("issuance/" + s.issuerKey() + "/" + s.domain + ".json"))
	}},
}

func (s *scene) lock(data string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Join(s.dir, "locks"), 0o700))
	s.write(data, filepath.Join(s.dir, "locks", "issue_cert_"+s.domain+".lock"))
}

func TestDamageHeals(t *testing.T) {
	t.Parallel()
	for _, test := range damages {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			domain := "heal-" + strings.ReplaceAll(strings.ToLower(test.name), " ", "-") + ".test"
			r := newRig(t, domain, testca.Config{})
			r.start(t, r.config(t)).settleAndStop(t)
			s := &scene{rig: r, t: t, other: issue(t, testca.LeafOptions{}, domain)}
			test.do(s)
			before := r.ca.Orders()
			r.relisten(t)
			began := time.Now()
			m := r.start(t, r.config(t))
			m.settle(t)
			if took := time.Since(began); took > time.Minute { // what operators are promised
				t.Errorf("healing took %v", took)
			}
			r.leaf(t, m, r.now())
			if n := r.ca.Orders() - before; n != test.orders {
				t.Errorf("got %d orders, want %d", n, test.orders)
			}
			if last := m.Status().LastError; last != nil {
				t.Errorf("got %+v, want no error", last)
			}
			// Another start finds nothing to heal.
			m.stop()
			var requests atomic.Int32
			r.ca.Intercept(func(http.ResponseWriter, *http.Request) bool { requests.Add(1); return false })
			r.relisten(t)
			m = r.start(t, r.config(t))
			m.settle(t)
			r.leaf(t, m, r.now())
			if n := requests.Load(); n != 0 {
				t.Errorf("after healing: got %d requests to the CA, want none", n)
			}
		})
	}
}

func TestDamageWhileRunningCostsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "running.test", testca.Config{})
	m := r.start(t, r.config(t))
	m.settle(t)
	s := &scene{rig: r, t: t}
	s.cut(s.cert())
	m.again(t)
	r.leaf(t, m, r.now())
	if n := r.ca.Orders(); n != 1 {
		t.Errorf("got %d orders, want 1", n)
	}
	if _, err := os.Stat(s.key()); err != nil {
		t.Errorf("the certificate was not stored again: %v", err)
	}
}

func TestAccountIsMadeAnewOnceADay(t *testing.T) {
	t.Parallel()
	r := newRig(t, "account.test", testca.Config{})
	s := &scene{rig: r, t: t}
	r.start(t, r.config(t)).settleAndStop(t)
	for _, want := range []bool{true, false} {
		s.forget()
		s.write("", s.accountFile(".key"))
		r.relisten(t)
		m := r.start(t, r.config(t))
		m.settle(t)
		if m.Status().Have != want {
			t.Errorf("got a certificate: %t, want %t", m.Status().Have, want)
		}
		if !want {
			m.again(t)
			r.leaf(t, m, r.now())
		}
		m.stop()
	}
}

// TestClosedAccount: an account that was closed, here or by the CA, is replaced.
func TestClosedAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, "closed-account.test", testca.Config{})
	s := &scene{rig: r, t: t}
	r.start(t, r.config(t)).settleAndStop(t)
	keyPEM, err := os.ReadFile(s.accountFile(".key"))
	s.must(err)
	key, err := certmagic.PEMDecodePrivateKey(keyPEM)
	s.must(err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.ca.APIRoots()}, DisableKeepAlives: true}
	client := acme.Client{Directory: r.ca.Directory(), HTTPClient: &http.Client{Transport: transport}}
	account, err := client.GetAccount(t.Context(), acme.Account{PrivateKey: key})
	s.must(err)
	account.Status = acme.StatusDeactivated
	_, err = client.UpdateAccount(t.Context(), account)
	s.must(err)
	s.forget()
	r.relisten(t)
	m := r.start(t, r.config(t))
	m.settle(t)
	r.leaf(t, m, r.now())
	if last := m.Status().LastError; last != nil {
		t.Errorf("got %+v, want no error", last)
	}
}

// An orderedStorage notes in which order the parts of an account are stored.
type orderedStorage struct {
	*storage.Directory
	mu     sync.Mutex
	stored []string
}

func (s *orderedStorage) Store(ctx context.Context, key string, value []byte) error {
	if strings.Contains(key, "/users/") {
		s.mu.Lock()
		s.stored = append(s.stored, path.Ext(key))
		s.mu.Unlock()
	}
	return s.Directory.Store(ctx, key, value)
}

// TestKeyOfAnAccountIsStoredFirst: whoever is killed after that finds the account
// again by it.
func TestKeyOfAnAccountIsStoredFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, "keyfirst.test", testca.Config{})
	store := &orderedStorage{Directory: r.storage(t)}
	cfg := r.config(t)
	cfg.Storage = store
	r.start(t, cfg).settleAndStop(t)
	if want := []string{".key", ".json"}; !slices.Equal(store.stored, want) {
		t.Errorf("got %q, want %q", store.stored, want)
	}
}

// TestAccountWhoseKeyCannotBeStored leaves nothing of it behind, and another is
// made without a day's wait.
func TestAccountWhoseKeyCannotBeStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, "nokey.test", testca.Config{})
	store := &fullStorage{Directory: r.storage(t), part: "users/default/default.key"}
	store.full.Store(true)
	cfg := r.config(t)
	cfg.Storage = store
	m := r.start(t, cfg)
	m.settle(t)
	if reason := reasonOf(m); reason != certs.ReasonStorage || r.ca.Orders() != 0 {
		t.Errorf("got reason %q and %d orders, want that of the storage and none", reason, r.ca.Orders())
	}
	if data, err := os.ReadFile((&scene{rig: r, t: t}).accountFile(".json")); err == nil {
		t.Errorf("a registration without a key is left: %s", data)
	}
	store.full.Store(false)
	m.again(t)
	r.leaf(t, m, r.now())
}
