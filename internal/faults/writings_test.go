package faults_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"wellkey/internal/cli"
	"wellkey/internal/storage"
	"wellkey/keystore"
	"wellkey/server/certs/dns01"
)

// writings are all kinds of what wellkey writes by itself or at a command, but for
// certificates with the record of orders, and rotations, whose steps depend on each
// other: those have tests of their own.
func writings(dir, store string) []writing {
	state := sync.OnceValues(func() (*storage.Directory, error) {
		return storage.OpenDirectory(filepath.Join(dir, "state"), nil)
	})
	return []writing{
		value(state), lock(state), quarantinedItem(state),
		localCopy(dir, store),
		generated(dir), restored(dir),
		accounts(dir),
		siteFiles(dir), migrated(dir),
	}
}

// value is an item of the state: a registration, a record of orders, a word of the
// operator.
func value(state func() (*storage.Directory, error)) writing {
	const key = "registrations/keys.example.com/eu.json"
	return writing{
		name: "value",
		write: func(n int) error {
			d, err := state()
			if err != nil {
				return err
			}
			return d.Store(context.Background(), key, version(n))
		},
		holds: func(n int) (bool, error) { return stored(state, key, n) },
	}
}

// stored reports whether an item is version n. One that is not there is no error.
func stored(state func() (*storage.Directory, error), key string, n int) (bool, error) {
	d, err := state()
	if err != nil {
		return false, err
	}
	text, err := d.Load(context.Background(), key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return isVersion(text, n)
}

// lock is a lock, and an item that is written under it. Who reads has to get the lock
// of the process that is gone.
func lock(state func() (*storage.Directory, error)) writing {
	const name, key = "round", "accepted/keys.example.com.json"
	under := func(f func(context.Context, *storage.Directory) error) error {
		d, err := state()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		guarded, release, err := d.Guard(ctx, name)
		if err != nil {
			return fmt.Errorf("getting the lock: %w", err)
		}
		return errors.Join(f(guarded, d), release(ctx))
	}
	return writing{
		name: "lock",
		write: func(n int) error {
			return under(func(ctx context.Context, d *storage.Directory) error { return d.Store(ctx, key, version(n)) })
		},
		holds: func(n int) (held bool, err error) {
			err = under(func(context.Context, *storage.Directory) error {
				held, err = stored(state, key, n)
				return err
			})
			return held, err
		},
	}
}

// quarantinedItem is an item that is moved to quarantine.
func quarantinedItem(state func() (*storage.Directory, error)) writing {
	return writing{
		name: "quarantine",
		write: func(n int) error {
			d, err := state()
			if err != nil {
				return err
			}
			key := fmt.Sprintf("damaged/%d", n)
			if err := d.Store(context.Background(), key, version(n)); err != nil {
				return err
			}
			return d.Quarantine(context.Background(), key, "the test says so")
		},
		holds: func(n int) (bool, error) {
			key := fmt.Sprintf("damaged/%d", n)
			inPlace, err := stored(state, key, n)
			if err != nil {
				return false, err
			}
			d, err := state()
			if err != nil {
				return false, err
			}
			places, err := d.List(context.Background(), "quarantine", false)
			if errors.Is(err, fs.ErrNotExist) {
				return inPlace, nil
			}
			moved := 0
			for _, place := range places {
				held, err := stored(state, place+"/"+key, n)
				if err != nil {
					return false, err
				}
				if held {
					moved++
				}
			}
			if inPlace && moved > 0 || moved > 1 {
				return false, fmt.Errorf("it is in place: %v, and in quarantine %d times", inPlace, moved)
			}
			return moved == 1, err
		},
	}
}

// localCopy is what is kept of a shared store on the local disk. It is read as after
// a start while the store is down.
func localCopy(dir, store string) writing {
	const key = "certificates/ca/keys.example.com/keys.example.com.json"
	open := func(url string) (*storage.Store, error) {
		return storage.Open(storage.Config{Shared: storage.Shared{URL: url, Copy: filepath.Join(dir, "copy")}})
	}
	shared := sync.OnceValues(func() (*storage.Store, error) { return open(store) })
	return writing{
		name: "copy",
		write: func(n int) error {
			s, err := shared()
			if err != nil {
				return err
			}
			return s.Store(context.Background(), key, version(n))
		},
		holds: func(n int) (bool, error) {
			down, err := open("redis://127.0.0.1:1/0")
			if err != nil {
				return false, err
			}
			defer down.Close()
			text, err := down.Load(context.Background(), key)
			if err != nil {
				return false, nil // none yet; one that was there is missed by its version
			}
			return isVersion(text, n)
		},
	}
}

// generated is a key that is made where there is none.
func generated(dir string) writing {
	open := func(n int) (*keystore.Store, error) {
		return keystore.Open(keystore.Config{Path: filepath.Join(dir, "generated", fmt.Sprint(n), "key.pem")})
	}
	return writing{
		name: "key", apart: true,
		write: func(n int) error {
			keys, err := open(n)
			if err != nil {
				return err
			}
			_, err = keys.Generate()
			return err
		},
		holds: func(n int) (bool, error) {
			keys, err := open(n)
			if err != nil {
				return false, err
			}
			return !keys.Key().IsZero() && keys.Status().Private, nil
		},
	}
}

// restored is the public half of a lost key, as Tesla gave it back.
func restored(dir string) writing {
	given := func(n int) string { return filepath.Join(dir, "given", fmt.Sprint(n)+".pem") }
	open := func(n int) (*keystore.Store, error) {
		at := filepath.Join(dir, "restored", fmt.Sprint(n))
		return keystore.Open(keystore.Config{Path: filepath.Join(at, "key.pem"), RestoredPath: filepath.Join(at, "restored-key.pem")})
	}
	return writing{
		name: "restored", apart: true,
		write: func(n int) error {
			private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return err
			}
			der, err := x509.MarshalPKIXPublicKey(private.Public())
			if err != nil {
				return err
			}
			text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			parsed, err := keystore.Parse(text)
			if err != nil {
				return err
			}
			keys, err := open(n)
			if err := errors.Join(err, os.MkdirAll(filepath.Dir(given(n)), 0o700), os.WriteFile(given(n), text, 0o600)); err != nil {
				return err
			}
			return keys.Restore(parsed.Key)
		},
		holds: func(n int) (bool, error) {
			keys, err := open(n)
			if err != nil || keys.Key().IsZero() {
				return false, err
			}
			text, err := os.ReadFile(given(n))
			if err == nil && !bytes.Equal(text, keys.Key().PEM()) {
				err = errors.New("it is another key than the one that Tesla gave")
			}
			return err == nil, err
		},
	}
}

