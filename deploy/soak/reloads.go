package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"wellkey/internal/pause"
	"wellkey/internal/testworld"
)

// reloadInterval is how often the operator does something.
const reloadInterval = 4 * time.Second

// A deed is something that the operator does.
type deed struct {
	name string
	do   func(context.Context, *site) error
}

// deeds returns all that the operator does, in turns: with each of the steady
// sites, or with those that come and go.
func (s *soak) deeds() []deed {
	var guest *site
	return []deed{
		{"key file touched", func(_ context.Context, of *site) error {
			now := time.Now()
			return os.Chtimes(of.keyFile, now, now)
		}},
		{"site added", func(ctx context.Context, _ *site) (err error) {
			if guest, err = s.guest(); err != nil {
				return err
			}
			return s.add(ctx, guest)
		}},
		{"key file replaced by the same", func(_ context.Context, of *site) error { return swap(of.keyFile, of.key) }},
		{"credentials changed", func(_ context.Context, of *site) error { return of.credentials("ta-secret.not+the+right+one") }},
		{"SIGHUP", func(context.Context, *site) error { return s.p.Signal(syscall.SIGHUP) }},
		{"credentials changed back", func(_ context.Context, of *site) error { return of.credentials(testworld.SecretOf(of.domain)) }},
		{"site removed", func(ctx context.Context, _ *site) error { return s.remove(ctx, guest) }},
		{"renewal asked for", s.renew},
	}
}

// reload does all of it in turns until ctx is done, and leaves the sites as they
// were.
func (s *soak) reload(ctx context.Context) {
	deeds := s.deeds()
	for n := 0; pause.For(ctx, reloadInterval) == nil; n++ {
		d, of := deeds[n%len(deeds)], s.steady[n/len(deeds)%len(s.steady)]
		began := time.Now()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		err := d.do(limited, of)
		cancel()
		s.tallies.add(d.name, true, time.Since(began), err)
	}
	for _, of := range s.passing {
		_ = of.remove() // it may be away already
	}
}

// orderPatience is how long a new site may take until it is served.
const orderPatience = 30 * time.Second

// add adds a site and waits until it is served. One that waits for a CA which answered
// with a fault, to it or to another site, is not waited for: wellkey says so, and comes
// back to the CA after a minute or more.
func (s *soak) add(ctx context.Context, guest *site) error {
	limited, cancel := context.WithTimeout(ctx, orderPatience)
	defer cancel()
	err := errors.Join(guest.add(), s.served(limited, guest))
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	status, failed := s.w.Status(ctx)
	for _, view := range status.Sites {
		if last := view.Certificate.LastError; view.Domain == guest.domain && last != nil && view.Certificate.NextAttempt.After(last.At) {
			s.faults.heldUp.Add(1)
			s.say("%s waits for the CA, which failed: %s", guest.domain, last.Text)
			return nil
		}
	}
	return errors.Join(err, failed)
}

// guest returns a site to be added: mostly one that was never there, so that
// whatever wellkey remembers of those that have gone adds up.
func (s *soak) guest() (*site, error) {
	if n := len(s.passing); n > 0 && mathrand.IntN(4) == 0 {
		return s.passing[mathrand.IntN(n)], nil
	}
	guest, err := newSite(s.w, s.dir, steadySites+len(s.passing))
	if err == nil {
		s.passing = append(s.passing, guest)
	}
	return guest, err
}

// remove takes a site away and waits until it is no longer served.
func (s *soak) remove(ctx context.Context, of *site) error {
	if err := of.remove(); err != nil {
		return err
	}
	for {
		if _, err := s.w.FetchOf(ctx, of.domain); err != nil {
			return ctx.Err() // there is no certificate for it
		}
		if err := pause.For(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("%s is served although it was removed: %w", of.domain, err)
		}
	}
}

// renew has a certificate renewed as an operator does, by the command.
func (s *soak) renew(ctx context.Context, of *site) error {
	cmd := exec.CommandContext(ctx, s.o.binary, "renew", "--now", "--domain", of.domain)
	cmd.Env = append([]string{"HOME=" + s.dir}, s.w.Environ(s.settings()...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("renewing: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// publicKey returns a new key, in the form in which it is served.
func publicKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
