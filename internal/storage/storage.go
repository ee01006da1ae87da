// Package storage keeps wellkey's state: certificates, the ACME account, and
// what the registrar remembers, under keys such as
// "registrations/example.com/eu.json". All backends are certmagic's Storage,
// so that certificates and everything else live in one place: a directory, or a
// store that several replicas share (packages redis and postgres).
//
// A Store is a backend with all that surrounds it: a deadline for every call,
// metrics, sealed secrets, and for a shared store a copy on the local disk of what
// serving needs.
//
// The directory backend has the layout of certmagic.FileStorage: a key is the
// path of a file. Files have mode 0600, directories 0700, and each file is
// replaced atomically and durably. Whoever can read the directory has the
// private keys of the certificates, and can act for the ACME account.
//
// What is damaged is moved to "quarantine/<UTC time>/<key>", never read again.
// Every call ends within a deadline, also where the disk or a network share
// hangs: the caller gets an error, and serves on from memory.
package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/durable"
)

// A Config says where state is kept, and how patient we are.
type Config struct {
	Path       string
	Timeout    time.Duration         // of every call; 0 = 10 s for a directory, 5 s for a shared store
	Refresh    time.Duration         // of a lock that is held in a directory; 0 = 5 s, as certmagic does
	Shared     Shared                // zero = there is none, and state is in the directory
	Keys       Keys                  // seal secrets; none = they are stored as they are
	LookOnly   bool                  // Open writes nothing into a shared store
	ProveLater bool                  // the caller calls Prove, once visitors wait for nothing; else New does
	Registerer prometheus.Registerer // nil = none
	Logger     *zap.Logger           // nil = none
}

// A Directory keeps state in files. It is safe for concurrent use, also by
// several processes and hosts.
type Directory struct {
	path    string
	timeout time.Duration
	refresh time.Duration
	log     *zap.Logger
	metrics *metrics
	empty   bool // nothing was there at start
	proven  bool // it was tried whether it can be written
	self    process
	guard   func(key string) (*guard, error) // openGuard
	link    func(from, to string) error      // os.Link

	slots  chan struct{}  // one for each call whose I/O goes on
	writes [64]sync.Mutex // one value is written at a time, by hash of its key

	mu      sync.Mutex
	held    map[string][]*held     // by path of the lock: the one that holds it, after those that lost it
	seen    map[string]observation // locks that we wait for, by path
	orphans map[string]bool        // tokens of ours whose record could not be deleted
}

// maxCalls bounds the goroutines that a hanging disk can hold.
const maxCalls = 32

// OpenDirectory is New for the directory at path with all else as it is by default.
func OpenDirectory(path string, logger *zap.Logger) (*Directory, error) {
	return New(Config{Path: path, Logger: logger})
}

// New makes the directory if it does not exist, and proves that it can be written:
// at once, or where its permissions say so, later. The error is for the operator: it
// names the path, what is wrong and the fix.
//
// A directory that is there and can be read, on a disk that is full, read-only,
// slow or faulty, is no error but a line in the log: what is in it is to be served.
func New(cfg Config) (*Directory, error) {
	return newDirectory(cfg, newMetrics(cfg.Registerer, cfg.Logger))
}

func newDirectory(cfg Config, m *metrics) (*Directory, error) {
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("resolving data directory %q: %w", cfg.Path, err)
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	d := &Directory{
		path:    path,
		timeout: cfg.Timeout,
		refresh: cfg.Refresh,
		log:     cfg.Logger.Named("storage"),
		metrics: m,
		self:    thisProcess(),
		link:    os.Link,
		slots:   make(chan struct{}, maxCalls),
		held:    map[string][]*held{},
		seen:    map[string]observation{},
		orphans: map[string]bool{},
	}
	d.guard = d.openGuard
	if d.timeout == 0 {
		d.timeout = 10 * time.Second
	}
	if d.refresh == 0 {
		d.refresh = 5 * time.Second
	}
	ctx := context.Background()
	d.empty, err = do(ctx, d, "opening", d.prepare, nil)
	if err != nil {
		return nil, d.explain(err)
	}
	if cfg.ProveLater && permits(path) {
		m.writable.Set(1) // as far as is known
		return d, nil
	}
	err = d.prove(ctx)
	if errors.Is(err, fs.ErrPermission) { // nor can it be read, since files are their owner's alone
		return nil, err
	}
	d.tell(err)
	return d, nil
}

// prove proves that the directory can be written, unless that was tried before. It
// waits for the disk several times.
func (d *Directory) prove(ctx context.Context) error {
	if d.proven {
		return nil
	}
	d.proven = true
	ctx, cancel := context.WithTimeout(ctx, min(probePatience, d.timeout))
	defer cancel()
	err := d.Writable(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = d.explain(fmt.Errorf("no answer within %v: %w", probePatience, ErrTimeout))
	}
	return err
}

// tell logs what came of prove.
func (d *Directory) tell(err error) {
	if err != nil {
		d.log.Error("data directory cannot be written, so only what is in it is served, and nothing is ordered or registered", zap.Error(err))
		return
	}
	d.log.Debug("data directory is writable", zap.String("path", d.path))
}

// probePatience is how long it is waited to learn whether the directory can be
// written: where that is not put off, visitors wait with it.
const probePatience = 3 * time.Second

// prepare makes the directory, and says whether it was empty.
func (d *Directory) prepare(context.Context) (empty bool, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return len(entries) == 0, durable.MkdirAll(d.path, 0o700)
}

// String names the directory, for logs.
func (d *Directory) String() string { return fmt.Sprintf("data directory %q", d.path) }
