package registrar_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/keystore"
	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// tesla is a Fleet API in memory. Its zero value has no registration.
type tesla struct {
	mu       sync.Mutex
	keys     map[fleetapi.Region]keystore.Key
	asks     map[fleetapi.Region]int
	posts    map[fleetapi.Region]int
	download func() keystore.Key                    // what a POST registers
	refuse   func(fleetapi.Operation) error         // nil: nothing is refused
	hold     map[fleetapi.Region]chan struct{}      // a POST there waits for it
	onPost   func(fleetapi.Region) (registers bool) // nil: registers
}

func newTesla() *tesla {
	return &tesla{keys: map[fleetapi.Region]keystore.Key{}, asks: map[fleetapi.Region]int{}, posts: map[fleetapi.Region]int{},
		hold: map[fleetapi.Region]chan struct{}{}, download: func() keystore.Key { return ours }}
}

func (f *tesla) PublicKey(_ context.Context, region fleetapi.Region, _ string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asks[region]++
	if f.refuse != nil {
		if err := f.refuse(fleetapi.OpPublicKey); err != nil {
			return "", err
		}
	}
	if f.keys[region].IsZero() {
		return "", fleetapi.ErrNotRegistered
	}
	return f.keys[region].Hex(), nil
}

func (f *tesla) Register(ctx context.Context, region fleetapi.Region, _ string) (fleetapi.Account, error) {
	f.mu.Lock()
	f.posts[region]++
	hold := f.hold[region]
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return fleetapi.Account{}, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		if err := f.refuse(fleetapi.OpRegister); err != nil {
			return fleetapi.Account{}, err
		}
	}
	if f.onPost == nil || f.onPost(region) {
		f.keys[region] = f.download()
	}
	return fleetapi.Account{}, nil
}

// refusal returns the error that the client gives for a row of the catalogue.
func refusal(code fleetapi.ReasonCode, op fleetapi.Operation) *fleetapi.Error {
	for _, row := range fleetapi.Catalogue() {
		if row.Code == code {
			return &fleetapi.Error{Operation: op, Region: fleetapi.NA, Domain: "example.com", Refusal: row, Status: 422, Text: "Tesla's words", TxID: "0123"}
		}
	}
	panic("no such reason: " + code)
}

// keys is a key store in memory.
type keys struct {
	mu        sync.Mutex
	key       keystore.Key
	generated int
	restored  int
	err       error
}

func (k *keys) Key() keystore.Key { k.mu.Lock(); defer k.mu.Unlock(); return k.key }

func (k *keys) made() int { k.mu.Lock(); defer k.mu.Unlock(); return k.generated }

func (k *keys) mend() { k.mu.Lock(); defer k.mu.Unlock(); k.err = nil }

func (k *keys) set(key keystore.Key) { k.mu.Lock(); defer k.mu.Unlock(); k.key = key }

func (k *keys) Generate() (keystore.Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.generated++
	if k.err == nil {
		k.key = ours
	}
	return k.key, k.err
}

func (k *keys) Restore(key keystore.Key) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.restored++
	k.key = key
	return nil
}

// memory is a storage in memory, with locks that only one replica asks for.
type memory struct {
	mu       sync.Mutex
	data     map[string][]byte
	unlocked []string // what was written without a lock
	noLocks  error    // why there is no lock
}

type locked struct{}

func (m *memory) Guard(ctx context.Context, name string) (context.Context, func(context.Context) error, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return context.WithValue(ctx, locked{}, name), func(context.Context) error { return nil }, m.noLocks
}

func (m *memory) lock(noLocks error) { m.mu.Lock(); defer m.mu.Unlock(); m.noLocks = noLocks }

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.data[key]; ok {
		return v, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Store(ctx context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Value(locked{}) == nil {
		m.unlocked = append(m.unlocked, key)
	}
	if m.data == nil {
		m.data = map[string][]byte{}
	}
	m.data[key] = value
	return nil
}

type proberFunc func() reach.Report

func (f proberFunc) Check(context.Context, string, keystore.Key) reach.Report { return f() }

// world is everything around one registrar.
type world struct {
	t           *testing.T
	tesla       *tesla
	keys        *keys
	storage     *memory
	clientID    string
	certificate bool
	shared      bool // the storage
	look        reach.Report
	looks       int
	accept      func(key, over keystore.Key) bool
	logs        *observer.ObservedLogs
	registrar   *Registrar
	stop        func()
}

func newWorld(t *testing.T) *world {
	return &world{t: t, tesla: newTesla(), keys: &keys{key: ours}, storage: &memory{}, clientID: "id", certificate: true,
		look: reach.Report{Verdict: reach.Reachable}}
}

// site is the one site of the world.
func (w *world) site() Site {
	return Site{
		Domain: "example.com", Regions: []fleetapi.Region{fleetapi.NA, fleetapi.EU}, Accept: w.accept, Keys: w.keys,
		Application: func() Application {
			w.tesla.mu.Lock()
			defer w.tesla.mu.Unlock()
			return Application{ClientID: w.clientID, Digest: "digest of " + w.clientID, API: w.tesla}
		},
		Certificate: func() bool {
			w.tesla.mu.Lock()
			defer w.tesla.mu.Unlock()
			return w.certificate
		},
	}
}

func (w *world) prober() Prober {
	return proberFunc(func() reach.Report {
		w.tesla.mu.Lock()
		defer w.tesla.mu.Unlock()
		w.looks++
		return w.look
	})
}

// start starts a registrar; in a bubble of synctest only.
func (w *world) start() {
	w.t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	w.logs = logs
	r, err := New(Config{
		Sites:   []Site{w.site()},
		Prober:  w.prober(),
		Storage: w.storage,
		Shared:  w.shared,
		Logger:  zap.New(core),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	w.registrar = r
	w.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("Run: %v, want nil", err)
		}
	}
	synctest.Wait()
}

// change changes the world while a registrar runs in it.
func (w *world) change(f func()) {
	w.tesla.mu.Lock()
	defer w.tesla.mu.Unlock()
	f()
}

func (w *world) asks() (n int) {
	w.change(func() { n = w.tesla.asks[fleetapi.NA] })
	return n
}

func (w *world) looked() (n int) {
	w.change(func() { n = w.looks })
	return n
}

func (w *world) posts(region fleetapi.Region) (n int) {
	w.change(func() { n = w.tesla.posts[region] })
	return n
}

func (w *world) states() [2]State {
	s := w.registrar.Snapshot().Sites[0].Regions
	return [2]State{s[0].State, s[1].State}
}

func (w *world) want(want State) {
	w.t.Helper()
	synctest.Wait()
	if got := w.states(); got != [2]State{want, want} {
		w.t.Fatalf("states are %v, want both %s; %+v", got, want, w.registrar.Snapshot().Sites[0].Regions)
	}
}

func (w *world) wantPosts(na, eu int) {
	w.t.Helper()
	if w.posts(fleetapi.NA) != na || w.posts(fleetapi.EU) != eu {
		w.t.Errorf("posted %d in na and %d in eu, want %d and %d", w.posts(fleetapi.NA), w.posts(fleetapi.EU), na, eu)
	}
}

// remember puts an answer of Tesla into the storage, as an earlier process left it.
func (w *world) remember(region fleetapi.Region, a Answer) {
	w.t.Helper()
	data, err := json.Marshal(Record{Answer: &a})
	if err == nil {
		err = w.storage.Store(context.Background(), RecordKey("example.com", region), data)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// inWorld runs a test in a bubble with a world of its own.
func inWorld(name string, t *testing.T, test func(*world)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
	})
}
