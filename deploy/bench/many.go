package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"wellkey/internal/pause"
	"wellkey/internal/testhost"
	"wellkey/internal/testsites"
	"wellkey/internal/testworld"
)

// A crowd is the sites of a process that hosts many, laid into the storage.
type crowd struct {
	world *testworld.World
	layer *testsites.Layer
	n     int
}

// crowd returns n sites, which are laid when they are first asked for.
func (s *stage) crowd(ctx context.Context, n int) (*crowd, error) {
	if s.many != nil {
		return s.many, nil
	}
	w, l, err := newWorld(filepath.Join(s.dir, "many"))
	if err != nil {
		return nil, err
	}
	s.many = &crowd{world: w, layer: l, n: n}
	if err := l.Lay(ctx, n); err != nil {
		return nil, err
	}
	for i := range n {
		w.DNS.Set(testsites.Domain(i), "A "+w.Host())
		if err := l.List(testsites.Domain(i), ""); err != nil {
			return nil, err
		}
	}
	return s.many, nil
}

// target returns how a server of all sites is visited: each time another of them.
func (c *crowd) target(d *deed, addr string) target {
	t := target{addr: addr, path: d.path, want: []byte("-----END PUBLIC KEY-----\n"), hosts: make([]string, c.n)}
	for i := range t.hosts {
		t.hosts[i] = testsites.Domain(i)
	}
	return t
}

// wellkey starts wellkey with all sites. The caller stops it.
func (c *crowd) wellkey(d *deed) (*running, error) {
	cmd := exec.Command(d.programs.wellkey, "serve")
	cmd.Env = append([]string{"HOME=" + c.world.DataDir}, c.world.Environ("DOMAIN", "CREDENTIALS_FILE", "SITES_DIR="+c.layer.SitesDir)...)
	started, err := launch(cmd)
	return &running{process: started, name: wellkeyMany, target: c.target(d, c.world.HTTPSAddr)}, err
}

// nginx starts nginx with a server block for each site. The caller stops it.
func (c *crowd) nginx(s *stage) (*running, error) {
	addr, err := testhost.Addr()
	if err != nil {
		return nil, err
	}
	s.made++
	dir := filepath.Join(s.dir, fmt.Sprintf("nginx-%d", s.made))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	servers := make([]nginxServer, c.n)
	for i := range servers {
		servers[i] = nginxServer{addr: addr, name: testsites.Domain(i), answer: s.deed.nginxAnswer()}
		servers[i].certFile, servers[i].keyFile = c.layer.Files(servers[i].name)
	}
	cmd, err := s.deed.nginx(dir, servers...)
	if err != nil {
		return nil, err
	}
	started, err := launch(cmd)
	return &running{process: started, name: nginx, target: c.target(s.deed, addr)}, err
}

// manyPatience is how long all sites may take to be loaded, and looked at.
const manyPatience = 2 * time.Minute

// manyLook is for how long a process with all sites must be quiet until it is taken
// for done: what it does after its start comes in several parts.
const manyLook = 3 * time.Second

// awaitLoaded waits until wellkey says that it has read all sites, and returns when.
func (p *process) awaitLoaded(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, manyPatience)
	defer cancel()
	for {
		if at := p.log.loaded(); !at.IsZero() {
			return at, nil
		}
		if err := pause.For(ctx, 5*time.Millisecond); err != nil {
			return time.Time{}, p.ended(fmt.Errorf("waiting for all sites: %w", err))
		}
	}
}

// manyRepetitions is how often a server starts with all certificates: that takes many
// seconds, and what is compared differs by a factor.
const manyRepetitions = 3

// withMany measures a start with all certificates, and the memory after it.
func (b *bench) withMany(ctx context.Context, s *scenario) (start, memory *measured, err error) {
	b.say("  laying %d sites", b.o.many)
	c, err := b.stage.crowd(ctx, b.o.many)
	if err != nil {
		return nil, nil, err
	}
	memory = &measured{Samples: map[string][]sample{}}
	start, err = b.inTurn(ctx, s, min(manyRepetitions, b.o.repetitions), func(ctx context.Context, name string, i int) (sample, error) {
		took, bytes, err := b.oneOfMany(ctx, c, name)
		memory.put(name, i, bytes/(1<<20))
		return took.Seconds() * 1000, err
	})
	return start, memory, err
}

// oneOfMany starts a server with all certificates, and returns how long it took until
// all are loaded, and how much memory it then has.
func (b *bench) oneOfMany(ctx context.Context, c *crowd, name string) (took time.Duration, bytes float64, err error) {
	var r *running
	if name == wellkeyMany {
		r, err = c.wellkey(b.stage.deed)
	} else {
		r, err = c.nginx(b.stage)
	}
	if err != nil {
		return 0, 0, err
	}
	defer r.stop()
	if err := r.awaitFirst(ctx, &r.target, manyPatience); err != nil {
		return 0, 0, err
	}
	at := time.Now()
	if name == wellkeyMany { // which serves those that it has read meanwhile
		loaded, err := r.awaitLoaded(ctx)
		if err != nil {
			return 0, 0, err
		}
		if loaded.After(at) {
			at = loaded
		}
	}
	if err := r.settle(ctx, manyLook, manyPatience); err != nil {
		return 0, 0, err
	}
	bytes, err = r.pss()
	return at.Sub(r.began), bytes, err
}

// manyStart and manyMemory share their starts, which are long.
func manyStart(ctx context.Context, b *bench, s *scenario) (*measured, error) {
	return b.sharedMany(ctx, s, 0)
}

func manyMemory(ctx context.Context, b *bench, s *scenario) (*measured, error) {
	return b.sharedMany(ctx, s, 1)
}

func (b *bench) sharedMany(ctx context.Context, s *scenario, which int) (*measured, error) {
	if b.many[0] == nil {
		start, memory, err := b.withMany(ctx, s)
		if err != nil {
			return nil, err
		}
		b.many = [2]*measured{start, memory}
	}
	return b.many[which], nil
}

// manyHandshakes compares a process with all sites with one that has a single one.
// Every site is visited once before it counts: the first visitor of each has more done
// for him. What both do while nobody visits, such as looking whether files have
// changed, does not belong to a handshake.
func manyHandshakes(ctx context.Context, b *bench, s *scenario) (*measured, error) {
	all, err := b.up(ctx, s.peers)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if err := r.visitEach(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, r.ended(err))
		}
	}
	if err := lookAtRest(ctx, all, b.o.resting); err != nil {
		return nil, err
	}
	for _, r := range all {
		b.say("  %s uses %.1f %% of a processor while nobody visits", titleOf(r.name), 100*r.rest)
	}
	return windowed(ctx, b, s)
}
