package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/metrics"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/internal/config"
	"wellkey/internal/sites"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server/certs"
)

type nobody struct{}

func (nobody) Check(context.Context, string, keystore.Key) reach.Report { return reach.Report{} }
func (nobody) Load(context.Context, string) ([]byte, error)             { return nil, os.ErrNotExist }
func (nobody) Store(context.Context, string, []byte) error              { return nil }

// resting is certificates that are worked on until somebody asks whether they are.
type resting struct {
	certs.None
	asked func()
}

func (r resting) Resting() bool { r.asked(); return true }

// manySettings returns settings that list many sites.
func manySettings(t *testing.T) *config.Settings {
	t.Helper()
	dir := t.TempDir()
	for i := range manySites {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("s%d.example.com.yaml", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings, err := config.New([]string{"WELLKEY_DATA_DIR=" + dir + "/data", "WELLKEY_SITES_DIR=" + dir}).LoadAll(true)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// TestLoadingManySites: once many sites are read, and while what follows goes on,
// garbage is collected early, and when that is over as before. GOGC is the process's, so nothing runs beside it.
func TestLoadingManySites(t *testing.T) {
	settings := manySettings(t)
	usual := gogc()
	var whileLoading, afterwards atomic.Uint64
	d := &daemon{settings: settings, loaded: make(chan struct{}), settled: make(chan struct{})}
	d.certificates = resting{asked: func() { afterwards.Store(gogc()) }}
	var err error
	if d.registrar, err = registrar.New(registrar.Config{Prober: nobody{}, Storage: nobody{}}); err != nil {
		t.Fatal(err)
	}
	d.sites = sites.New(sites.Config[*hosted]{
		Settings: settings,
		Open:     func(config.Site, *hosted) (*hosted, error) { whileLoading.Store(gogc()); return &hosted{}, nil },
		Close:    func(*hosted) {},
		Loaded:   func(int) { close(d.loaded) },
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error)
	go func() { ended <- d.hostSites(ctx) }()
	select {
	case <-ctx.Done():
		t.Fatal("it is never over")
	case <-d.settled:
	}
	if whileLoading.Load() != usual || afterwards.Load() != loadingPercent || gogc() != usual || d.sites.Len() != manySites {
		t.Errorf("GOGC was %d while %d sites were read, %d then, and is %d; usual is %d",
			whileLoading.Load(), d.sites.Len(), afterwards.Load(), gogc(), usual)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func gogc() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestManySitesAreReadFirst: nothing is registered before all of many sites are read,
// and a stop does not wait for that.
func TestManySitesAreReadFirst(t *testing.T) {
	settings := manySettings(t)
	for _, loaded := range []bool{false, true} {
		asked := make(chan struct{}, 1)
		d := &daemon{settings: settings, loaded: make(chan struct{})}
		var err error
		d.registrar, err = registrar.New(registrar.Config{Prober: nobody{}, Storage: nobody{}, Sites: []registrar.Site{{
			Domain: "s0.example.com", Regions: []fleetapi.Region{fleetapi.EU}, Keys: noKeys{},
			Application: func() registrar.Application {
				select {
				case asked <- struct{}{}:
				default:
				}
				return registrar.Application{}
			},
			Certificate: func() bool { return false },
		}}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.register(ctx) }()
		if loaded {
			close(d.loaded)
			<-asked
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if !loaded && len(asked) > 0 {
			t.Error("a site was worked on before all were read")
		}
		ctx, cancel = context.WithCancel(t.Context())
		began := make(chan struct{})
		d.certificates = beginning{began: began}
		go func() { ended <- d.certify(ctx) }()
		if loaded {
			<-began
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		select {
		case <-began:
			if !loaded {
				t.Error("certificates were worked on before all sites were read")
			}
		default:
		}
	}
}

// TestLoadingThatNeverEnds: one of many sites that reading them all never comes past
// keeps the others from nothing for longer than a while.
func TestLoadingThatNeverEnds(t *testing.T) {
	t.Parallel()
	settings := manySettings(t)
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{})
		d := &daemon{settings: settings, loaded: make(chan struct{}), certificates: beginning{began: began}}
		since := time.Now()
		if err := d.certify(t.Context()); err != nil {
			t.Error(err)
		}
		<-began
		if took := time.Since(since); took != longestLoading {
			t.Errorf("the work for the certificates begins after %v, want %v", took, longestLoading)
		}
		since = time.Now()
		d.settle(t.Context())
		if took := time.Since(since); took != longestLoading {
			t.Errorf("the start is over after %v, want %v", took, longestLoading)
		}
	})
}

// beginning is certificates that tell when the work for them begins, unless it ends at
// once.
type beginning struct {
	certs.None
	began chan struct{}
}

func (b beginning) Run(ctx context.Context) error {
	if ctx.Err() == nil {
		close(b.began)
	}
	return nil
}

type noKeys struct{}

func (noKeys) Key() keystore.Key               { return keystore.Key{} }
func (noKeys) Generate() (keystore.Key, error) { return keystore.Key{}, os.ErrPermission }
func (noKeys) Restore(keystore.Key) error      { return os.ErrPermission }
