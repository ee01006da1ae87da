package faults_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/fleetsim"
	"wellkey/internal/secret"
	"wellkey/internal/storage"
	"wellkey/internal/testca"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server"
	"wellkey/server/certs"
)

// A wire is a network in memory, so that time can be simulated: nothing on it waits
// for the kernel.
type wire struct {
	mu    sync.Mutex
	ports map[string]*port // guarded by mu
}

// listen returns a listener on an address that nobody has.
func (w *wire) listen() *port {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := &port{conns: make(chan net.Conn), ended: make(chan struct{}), addr: net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1024 + len(w.ports)}}
	p.end = sync.OnceFunc(func() { close(p.ended) })
	w.ports[p.addr.String()] = p
	return p
}

// dial connects to a listener.
func (w *wire) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	w.mu.Lock()
	p := w.ports[addr]
	w.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("dialing %s: %w", addr, syscall.ECONNREFUSED)
	}
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.ended:
	case <-ctx.Done():
	}
	_ = here.Close() // a pipe's never fails, nor does the next
	_ = there.Close()
	return nil, fmt.Errorf("dialing %s: %w", addr, syscall.ECONNREFUSED)
}

// A port is a listener on a wire.
type port struct {
	conns chan net.Conn
	ended chan struct{}
	end   func()
	addr  net.TCPAddr
}

func (p *port) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}

func (p *port) Close() error   { p.end(); return nil }
func (p *port) Addr() net.Addr { return &p.addr }

// A bubble is one domain in simulated time: a Fleet API, the real registrar, client
// and storage before it, and the real public face, from which a client fetches the
// key every six hours.
type bubble struct {
	*registrar.Registrar
	t       *testing.T
	tesla   *fleetsim.Sim
	keys    *keystore.Store
	storage *storage.Directory
	logs    *observer.ObservedLogs
	metrics *prometheus.Registry // of the registrar and of the public face
	keyFile string
	key     []byte       // the key file, as it was
	ahead   atomic.Int64 // by which Tesla's clock is ahead
	start   func()       // the registrar

	mu       sync.Mutex
	requests map[fleetapi.Region][]time.Time // guarded by mu; when they came to an end
}

const (
	bubbleDomain = "keys.example.com"
	bubbleClient = "7a1c2d3e-4f50-4a61-8b72-93c4d5e6f708"
	bubbleSecret = "ta-secret.%in+a^bubble"
)

// bubbleRegions are those of a bubble.
var bubbleRegions = []fleetapi.Region{fleetapi.NA, fleetapi.EU}

// inBubble runs a test in a bubble.
func inBubble(t *testing.T, name string, test func(*bubble)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) { test(newBubble(t, dir)) })
	})
}

// reachable is a look from outside that finds the key.
type reachable struct{}

func (reachable) Check(context.Context, string, keystore.Key) reach.Report {
	return reach.Report{Verdict: reach.Reachable, At: time.Now()}
}

// newBubble starts all but the registrar, and ends all with the test.
func newBubble(t *testing.T, dir string) *bubble {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	logger := zap.New(core)
	b := &bubble{t: t, logs: logs, metrics: prometheus.NewRegistry(), keyFile: filepath.Join(dir, "key.pem"), requests: map[fleetapi.Region][]time.Time{}}
	var err error
	b.keys, err = keystore.Open(keystore.Config{Path: b.keyFile, RestoredPath: filepath.Join(dir, "restored.pem")})
	must(t, err)
	_, err = b.keys.Generate()
	must(t, err)
	b.key, err = os.ReadFile(b.keyFile)
	must(t, err)
	b.storage, err = storage.OpenDirectory(filepath.Join(dir, "state"), nil)
	must(t, err)

	signer, err := testca.NewSigner()
	must(t, err)
	leaf, err := signer.Issue(testca.LeafOptions{}, bubbleDomain)
	must(t, err)
	certFile, certKeyFile, err := leaf.WriteFiles(dir)
	must(t, err)
	served, err := certs.NewFiles(certs.FilesConfig{Domain: bubbleDomain, CertFile: certFile, KeyFile: certKeyFile})
	must(t, err)
	face, err := server.New(server.Config{Domain: bubbleDomain, HTTPSAddr: "127.0.0.1:443", Key: func(string) keystore.Key { return b.keys.Key() }, Certificates: served, Registerer: b.metrics})
	must(t, err)
	network := &wire{ports: map[string]*port{}}
	public := network.listen()
	face.Inherit("https", public)
	toUs := func(ctx context.Context, kind, _ string) (net.Conn, error) {
		return network.dial(ctx, kind, public.Addr().String())
	}

	b.tesla = fleetsim.New(fleetsim.Config{
		Regions: bubbleRegions, Dial: toUs, Roots: signer.Roots(), Clock: func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) },
		Listen: func() (net.Listener, error) { return network.listen(), nil }, OnRequest: b.note,
	})
	must(t, b.tesla.Start())
	b.tesla.AddApp(fleetsim.App{ClientID: bubbleClient, Secret: bubbleSecret, AllowedOrigins: []string{"https://" + bubbleDomain}})
	api, err := fleetapi.New(fleetapi.Config{
		Credentials: fleetapi.Credentials{ClientID: bubbleClient, ClientSecret: secret.New(bubbleSecret)},
		AuthURL:     b.tesla.AuthURL(), BaseURLs: b.tesla.BaseURLs(), Logger: logger,
		Transport: &http.Transport{DialContext: network.dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10},
	})
	must(t, err)
	application := registrar.Application{ClientID: bubbleClient, Digest: "digest", API: api}
	b.Registrar, err = registrar.New(registrar.Config{
		Sites: []registrar.Site{{
			Domain: bubbleDomain, Regions: bubbleRegions, Keys: b.keys,
			Application: func() registrar.Application { return application },
			Certificate: func() bool { return true },
		}},
		Prober: reachable{}, Storage: b.storage, Logger: logger, Registerer: b.metrics,
	})
	must(t, err)

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	run := func(what func(context.Context) error) {
		running.Go(func() {
			if err := what(ctx); err != nil {
				t.Errorf("running: %v", err)
			}
		})
	}
	run(face.Run)
	run(func(ctx context.Context) error { return b.watch(ctx, toUs, signer.Roots()) })
	b.start = func() { run(b.Run) }
	t.Cleanup(func() {
		cancel()
		running.Wait()
		must(t, b.tesla.Close())
	})
	return b
}

