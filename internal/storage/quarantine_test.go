package storage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/storage"
)

func TestQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		core, logs := observer.New(zap.InfoLevel)
		registry := prometheus.NewRegistry()
		d := open(t, storage.Config{Path: dir, Registerer: registry, Logger: zap.New(core)})
		const certs = "certificates/ca/example.com"
		items := []struct{ key, kind string }{
			{certs + "/example.com.crt", "certificate"},
			{certs + "/example.com.key", "key"},
			{certs + "/example.com.json", "metadata"},
			{certs, "certificate"},
			{"certificates/ca/odd", "other"},
			{"acme/ca/users/default/default.json", "account"},
			{"acme/ca/users/default/default.key", "account"},
			{"registrations/example.com/eu.json", "state"},
			{"issuance.json", "state"},
			{"locks/l.lock", "lock"},
			{"something", "other"},
		}
		for i, item := range items {
			file := item.key
			if item.key == certs {
				file += "/rest"
			}
			must(t, d.Store(t.Context(), file, []byte(item.key)))
			must(t, d.Quarantine(t.Context(), item.key, "a test"))
			if d.Exists(t.Context(), item.key) {
				t.Errorf("%s is still there", item.key)
			}
			moved := epoch.Add(time.Duration(i)*time.Second).Format("quarantine/20060102T150405.000000000Z/") + file
			if got, err := d.Load(t.Context(), moved); err != nil || string(got) != item.key {
				t.Errorf("%s: got %q, %v", moved, got, err)
			}
			line := logs.FilterMessage("moved a damaged item to quarantine").FilterField(zap.String("key", item.key))
			if line.Len() != 1 || line.FilterField(zap.String("kind", item.kind)).Len() != 1 || line.FilterField(zap.String("reason", "a test")).Len() != 1 {
				t.Errorf("%s: got log %v, want one line with kind %s and the reason", item.key, line.All(), item.kind)
			}
			time.Sleep(time.Second) // of the bubble
		}
		must(t, d.Quarantine(t.Context(), "missing/key", "a test"))
		if err := d.Quarantine(t.Context(), "../outside", "a test"); err == nil {
			t.Error("a key outside: got no error")
		}
		want := "# HELP wellkey_storage_quarantined_total Damaged items moved to quarantine.\n# TYPE wellkey_storage_quarantined_total counter\n"
		for _, count := range []string{"account 2", "certificate 2", "key 1", "lock 1", "metadata 1", "other 2", "state 2"} {
			kind, n, _ := strings.Cut(count, " ")
			want += fmt.Sprintf("wellkey_storage_quarantined_total{kind=%q} %s\n", kind, n)
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "wellkey_storage_quarantined_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestMetricsAreNamedWell(t *testing.T) {
	registry := prometheus.NewRegistry()
	open(t, storage.Config{Path: t.TempDir(), Registerer: registry})
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 29 {
		t.Errorf("got %d series, %v, want 29: all kinds from the start", n, err)
	}
}

func TestQuarantineKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		core, logs := observer.New(zap.InfoLevel)
		d := open(t, storage.Config{Path: dir, Logger: zap.New(core)})
		for i := range 103 {
			must(t, os.WriteFile(filepath.Join(dir, "k"), []byte(fmt.Sprint(i)), 0o600))
			must(t, d.Quarantine(t.Context(), "k", "a test"))
			time.Sleep(time.Second) // of the bubble
		}
		entries, err := os.ReadDir(filepath.Join(dir, "quarantine"))
		must(t, err)
		if len(entries) != 100 {
			t.Fatalf("got %d items, want 100", len(entries))
		}
		if got, err := os.ReadFile(filepath.Join(dir, "quarantine", entries[0].Name(), "k")); err != nil || string(got) != "3" {
			t.Errorf("oldest item: got %q, %v, want 3", got, err)
		}
		if n := logs.FilterMessage("deleted the oldest items in quarantine").Len(); n != 3 {
			t.Errorf("got %d log lines about deletion, want 3", n)
		}
	})
}

func TestQuarantineThatIsAFile(t *testing.T) {
	dir := t.TempDir()
	d := open(t, storage.Config{Path: dir})
	must(t, d.Store(t.Context(), "quarantine", []byte("odd")))
	must(t, d.Store(t.Context(), "k", []byte("damaged")))
	must(t, d.Quarantine(t.Context(), "k", "a test"))
	for pattern, want := range map[string]string{"quarantine/*/k": "damaged", "quarantine.*": "odd"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: got %q, %v, want one", pattern, found, err)
		}
		if got, err := os.ReadFile(found[0]); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", pattern, got, err, want)
		}
	}
}

func wantWritable(t *testing.T, registry *prometheus.Registry, want int) {
	t.Helper()
	text := "# HELP wellkey_storage_writable Whether the last write to the storage succeeded.\n" +
		"# TYPE wellkey_storage_writable gauge\nwellkey_storage_writable " + fmt.Sprint(want) + "\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(text), "wellkey_storage_writable"); err != nil {
		t.Error(err)
	}
}