// accounts are those at an acme-dns server, of which nobody gets a second copy.
func accounts(dir string) writing {
	file := func(n int) string { return filepath.Join(dir, "acmedns", fmt.Sprintf("%d.json", n/10_000)) }
	name := func(n int) string { return fmt.Sprintf("d%d.acme-dns.example", n) }
	var registering atomic.Int64
	server := sync.OnceValues(func() (string, error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		mux := http.NewServeMux()
		mux.HandleFunc("POST /register", func(w http.ResponseWriter, _ *http.Request) {
			n := int(registering.Load())
			_ = json.NewEncoder(w).Encode(map[string]string{
				"fulldomain": name(n), "subdomain": fmt.Sprint(n), "username": "user", "password": string(version(n)),
			})
		})
		mux.HandleFunc("POST /update", func(http.ResponseWriter, *http.Request) {})
		go func() { _ = http.Serve(listener, mux) }() // until the process is killed
		return "http://" + listener.Addr().String(), nil
	})
	return writing{
		name: "accounts", apart: true,
		write: func(n int) error {
			url, err := server()
			if err != nil {
				return err
			}
			registering.Store(int64(n))
			provider := dns01.NewACMEDNS(dns01.ACMEDNS{URL: url, AccountFile: file(n)})
			return provider.Add(context.Background(), dns01.Record{Domain: fmt.Sprintf("d%d.example.com", n), Name: name(n), Value: "v"})
		},
		holds: func(n int) (bool, error) {
			text, err := os.ReadFile(file(n))
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			var all map[string]struct{ Password string }
			if err := errors.Join(err, json.Unmarshal(text, &all)); err != nil {
				return false, err
			}
			account, there := all[fmt.Sprintf("d%d.example.com", n)]
			if !there {
				return false, nil
			}
			return isVersion([]byte(account.Password), n)
		},
	}
}