// watch fetches the key every six hours, each time over a new connection.
func (b *bubble) watch(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), roots *x509.CertPool) error {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: dial, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: bubbleDomain},
	}}
	want := b.keys.Key().PEM()
	for ctx.Err() == nil {
		response, err := client.Get("https://" + bubbleDomain + server.KeyPath)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
			return fmt.Errorf("the client got %s, %q, %v", response.Status, body, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(6 * time.Hour):
		}
	}
	return nil
}

// region returns how it stands with a region.
func (b *bubble) region(r fleetapi.Region) registrar.RegionSnapshot {
	return b.Snapshot().Sites[0].Regions[slices.Index(bubbleRegions, r)]
}

// register has the registrar start, and register the key in both regions.
func (b *bubble) register() {
	b.t.Helper()
	b.start()
	time.Sleep(time.Minute)
	b.wantRegistered()
}

func (b *bubble) wantRegistered() {
	b.t.Helper()
	for _, r := range bubbleRegions {
		if got := b.region(r); got.State != registrar.Registered || got.Registered != b.keys.Key() {
			b.t.Fatalf("%s is %s: %+v", r, got.State, got.Note)
		}
	}
}

// wantKept checks that the key is the one that it was, in memory and in its file.
func (b *bubble) wantKept() {
	b.t.Helper()
	data, err := os.ReadFile(b.keyFile)
	if err != nil || !bytes.Equal(data, b.key) {
		b.t.Errorf("the key file has changed, %v", err)
	}
	if parsed, err := keystore.Parse(b.key); err != nil || b.keys.Key() != parsed.Key {
		b.t.Errorf("another key is hosted: %v", err)
	}
}

// wantNoPanics checks that none was contained: each is a bug in wellkey.
func (b *bubble) wantNoPanics() {
	b.t.Helper()
	families, err := b.metrics.Gather()
	must(b.t, err)
	parts := 0
	for _, family := range families {
		if family.GetName() != "wellkey_panics_total" {
			continue
		}
		for _, part := range family.GetMetric() {
			parts++
			if n := part.GetCounter().GetValue(); n != 0 {
				b.t.Errorf("%v panics in %v", n, part.GetLabel())
			}
		}
	}
	if parts != 2 {
		b.t.Errorf("panics are counted in %d parts, want the registrar and the server", parts)
	}
}

// otherKey returns the point of a key that nobody has here.
func (b *bubble) otherKey() string {
	b.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b.t, err)
	point, err := private.PublicKey.Bytes()
	must(b.t, err)
	return hex.EncodeToString(point)
}

// note notes a request by the clock of the bubble.
func (b *bubble) note(r fleetsim.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests[r.Region] = append(b.requests[r.Region], time.Now())
}

// times returns when requests were made in a region since a time.
func (b *bubble) times(r fleetapi.Region, since time.Time) []time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.requests[r]
	return slices.Clone(all[sort.Search(len(all), func(i int) bool { return !all[i].Before(since) }):])
}

// An hour is the requests of one region within an hour.
type hour struct {
	begins time.Time
	count  int
}

// busiest returns the hour with the most of some requests, which are in order.
func busiest(times []time.Time) (most hour) {
	for i, at := range times {
		count := 0
		for _, other := range times[i:] {
			if other.Sub(at) < time.Hour {
				count++
			}
		}
		if count > most.count {
			most = hour{at, count}
		}
	}
	return most
}
