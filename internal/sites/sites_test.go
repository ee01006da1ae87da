package sites_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/config"
	"wellkey/internal/contain"
	"wellkey/internal/sites"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come. It is far more than
// anything needs, since a machine may be busy, and only a test that fails uses it.
const patience = 2 * time.Minute

// host is who opens and closes sites; what it opens is the regions as text.
type host struct {
	t      *testing.T
	dir    string
	set    *sites.Set[string]
	refuse string // a domain
	panics string // likewise

	mu    sync.Mutex
	calls []string
	news  chan struct{} // closed at the next call
}

// newHost makes a set whose settings are text, with $DIR for its directory, and
// sites_dir below it.
func newHost(t *testing.T, text string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), news: make(chan struct{})}
	if err := os.Mkdir(h.dir+"/sites", 0o700); err != nil {
		t.Fatal(err)
	}
	h.write("wellkey.yaml", text)
	loader := config.New([]string{"WELLKEY_DATA_DIR=" + h.dir, "WELLKEY_CONFIG=" + h.dir + "/wellkey.yaml"})
	load := func() (*config.Settings, error) { return loader.LoadAll(true) }
	settings, err := load()
	if err != nil {
		t.Fatal(err)
	}
	h.set = sites.New(sites.Config[string]{
		Settings: settings,
		Load:     load,
		Open: func(site config.Site, former string) (string, error) {
			if site.Domain == h.panics {
				panic("Canary7f3a")
			}
			if site.Domain == h.refuse {
				return "", errors.New("no")
			}
			h.call("open %s after %q", site.Domain, former)
			return fmt.Sprint(site.Regions), nil
		},
		Close: func(string) { h.call("close") },
	})
	return h
}

func (h *host) call(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, fmt.Sprintf(format, args...))
	close(h.news)
	h.news = make(chan struct{})
}

// write replaces a file as tools do: by a name that appears whole.
func (h *host) write(name, text string) {
	h.t.Helper()
	part := filepath.Join(h.dir, ".part")
	err := os.WriteFile(part, []byte(strings.ReplaceAll(text, "$DIR", h.dir)), 0o600)
	if err == nil {
		err = os.Rename(part, filepath.Join(h.dir, name))
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) remove(name string) {
	h.t.Helper()
	if err := os.Remove(filepath.Join(h.dir, name)); err != nil {
		h.t.Fatal(err)
	}
}

// want checks the sites, and what was called since it was asked last.
func (h *host) want(sites map[string]string, calls ...string) {
	h.t.Helper()
	got := map[string]string{}
	for domain, site := range h.set.All {
		got[domain] = site
	}
	if fmt.Sprint(got) != fmt.Sprint(sites) || h.set.Len() != len(sites) {
		h.t.Errorf("sites are %v (%d), want %v", got, h.set.Len(), sites)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.calls, calls) {
		h.t.Errorf("calls are %q, want %q", h.calls, calls)
	}
	h.calls = nil
}

// await waits until what was called since want was asked last has n lines.
func (h *host) await(n int) {
	h.t.Helper()
	late := time.After(patience)
	for {
		h.mu.Lock()
		have, news := len(h.calls), h.news
		h.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-news:
		case <-late:
			h.t.Fatalf("only %d calls after %v: %q", have, patience, h.calls)
		}
	}
}

func (h *host) reload() error { return h.set.Reload(h.t.Context()) }

func TestSitesFollowTheirSettings(t *testing.T) {
	h := newHost(t, "regions: na\nsites: [a.example.com]\nsites_dir: $DIR/sites\n")
	h.write("sites/b.example.com.yaml", "regions: eu\n")
	if err := h.reload(); err != nil {
		t.Fatal(err)
	}
	both := map[string]string{"a.example.com": "[na]", "b.example.com": "[eu]"}
	h.want(both, `open a.example.com after ""`, `open b.example.com after ""`)
	if site, ok := h.set.Get("b.example.com"); !ok || site != "[eu]" {
		t.Errorf("got %q, %v", site, ok)
	}
	if _, ok := h.set.Get("c.example.com"); ok {
		t.Error("there is a site that nobody listed")
	}
	if err := h.reload(); err != nil {
		t.Fatal(err)
	}
	h.want(both) // nothing changed, so nothing was called

	h.write("sites/b.example.com.yaml", "regions: [na, eu]\n")
	h.write("wellkey.yaml", "regions: na\nsites: [c.example.com]\nsites_dir: $DIR/sites\n")
	if err := h.reload(); err != nil {
		t.Fatal(err)
	}
	h.want(map[string]string{"c.example.com": "[na]", "b.example.com": "[na eu]"},
		`open c.example.com after ""`, `open b.example.com after "[eu]"`, "close")
}

