package sites_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/config"
	"wellkey/internal/sites"
)

// rivals makes a set of three sites, of which b and c want the same, so that the one
// that comes second is refused.
func rivals(t *testing.T) (set *sites.Set[string], opened *[]string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name+".example.com.yaml"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings, err := config.New([]string{"WELLKEY_DATA_DIR=" + dir + "/data", "WELLKEY_SITES_DIR=" + dir}).LoadAll(true)
	if err != nil {
		t.Fatal(err)
	}
	opened = new([]string)
	owner := ""
	return sites.New(sites.Config[string]{
		Settings: settings,
		Open: func(site config.Site, _ string) (string, error) {
			if site.Domain != "a.example.com" {
				if owner != "" {
					return "", errors.New("taken")
				}
				owner = site.Domain
			}
			*opened = append(*opened, site.Domain)
			return site.Domain, nil
		},
		Close: func(domain string) {
			if owner == domain {
				owner = ""
			}
		},
	}), opened
}

func TestFindOpensBeforeItsTurn(t *testing.T) {
	t.Parallel()
	set, opened := rivals(t)
	for range 2 {
		if got, ok := set.Find("b.example.com"); !ok || got != "b.example.com" {
			t.Fatalf("got %q, %v", got, ok)
		}
	}
	for _, none := range []string{"none.example.com", "../a.example.com", "", "A.example.com"} {
		if _, ok := set.Find(none); ok {
			t.Errorf("there is a site %q", none)
		}
	}
	if want := []string{"b.example.com"}; !slices.Equal(*opened, want) || set.Len() != 1 {
		t.Errorf("opened %q, want %q", *opened, want)
	}
	if err := set.Reload(t.Context()); err == nil {
		t.Error("nobody tells that c is refused")
	}
	if _, ok := set.Find("c.example.com"); ok || set.Len() != 2 || set.Faults()["c.example.com"] == nil {
		t.Errorf("%d sites, faults %v", set.Len(), set.Faults())
	}
}

// TestVisitorsDoNotDecide: which of two rivals is refused is the same whoever is
// visited first.
func TestVisitorsDoNotDecide(t *testing.T) {
	t.Parallel()
	set, _ := rivals(t)
	if _, ok := set.Find("c.example.com"); !ok {
		t.Fatal("c was not opened")
	}
	_ = set.Reload(t.Context()) // looked at below
	_, b := set.Get("b.example.com")
	_, c := set.Get("c.example.com")
	if !b || c || set.Len() != 2 || set.Faults()["c.example.com"] == nil || set.Faults()["b.example.com"] != nil {
		t.Errorf("b %v, c %v, faults %v", b, c, set.Faults())
	}
}

// TestPipeInSitesDir: a pipe in the place of one site's file, to which nobody writes,
// keeps neither those waiting who visit it, nor the other sites.
func TestPipeInSitesDir(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sites_dir: $DIR/sites\n")
	h.write("sites/b.example.com.yaml", "")
	path := filepath.Join(h.dir, "sites/a.example.com.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		if _, ok := h.set.Find("a.example.com"); ok {
			t.Error("a pipe is a site")
		}
		if _, ok := h.set.Find("b.example.com"); !ok {
			t.Error("the other site was not opened")
		}
		done <- h.reload()
	}()
	want := fmt.Sprintf(`site "a.example.com": %q is a pipe, a socket or a device. Put a regular file in its place, or name one: `, path)
	select {
	case err := <-done:
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s ...", err, want)
		}
	case <-time.After(patience):
		t.Fatal("who reads the sites waits for a writer")
	}
	h.want(map[string]string{"b.example.com": "[na eu]"}, `open b.example.com after ""`, "close", `open b.example.com after ""`)
	h.write("sites/a.example.com.yaml", "regions: na\n")
	if err := h.reload(); err != nil {
		t.Error(err)
	}
	h.want(map[string]string{"a.example.com": "[na]", "b.example.com": "[na eu]"}, `open a.example.com after ""`)
}
