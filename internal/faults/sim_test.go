package faults_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/storage"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testhost"
	"wellkey/keystore"
	"wellkey/server"
	"wellkey/server/certs"
)

// A sim is one domain with a CA, a data directory and a clock that jumps; in it
// run the real certificates behind the real public face.
type sim struct {
	t           *testing.T
	domain      string
	ca          *authority
	names       *testdns.Server
	dir         string // of the storage
	http, https string // addresses of the public face
	key         keystore.Key
	signer      *testca.Signer // of certificates that were there before
	ahead       atomic.Int64   // of the real clock, both ours and the CA's: waits add to it
	wrong       atomic.Int64   // by which our clock is ahead of the CA's
	log         *observer.ObservedLogs
	logger      *zap.Logger
	change      func(*certs.Config)
	watcher     *watcher
	undated     atomic.Bool // the client does not look at dates
	branch      *branch     // that the CA issues from, too; set before the start
	seeded      string      // serial of the certificate that was there before
}

// newSim starts all but wellkey.
func newSim(t *testing.T, options ...func(*testca.Config)) *sim {
	t.Helper()
	host, domain := newHost()
	names, err := testdns.Start()
	must(t, err)
	names.Set(domain, "A "+host)
	addrs := freeAddrs(t, host, 2)
	s := &sim{t: t, domain: domain, names: names, dir: filepath.Join(t.TempDir(), "state"), http: addrs[0], https: addrs[1], change: func(*certs.Config) {}}
	core, log := observer.New(zap.InfoLevel)
	s.log, s.logger = log, zap.New(core)
	cfg := testca.Config{DNS: names.Addr(), Date: s.now, HTTPPort: testhost.Port(s.http), TLSPort: testhost.Port(s.https)}
	for _, option := range options {
		option(&cfg)
	}
	ca, err := testca.Start(cfg)
	must(t, err)
	s.ca = newAuthority(ca)
	t.Cleanup(func() {
		if err := errors.Join(ca.Close(), names.Close()); err != nil {
			t.Errorf("closing: %v", err)
		}
		if t.Failed() {
			for _, e := range log.All()[max(0, log.Len()-20):] {
				fields := e.ContextMap()
				t.Logf("%s: %v %v", e.Message, fields["reason"], fields["error"])
			}
		}
	})
	s.signer, err = testca.NewSigner()
	must(t, err)
	keys, err := keystore.Open(keystore.Config{Path: filepath.Join(t.TempDir(), "key.pem")})
	must(t, err)
	_, err = keys.Generate()
	must(t, err)
	s.key = keys.Key()
	return s
}

// freeAddrs returns addresses of a host that only one test uses.
func freeAddrs(t *testing.T, host string, n int) []string {
	t.Helper()
	addrs, err := testhost.Addrs(host, n)
	must(t, err)
	return addrs
}

// now is the right time.
func (s *sim) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

// pass lets time pass.
func (s *sim) pass(d time.Duration) { s.ahead.Add(int64(d)) }

// store opens the data directory.
func (s *sim) store() *storage.Directory {
	s.t.Helper()
	d, err := storage.OpenDirectory(s.dir, nil)
	must(s.t, err)
	return d
}

func (s *sim) issuer() string { return (&certmagic.ACMEIssuer{CA: s.ca.Directory()}).IssuerKey() }

// seed stores a certificate from before, with so much of its life left.
func (s *sim) seed(left time.Duration) *testca.Leaf {
	s.t.Helper()
	end := s.now().Add(left)
	leaf, err := s.signer.Issue(testca.LeafOptions{NotBefore: end.AddDate(0, 0, -90), NotAfter: end}, s.domain)
	must(s.t, err)
	s.seeded = leaf.Certificate.Leaf.SerialNumber.Text(16)
	d, ctx := s.store(), context.Background()
	must(s.t, d.Store(ctx, certmagic.StorageKeys.SiteCert(s.issuer(), s.domain), leaf.CertPEM),
		d.Store(ctx, certmagic.StorageKeys.SitePrivateKey(s.issuer(), s.domain), leaf.KeyPEM),
		d.Store(ctx, certmagic.StorageKeys.SiteMeta(s.issuer(), s.domain), fmt.Appendf(nil, `{"sans":[%q]}`, s.domain)))
	return leaf
}

// cert is the file of the stored certificate.
func (s *sim) cert() string {
	return filepath.Join(s.dir, filepath.FromSlash(certmagic.StorageKeys.SiteCert(s.issuer(), s.domain)))
}

func (s *sim) roots() *x509.CertPool {
	pool := s.ca.Roots()
	pool.AppendCertsFromPEM(s.signer.RootsPEM())
	if s.branch != nil {
		pool.AddCert(s.branch.root)
	}
	return pool
}

// An instance is a wellkey that runs in a sim. It stops in each wait, says how
// long that is, and goes on when it is told to.
type instance struct {
	*certs.Manager
	s        *sim
	registry *prometheus.Registry
	waits    chan time.Duration
	goOn     chan time.Duration
	steps    int
	stop     func()
}

