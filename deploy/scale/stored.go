package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"wellkey/internal/testca"
	"wellkey/internal/testsites"
	"wellkey/internal/testworld"
)

// worldDomain is the domain that a world is made for; it hosts nothing here.
const worldDomain = "world.scale.example.com"

// added is how many sites are added to those that are there.
const added = 5

// A count is what was measured with a number of sites in the storage.
type count struct {
	sites          int
	first          time.Duration // from exec to the first 200 of a random site
	loaded         time.Duration // from exec to the last site read
	looked         time.Duration // from exec to the last first look from outside; 0 = not within patience
	looks          int           // how many were made
	loadedShare    float64       // bytes of memory of its own (PSS), when all were read
	memory, share  float64       // bytes resident, and of its own, when all were looked at
	scraped        scrape
	idle           float64       // part of a processor, then
	add, worstAdd  time.Duration // from a file in the directory to the first 200
	stopped        time.Duration
	one, few, many rate
}

// stored measures wellkey with sites that were hosted before.
func stored(ctx context.Context, o options, dir string, t *tables, say func(string, ...any)) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	signer, err := testca.NewSigner()
	if err != nil {
		return err
	}
	w, err := testworld.Start(testworld.Config{Domain: worldDomain, Dir: dir, FormerRoots: signer.RootsPEM()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	l, err := testsites.New(w, dir, signer)
	if err != nil {
		return err
	}
	listed := 0
	for _, n := range o.sites {
		began := time.Now()
		if err := l.Lay(ctx, n+added); err != nil {
			return err
		}
		for ; listed < n; listed++ {
			w.DNS.Set(testsites.Domain(listed), "A "+w.Host())
			if err := l.List(testsites.Domain(listed), ""); err != nil {
				return err
			}
		}
		say("%d sites: laid in %v", n, time.Since(began).Round(time.Millisecond))
		c, err := measureCount(ctx, o, w, l, n, say)
		if err != nil {
			return fmt.Errorf("with %d sites: %w", n, err)
		}
		listed += added
		t.many(&c)
		t.counts = append(t.counts, c)
	}
	t.handshakes()
	return nil
}

// measureCount measures with n sites. It leaves those that it adds.
func measureCount(ctx context.Context, o options, w *testworld.World, l *testsites.Layer, n int, say func(string, ...any)) (c count, err error) {
	c = count{sites: n}
	v := newVisitor(w)
	p, err := start(w, o.binary, l.SitesDir)
	if err != nil {
		return c, err
	}
	defer func() {
		took, stopErr := p.stop(o.patience)
		c.stopped, err = took, errors.Join(err, stopErr)
	}()
	at, err := v.first(ctx, testsites.Domain(rand.IntN(n)), o.patience)
	if err != nil {
		return c, fmt.Errorf("%w\n%s", err, p.log.tail())
	}
	c.first = at.Sub(p.began)
	if err := until(ctx, o.patience, "all sites", func() bool { return !p.log.loaded().IsZero() }); err != nil {
		return c, err
	}
	c.loaded = p.log.loaded().Sub(p.began)
	if c.loadedShare, err = p.share(); err != nil {
		return c, err
	}
	say("%d sites: the first after %v, all after %v", n, c.first.Round(time.Millisecond), c.loaded.Round(time.Millisecond))
	if until(ctx, o.patience, "all looks", func() bool { return int(p.log.seen.Load()) >= n }) == nil {
		c.looked = time.Since(p.began)
	}
	c.looks = int(p.log.seen.Load())
	say("%d sites: %d looked at from outside after %v", n, c.looks, time.Since(p.began).Round(time.Millisecond))
	resident, err := testworld.Memory(p.cmd.Process.Pid, testworld.Resident)
	if err != nil {
		return c, err
	}
	c.memory = float64(resident)
	if c.share, err = p.share(); err != nil {
		return c, err
	}
	if c.idle, err = p.idle(ctx, min(5*time.Second, o.handshaking)); err != nil {
		return c, err
	}
	if err := c.compare(ctx, o, v, p, n); err != nil {
		return c, err
	}
	if err := c.addSites(ctx, o, w, l, v, n); err != nil {
		return c, fmt.Errorf("%w\n%s", err, p.log.tail())
	}
	say("%d sites: added one in %v", n, c.add.Round(time.Millisecond))
	var failed error
	if c.scraped, failed = p.scrape(ctx, o.patience); failed != nil { // last, since it takes memory
		say("%d sites: no metrics: %v", n, failed) // which is a measurement, too
	}
	return c, ctx.Err()
}

// addSites adds sites to n that are there, one after the other.
func (c *count) addSites(ctx context.Context, o options, w *testworld.World, l *testsites.Layer, v visitor, n int) error {
	var took []time.Duration
	for i := range added {
		domain := testsites.Domain(n + i)
		w.DNS.Set(domain, "A "+w.Host())
		began := time.Now()
		if err := l.List(domain, ""); err != nil {
			return err
		}
		at, err := v.first(ctx, domain, o.patience)
		if err != nil {
			return err
		}
		took = append(took, at.Sub(began))
	}
	c.add, c.worstAdd = median(took), maximum(took)
	return nil
}
