package sites_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/config"
	"wellkey/internal/sites"
)

// many is how many sites a process hosts here.
const many = 10_000

// newMany makes a set that has read that many sites from their files. Opened gets
// the domain of each site that is opened later.
func newMany(tb testing.TB, n int) (set *sites.Set[int], dir string, opened chan string) {
	tb.Helper()
	dir = tb.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("s%d.example.com.yaml", i)), []byte("regions: [na, eu]\n"), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	settings, err := config.New([]string{"WELLKEY_DATA_DIR=" + dir + "/data", "WELLKEY_SITES_DIR=" + dir}).LoadAll(true)
	if err != nil {
		tb.Fatal(err)
	}
	opened = make(chan string, 1)
	set = sites.New(sites.Config[int]{
		Settings: settings,
		Open: func(site config.Site, former int) (int, error) {
			if strings.HasPrefix(site.Domain, "new") {
				select {
				case opened <- site.Domain:
				default:
				}
			}
			return former + 1, nil
		},
		Close: func(int) {},
	})
	return set, dir, opened
}

// TestOneOfMany: beside ten thousand sites, one that is added or changed is taken up
// within seconds, and nothing else is opened again.
func TestOneOfMany(t *testing.T) {
	set, dir, opened := newMany(t, many)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error)
	go func() { ended <- set.Run(ctx) }()
	late := time.After(patience)
	for !set.Loaded() {
		select {
		case <-late:
			t.Fatalf("only %d sites after %v", set.Len(), patience)
		case <-time.After(5 * time.Millisecond):
		}
	}
	began := time.Now()
	if err := os.WriteFile(filepath.Join(dir, "new.example.com.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-opened:
	case <-late:
		t.Fatal("the new site was not opened")
	}
	// All that it waits for is that the file rests for 200 ms; a busy machine may
	// take much longer.
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("one site more took %v", took)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if set.Len() != many+1 {
		t.Errorf("%d sites", set.Len())
	}
	for domain, count := range set.All {
		if count != 1 {
			t.Fatalf("%s was opened %d times", domain, count)
		}
	}
}

// TestOneCostsOne: what one changed site allocates is little, and does not grow with
// the number of those beside it.
func TestOneCostsOne(t *testing.T) {
	defer goleak.VerifyNone(t)
	cost := func(n int) float64 {
		set, dir, _ := newMany(t, n)
		if err := set.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		path, even := filepath.Join(dir, "s0.example.com.yaml"), false
		return testing.AllocsPerRun(20, func() {
			even = !even
			text := "regions: [na]\n"
			if even {
				text = "regions: [eu]\n"
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			set.Update("s0.example.com")
		})
	}
	few, all := cost(1000), cost(20_000)
	t.Logf("%.0f among 1,000, %.0f among 20,000", few, all)
	if all > few+20 || few > 250 {
		t.Errorf("one site among 20,000 allocates %.0f times, and among 1,000 %.0f times", all, few)
	}
}

// BenchmarkUpdate is what one changed file costs among ten thousand.
func BenchmarkUpdate(b *testing.B) {
	set, dir, _ := newMany(b, many)
	if err := set.Reload(b.Context()); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, "s0.example.com.yaml")
	texts := [2][]byte{[]byte("regions: na\n"), []byte("regions: eu\n")}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := os.WriteFile(path, texts[i%2], 0o600); err != nil {
			b.Fatal(err)
		}
		set.Update("s0.example.com")
	}
}
