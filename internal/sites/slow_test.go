package sites_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/config"
	"wellkey/internal/sites"
)

// TestSlowReadingIsTold: where reading all sites hangs at one, a person is told once
// at which, and what to do; where it is over in time, nobody is.
func TestSlowReadingIsTold(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/wellkey.yaml", []byte("regions: na\nsites: [a.example.com, b.example.com, c.example.com]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := config.New([]string{"WELLKEY_DATA_DIR=" + dir, "WELLKEY_CONFIG=" + dir + "/wellkey.yaml"}).LoadAll(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			core, logs := observer.New(zap.WarnLevel)
			answers, ended := make(chan struct{}), make(chan error)
			set := sites.New(sites.Config[string]{
				Settings: settings, Logger: zap.New(core), Close: func(string) {},
				Open: func(site config.Site, _ string) (string, error) {
					time.Sleep(time.Minute)
					if hangs && site.Domain == "b.example.com" {
						<-answers
					}
					return site.Domain, nil
				},
			})
			go func() { ended <- set.Run(ctx) }()
			time.Sleep(10*time.Minute - time.Second)
			synctest.Wait()
			if set.Loaded() == hangs || logs.Len() != 0 {
				t.Errorf("hangs %v: loaded %v, logged %v", hangs, set.Loaded(), logs.All())
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if _, served := set.Get("a.example.com"); !served {
				t.Error("what was read is not served")
			}
			if told := logs.FilterMessage("reading the sites takes very long; those that were read are served").All(); hangs && len(told) == 1 {
				f := told[0].ContextMap()
				if f["waits_for"] != "the key, the credentials and the state of b.example.com" || f["sites_read"] != int64(1) || f["for"] != 9*time.Minute || !strings.Contains(f["fix"].(string), "as the user of wellkey") {
					t.Errorf("told %v", f)
				}
			} else if len(told) != 0 || hangs {
				t.Errorf("hangs %v: told %v", hangs, told)
			}
			close(answers)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			if !set.Loaded() || set.Len() != 3 || logs.FilterMessageSnippet("reading the sites").Len() > 1 {
				t.Errorf("hangs %v: loaded %v, %d sites, logged %v", hangs, set.Loaded(), set.Len(), logs.All())
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWhatReadingWaitsFor names the site at which all reading hangs, whoever asked for
// it: that of a visitor holds up those whose turn it is; and so does the end of one.
func TestWhatReadingWaitsFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(dir+"/"+name+".example.com.yaml", []byte("regions: na\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings, err := config.New([]string{"WELLKEY_DATA_DIR=" + dir + "/data", "WELLKEY_SITES_DIR=" + dir}).LoadAll(true)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	var set *sites.Set[string]
	set = sites.New(sites.Config[string]{
		Settings: settings,
		Open: func(site config.Site, _ string) (string, error) {
			told["open "+site.Domain] = set.WaitsFor()
			return site.Domain, nil
		},
		Close: func(domain string) { told["close "+domain] = set.WaitsFor() },
	})
	expect := func(key, want string) {
		t.Helper()
		if told[key] != want {
			t.Errorf("%s: told %q, want %q", key, told[key], want)
		}
	}
	if _, ok := set.Find("c.example.com"); !ok {
		t.Fatal("c was not opened")
	}
	expect("open c.example.com", "the key, the credentials and the state of c.example.com")
	if err := os.Remove(dir + "/c.example.com.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := set.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("open b.example.com", "the key, the credentials and the state of b.example.com")
	expect("close c.example.com", "the end of the work of c.example.com")
	if got := set.WaitsFor(); got != "nothing more: all sites are read" {
		t.Errorf("at the end: told %q", got)
	}
}