// siteFiles are added, and each is removed after the next was added.
func siteFiles(dir string) writing {
	sites := filepath.Join(dir, "sites")
	name := func(n int) string { return fmt.Sprintf("site%d.example.com", n) }
	return writing{
		name: "sites", apart: true,
		write: func(n int) error {
			settings := []string{"WELLKEY_SITES_DIR=" + sites, "WELLKEY_DATA_DIR=" + filepath.Join(dir, "data")}
			err := command(settings, "sites", "add", name(n), "--regions", "eu")
			if n%10_000 > 0 {
				err = errors.Join(err, command(settings, "sites", "remove", name(n-1), "--yes"))
			}
			return err
		},
		holds: func(n int) (bool, error) {
			removed, err := filepath.Glob(filepath.Join(sites, "removed", "*-"+name(n)+".yaml"))
			added, err2 := filepath.Glob(filepath.Join(sites, name(n)+".yaml"))
			places := append(removed, added...)
			if err := errors.Join(err, err2); err != nil || len(places) == 0 {
				return false, err
			}
			text, err := os.ReadFile(places[0])
			if err == nil && (string(text) != "regions: eu\n" || len(places) > 1) {
				err = fmt.Errorf("it is %q, in %q", text, places)
			}
			return err == nil, err
		},
	}
}

// migrated are copies of a whole state. Where one was broken off, the reader runs the
// command again.
func migrated(dir string) writing {
	const items = 6
	from, to := filepath.Join(dir, "from"), func(n int) string { return filepath.Join(dir, "to", fmt.Sprint(n)) }
	source := sync.OnceValue(func() error {
		d, err := storage.OpenDirectory(filepath.Join(from, "state"), nil)
		for i := range items {
			err = errors.Join(err, d.Store(context.Background(), fmt.Sprintf("registrations/d%d/eu.json", i), version(i)))
		}
		return err
	})
	write := func(n int) error {
		if err := source(); err != nil {
			return err
		}
		return command(nil, "migrate", from, to(n))
	}
	count := func(n int) (count int, err error) {
		d, err := storage.OpenDirectory(filepath.Join(to(n), "state"), nil)
		for i := 0; i < items && err == nil; i++ {
			var is bool
			is, err = stored(func() (*storage.Directory, error) { return d, nil }, fmt.Sprintf("registrations/d%d/eu.json", i), i)
			if is {
				count++
			}
		}
		return count, err
	}
	return writing{
		name: "migration", apart: true,
		write: write,
		holds: func(n int) (bool, error) {
			if _, err := os.Stat(to(n)); errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			if all, err := count(n); err != nil || all == items {
				return err == nil, err
			}
			if err := write(n); err != nil {
				return false, fmt.Errorf("running it again: %w", err)
			}
			all, err := count(n)
			return all == items, err
		},
	}
}

// command runs a command of wellkey in this process.
func command(settings []string, args ...string) error {
	var said bytes.Buffer
	if code := cli.Run(context.Background(), cli.Process{Args: args, Environ: settings, Stdin: &bytes.Buffer{}, Stdout: &said, Stderr: &said}); code != 0 {
		return fmt.Errorf("%q ended with %d: %q", args, code, said.String())
	}
	return nil
}
