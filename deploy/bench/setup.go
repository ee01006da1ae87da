package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"wellkey/internal/pause"
	"wellkey/internal/testca"
	"wellkey/internal/testhost"
	"wellkey/internal/testsites"
	"wellkey/internal/testworld"
	"wellkey/server"
)

// A stage is where the servers run: what wellkey needs around it, and the deed that
// all do as wellkey does it.
type stage struct {
	dir   string
	world *testworld.World
	layer *testsites.Layer
	deed  *deed
	many  *crowd // nil: nobody has asked for it
	made  int    // directories of servers
}

// newStage makes it in dir. The caller closes it.
func newStage(ctx context.Context, dir string, p programs) (s *stage, err error) {
	s = &stage{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.world, s.layer, err = newWorld(filepath.Join(dir, "world")); err != nil {
		return s, err
	}
	if err := s.layer.LayAlone(host); err != nil {
		return s, err
	}
	if err := s.world.WriteCredentials(); err != nil {
		return s, err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return s, err
	}
	s.deed = &deed{path: server.KeyPath, root: filepath.Join(dir, "root"), files: min(uint64(limit.Max), 1<<20), programs: p}
	s.deed.certFile, s.deed.keyFile = s.layer.Files(host)
	return s, s.learn(ctx)
}

// newWorld starts what wellkey needs around it, with a storage to lay sites into.
func newWorld(dir string) (*testworld.World, *testsites.Layer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	signer, err := testca.NewSigner()
	if err != nil {
		return nil, nil, err
	}
	w, err := testworld.Start(testworld.Config{Domain: host, Dir: dir, FormerRoots: signer.RootsPEM()})
	if err != nil {
		return nil, nil, err
	}
	l, err := testsites.New(w, dir, signer)
	return w, l, err
}

func (s *stage) close() error {
	var errs []error
	if s.many != nil {
		errs = append(errs, s.many.world.Close())
	}
	if s.world != nil {
		errs = append(errs, s.world.Close())
	}
	return errors.Join(errs...)
}

// learn asks wellkey for the key once, so that the peers give the same answer.
func (s *stage) learn(ctx context.Context) error {
	p, err := s.launch(wellkey)
	if err != nil {
		return err
	}
	defer p.stop()
	t := &target{addr: s.world.HTTPSAddr, path: s.deed.path, want: []byte("-----END PUBLIC KEY-----\n")}
	if err := p.awaitFirst(ctx, t, time.Minute); err != nil {
		return err
	}
	config := t.config()
	conn, err := t.open(config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // all was read
	text, err := t.get(conn, t.request(config), make([]byte, bufferSize))
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
	if err != nil {
		return err
	}
	_ = answer.Body.Close() // of what is in memory
	s.deed.contentType, s.deed.header = headersOf(answer.Header)
	_, s.deed.body, _ = bytes.Cut(text, []byte("\r\n\r\n"))
	file := filepath.Join(s.deed.root, s.deed.path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, s.deed.body, 0o644)
}

// A running is a server that runs, and how to visit it.
type running struct {
	*process
	name string
	old  bool    // a Caddy that knows no ML-KEM
	rest float64 // part of a processor that it uses while nobody visits; 0 = not looked at
	target
}

// launch starts the server of that name. More are settings of wellkey.
func (s *stage) launch(name string, more ...string) (*running, error) {
	switch name {
	case wellkey:
		return launchWellkey(s.world, s.deed, more...)
	case wellkeyMany:
		return s.many.wellkey(s.deed)
	}
	for _, p := range peers {
		if p.name != name {
			continue
		}
		addr, err := testhost.Addr()
		if err != nil {
			return nil, err
		}
		s.made++
		dir := filepath.Join(s.dir, fmt.Sprintf("%s-%d", name, s.made))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		cmd, err := p.command(s.deed, dir, addr)
		if err != nil {
			return nil, err
		}
		started, err := launch(cmd)
		return &running{process: started, name: name, old: s.deed.programs.oldCaddy, target: s.deed.target(addr)}, err
	}
	return nil, fmt.Errorf("there is no server %q", name)
}

// launchWellkey starts the wellkey of a world.
func launchWellkey(w *testworld.World, d *deed, more ...string) (*running, error) {
	cmd := exec.Command(d.programs.wellkey, "serve")
	cmd.Env = append([]string{"HOME=" + w.DataDir}, w.Environ(more...)...)
	started, err := launch(cmd)
	return &running{process: started, name: wellkey, target: d.target(w.HTTPSAddr)}, err
}

// target returns how a server at an address is visited.
func (d *deed) target(addr string) target { return target{addr: addr, path: d.path, want: d.body} }

// awaitFirst visits a server until it gives the key.
func (p *process) awaitFirst(ctx context.Context, t *target, patience time.Duration) error {
	limit := time.Now().Add(patience)
	config, buffer := t.config(), make([]byte, bufferSize)
	request := t.request(config)
	for {
		err := t.visit(config, request, buffer)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.ended(err)
		default:
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%s gives no key: %w\n%s", filepath.Base(p.cmd.Path), err, p.log)
		}
		if err := pause.For(ctx, 200*time.Microsecond); err != nil {
			return err
		}
	}
}

// launchAll starts servers and waits until all give the key and have nothing else to
// do. The caller stops them.
func (s *stage) launchAll(ctx context.Context, names []string) (all []*running, err error) {
	defer func() {
		if err != nil {
			stopAll(all)
		}
	}()
	for _, name := range names {
		if name == oneAgain { // the same process under another name
			continue
		}
		r, err := s.launch(name)
		if err != nil {
			return all, err
		}
		all = append(all, r)
		if err := r.awaitFirst(ctx, &r.target, time.Minute); err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
		if name == wellkeyMany {
			if _, err := r.awaitLoaded(ctx); err != nil {
				return all, err
			}
			if err := r.settle(ctx, manyLook, manyPatience); err != nil {
				return all, err
			}
		}
	}
	for _, r := range all {
		if err := r.settle(ctx, shortLook, time.Minute); err != nil {
			return all, err
		}
	}
	return all, nil
}

func stopAll(all []*running) {
	for _, r := range all {
		r.stop()
	}
}