// start runs a wellkey, and the client that watches it.
func (s *sim) start() *instance {
	s.t.Helper()
	i := &instance{s: s, registry: prometheus.NewRegistry(), waits: make(chan time.Duration), goOn: make(chan time.Duration)}
	store, err := storage.New(storage.Config{Path: s.dir, Registerer: i.registry, Logger: s.logger})
	must(s.t, err)
	var face *server.Server
	cfg := certs.Config{
		Storage: store, Directory: s.ca.Directory(), Roots: s.ca.APIRoots(),
		HTTPAddr: func() string { return face.HTTPAddr() }, TLSAddr: func() string { return face.HTTPSAddr() },
		Common: certs.Common{
			Now:  func() time.Time { return s.now().Add(time.Duration(s.wrong.Load())) },
			Wait: i.wait, Logger: s.logger, Registerer: i.registry,
		},
	}
	s.change(&cfg)
	i.Manager, err = certs.New(cfg)
	must(s.t, err)
	i.Add(s.domain)
	face, err = server.New(server.Config{Domain: s.domain, HTTPAddr: s.http, HTTPSAddr: s.https, Key: func(string) keystore.Key { return s.key }, Certificates: i})
	must(s.t, err)
	must(s.t, face.Listen(context.Background()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- face.Run(ctx) }()
	go func() { ended <- i.Run(ctx) }()
	stopped := false
	i.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			s.t.Errorf("running: %v", err)
		}
	}
	if s.watcher == nil {
		s.watcher = watch(s.t, s.https, s.domain, s.key.PEM(), s.roots, s.now, s.undated.Load)
	}
	s.t.Cleanup(func() { s.watcher.stop(); i.stop() })
	return i
}

// Status returns how it stands with the sim's domain.
func (i *instance) Status() certs.Status { return i.Manager.Status(i.s.domain) }

func (i *instance) wait(ctx context.Context, d time.Duration) error {
	select {
	case i.waits <- d:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case d := <-i.goOn:
		i.s.pass(d)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle waits for the end of a step and returns how long wellkey would wait now.
func (i *instance) settle() time.Duration {
	i.s.t.Helper()
	select {
	case d := <-i.waits:
		return d
	case <-time.After(patience):
		i.s.t.Fatal("wellkey does not come to rest")
		return 0
	}
}

// again lets d pass of the wait, which is all of it where d is what settle
// returned, and waits for the end of the next step. Where there is a certificate,
// the key is fetched all along, and one fetch is waited for in every third step.
func (i *instance) again(d time.Duration) time.Duration {
	i.s.t.Helper()
	if i.steps++; i.steps%3 == 0 && i.Status().Have {
		i.s.watcher.served()
	}
	select {
	case i.goOn <- d:
	case <-time.After(patience):
		i.s.t.Fatal("wellkey does not wait")
	}
	return i.settle()
}

// until goes from wait to wait until so much time has passed, at most.
func (i *instance) until(d, most time.Duration, done func() bool) time.Duration {
	i.s.t.Helper()
	end := i.s.now().Add(most)
	for !done() && !i.s.now().Add(d).After(end) {
		d = i.again(d)
	}
	return d
}

// never is for until.
func never() bool { return false }

// reason returns what stands in the way of a certificate, "" if nothing does.
func (i *instance) reason() certs.Reason {
	if last := i.Status().LastError; last != nil {
		return last.Reason
	}
	return ""
}

// wantFailures checks what is counted as failed attempts since the start.
func (i *instance) wantFailures(want map[certs.Reason]int) {
	i.s.t.Helper()
	families, err := i.registry.Gather()
	must(i.s.t, err)
	got := map[certs.Reason]int{}
	for _, family := range families {
		if family.GetName() != "wellkey_acme_issuance_failures_total" {
			continue
		}
		for _, series := range family.GetMetric() {
			for _, label := range series.GetLabel() {
				if n := int(series.GetCounter().GetValue()); n > 0 && label.GetName() == "reason" {
					got[certs.Reason(label.GetValue())] += n
				}
			}
		}
	}
	if !maps.Equal(got, want) {
		i.s.t.Errorf("wellkey_acme_issuance_failures_total has %v, want %v", got, want)
	}
}

// logged returns the entries with this message.
func (s *sim) logged(message string) []observer.LoggedEntry {
	return s.log.FilterMessage(message).All()
}

// restart stops an instance and starts the next one; the gap between is measured.
func (i *instance) restart() *instance {
	i.s.t.Helper()
	at, served := i.s.watcher.down(), i.Status().Have
	i.stop()
	next := i.s.start()
	if served {
		if gap := i.s.watcher.up(at); gap > startPatience {
			i.s.t.Errorf("nobody was served for %v", gap)
		}
	}
	return next
}

// quarantined returns what is in quarantine.
func quarantined(dir string) []string {
	var found []string
	_ = filepath.WalkDir(filepath.Join(dir, "quarantine"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, strings.TrimPrefix(path, dir))
		}
		return nil
	})
	return found
}
