package sites_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

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