func TestBadSiteLeavesTheOthersAlone(t *testing.T) {
	h := newHost(t, "sites_dir: $DIR/sites\n")
	for _, name := range []string{"a", "b", "c"} {
		h.write("sites/"+name+".example.com.yaml", "regions: na\n")
	}
	h.refuse = "c.example.com"
	if err := h.reload(); err == nil || err.Error() != `site "c.example.com": no` {
		t.Errorf("error %v", err)
	}
	good := map[string]string{"a.example.com": "[na]", "b.example.com": "[na]"}
	h.want(good, `open a.example.com after ""`, `open b.example.com after ""`)

	h.write("sites/a.example.com.yaml", "regions: moon\n")
	if err := h.reload(); err == nil {
		t.Error("no error for a bad site")
	}
	h.want(good) // it goes on as before
	if faults := h.set.Faults(); len(faults) != 2 || faults["a.example.com"] == nil {
		t.Errorf("faults are %v", faults)
	}

	h.refuse = ""
	h.write("sites/a.example.com.yaml", "regions: eu\n")
	if err := h.reload(); err != nil {
		t.Error(err)
	}
	h.want(map[string]string{"a.example.com": "[eu]", "b.example.com": "[na]", "c.example.com": "[na]"},
		`open a.example.com after "[na]"`, `open c.example.com after ""`)
	if faults := h.set.Faults(); len(faults) != 0 {
		t.Errorf("faults are %v", faults)
	}
}

// A directory or a file that cannot be read closes no site.
func TestUnreadableSettingsCloseNothing(t *testing.T) {
	h := newHost(t, "sites_dir: $DIR/sites\n")
	h.write("sites/a.example.com.yaml", "regions: na\n")
	if err := h.reload(); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{"a.example.com": "[na]"}
	h.want(good, `open a.example.com after ""`)

	h.write("wellkey.yaml", "sites_dir: [\n")
	if err := h.reload(); err == nil {
		t.Error("no error for a bad file")
	}
	h.want(good)
	h.write("wellkey.yaml", "sites_dir: $DIR/sites\n")
	if err := os.Rename(h.dir+"/sites", h.dir+"/elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := h.reload(); err == nil || !strings.Contains(err.Error(), "sites_dir: there is no file") {
		t.Errorf("error %v", err)
	}
	h.want(good)
}

func TestRunFollows(t *testing.T) {
	h := newHost(t, "sites_dir: $DIR/sites\n")
	h.write("sites/a.example.com.yaml", "regions: na\n")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.set.Run(ctx) }()
	h.await(1)

	h.write("sites/b.example.com.yaml", "regions: na\n")
	h.await(2)
	h.write("sites/a.example.com.yaml", "regions: eu\n")
	h.await(3)
	h.remove("sites/b.example.com.yaml")
	h.await(4)
	h.write("wellkey.yaml", "sites: [c.example.com]\nsites_dir: $DIR/sites\n")
	h.await(5)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	h.want(map[string]string{"a.example.com": "[eu]", "c.example.com": "[na eu]"},
		`open a.example.com after ""`, `open b.example.com after ""`, `open a.example.com after "[na]"`, "close", `open c.example.com after ""`)
}

// TestRunAfterPanic: whoever contains a panic in Run may call it again.
func TestRunAfterPanic(t *testing.T) {
	h := newHost(t, "regions: na\nsites: [a.example.com]\n")
	h.panics = "a.example.com"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if !contain.New("test", nil).Do(func() { _ = h.set.Run(ctx) }) {
		t.Fatal("Run did not panic")
	}
	h.panics = ""
	ended := make(chan error)
	go func() { ended <- h.set.Run(ctx) }()
	h.await(1)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	h.want(map[string]string{"a.example.com": "[na]"}, `open a.example.com after ""`)
}
