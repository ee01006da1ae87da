package certs_test

import (
	"context"
	"strings"
	"testing"

	"wellkey/internal/storage"
	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// A fleetingStorage says that it does not last.
type fleetingStorage struct{ *storage.Directory }

func (fleetingStorage) Ephemeral(context.Context) (bool, string) { return true, "it is on a tmpfs" }

func TestEphemeralStorage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		counts, allow, lasts bool
		orders               int
	}{
		"production":           {true, false, false, 0},
		"production, allowed":  {true, true, false, 1},
		"production, a volume": {true, false, true, 1},
		"a CA on this machine": {false, false, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "fleeting-"+strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(name))+".test", testca.Config{})
			r.counts = test.counts
			cfg := r.config(t)
			cfg.AllowEphemeral = test.allow
			if !test.lasts {
				cfg.Storage = fleetingStorage{r.storage(t)}
			} else {
				cfg.Storage = lastingStorage{r.storage(t)}
			}
			m := r.start(t, cfg)
			m.settle(t)
			if n := r.ca.Orders(); n != test.orders {
				t.Errorf("got %d orders, want %d", n, test.orders)
			}
			if test.orders > 0 {
				r.leaf(t, m, r.now())
				return
			}
			last := m.Status().LastError
			if last == nil || last.Reason != certs.ReasonEphemeral || !strings.Contains(last.Text, "tmpfs") ||
				!strings.Contains(last.Fix, "volumes:") || !strings.Contains(last.Fix, "allow_ephemeral_storage") {
				t.Errorf("got %+v, want what to do", last)
			}
			if n := m.Status().Attempts; n != 0 {
				t.Errorf("got %d attempts, want none", n)
			}
		})
	}
}

// A lastingStorage says that it lasts, wherever the tests run.
type lastingStorage struct{ *storage.Directory }

func (lastingStorage) Ephemeral(context.Context) (bool, string) { return false, "" }

func TestWhichCACounts(t *testing.T) {
	for name, want := range map[string]bool{
		"letsencrypt": true, "letsencrypt-staging": false, "zerossl": true, "google": true,
		"https://acme-staging-v02.api.letsencrypt.org/directory": false,
		"https://ca.example.com/dir":                             true,
		"https://127.0.0.1:14000/dir":                            false,
		"https://[::1]:14000/dir":                                false,
		"https://localhost/dir":                                  false,
		"https://192.168.1.4/dir":                                true,
	} {
		d, err := certs.ResolveDirectory(name)
		if err != nil || certs.Production(d) != want {
			t.Errorf("%s: got %t, %v, want %t", name, certs.Production(d), err, want)
		}
	}
}
