package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// host is the domain that all servers serve.
const host = "bench.example.com"

// inFlight is how many connections the client has at a time: enough that the server
// always finds one that waits for it.
const inFlight = 16

// keptAlive is how many connections carry requests one after the other.
const keptAlive = 32

// visitPatience bounds one visit, so that nothing hangs.
const visitPatience = 20 * time.Second

// A target is what a client visits.
type target struct {
	addr    string
	path    string
	want    []byte // how the answer ends
	offered []tls.CurveID
	agreed  tls.CurveID // that the server must choose; 0 = any
	session tls.ClientSessionCache
	hosts   []string // one is chosen by chance for each visit; none = host
}

// config is that of a client that does not prove the chain, which would be its own
// work and not the server's.
func (t *target) config() *tls.Config {
	if len(t.hosts) > 0 {
		return t.configOf(t.hosts[rand.IntN(len(t.hosts))])
	}
	return t.configOf(host)
}

// configOf is that of a client of one host.
func (t *target) configOf(name string) *tls.Config {
	return &tls.Config{
		ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13,
		NextProtos: []string{"http/1.1"}, CurvePreferences: t.offered, ClientSessionCache: t.session,
	}
}

// open makes a connection with a handshake.
func (t *target) open(config *tls.Config) (*tls.Conn, error) {
	raw, err := net.DialTimeout("tcp", t.addr, visitPatience)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	err = raw.SetDeadline(time.Now().Add(visitPatience))
	if err == nil {
		err = conn.Handshake()
	}
	if err == nil {
		err = t.check(conn.ConnectionState())
	}
	if err != nil {
		_ = raw.Close() // nothing was written
		return nil, err
	}
	return conn, nil
}

// check says what of a handshake is not what is measured.
func (t *target) check(state tls.ConnectionState) error {
	if t.agreed != 0 && state.CurveID != t.agreed {
		return fmt.Errorf("the server chose %v, want %v", state.CurveID, t.agreed)
	}
	if want := t.session != nil; state.DidResume != want {
		return fmt.Errorf("resumed: %v, want %v", state.DidResume, want)
	}
	return nil
}

// request is the GET that is sent.
func (t *target) request(config *tls.Config) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", t.path, config.ServerName)
}

// errNotTheKey is the fault of an answer that is not the expected one.
var errNotTheKey = errors.New("the answer is not the key")

// get sends a request and reads the answer whole.
func (t *target) get(conn net.Conn, request, buffer []byte) (answer []byte, err error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	read := 0
	for {
		n, err := conn.Read(buffer[read:])
		read += n
		if bytes.HasSuffix(buffer[:read], t.want) {
			if !bytes.HasPrefix(buffer, []byte("HTTP/1.1 200 ")) {
				return nil, errNotTheKey
			}
			return buffer[:read], nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w after %q", err, buffer[:read])
		}
		if read == len(buffer) {
			return nil, errNotTheKey
		}
	}
}

// bufferSize holds every answer.
const bufferSize = 4 << 10

// visit makes one connection with one GET.
func (t *target) visit(config *tls.Config, request, buffer []byte) error {
	conn, err := t.open(config)
	if err != nil {
		return err
	}
	_, err = t.get(conn, request, buffer)
	_ = conn.Close() // all was read
	return err
}

// visits makes connections with one GET each for a while, and returns how many.
func (t *target) visits(ctx context.Context, during time.Duration) (int64, error) {
	limit := time.Now().Add(during)
	return together(ctx, inFlight, func(ctx context.Context, made *atomic.Int64) error {
		config, buffer := t.config(), make([]byte, bufferSize)
		request := t.request(config)
		for time.Now().Before(limit) && ctx.Err() == nil {
			if len(t.hosts) > 0 {
				config = t.config()
				request = t.request(config)
			}
			if err := t.visit(config, request, buffer); err != nil {
				return err
			}
			made.Add(1)
		}
		return ctx.Err()
	})
}

// visitEach visits every host once.
func (t *target) visitEach(ctx context.Context) error {
	var next atomic.Int64
	_, err := together(ctx, inFlight, func(ctx context.Context, _ *atomic.Int64) error {
		buffer := make([]byte, bufferSize)
		for i := next.Add(1) - 1; i < int64(len(t.hosts)) && ctx.Err() == nil; i = next.Add(1) - 1 {
			config := t.configOf(t.hosts[i])
			if err := t.visit(config, t.request(config), buffer); err != nil {
				return fmt.Errorf("%s: %w", t.hosts[i], err)
			}
		}
		return ctx.Err()
	})
	return err
}

// together runs a number of clients until all have ended, the others soon after the
// first that failed.
func together(ctx context.Context, clients int, client func(context.Context, *atomic.Int64) error) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var made atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			if err := client(ctx, &made); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return made.Load(), context.Cause(ctx)
}

// kept are connections that stay open.
type kept []net.Conn

// keep opens n connections, with one GET on each. The caller closes them.
func (t *target) keep(ctx context.Context, n int) (kept, error) {
	var mu sync.Mutex
	var conns kept
	var begun atomic.Int64
	_, err := together(ctx, inFlight, func(ctx context.Context, _ *atomic.Int64) error {
		config, buffer := t.config(), make([]byte, bufferSize)
		request := t.request(config)
		for begun.Add(1) <= int64(n) && ctx.Err() == nil {
			conn, err := t.open(config)
			if err != nil {
				return err
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			if _, err := t.get(conn, request, buffer); err != nil {
				return err
			}
			if err := conn.SetDeadline(time.Time{}); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		err = fmt.Errorf("after %d open connections: %w", len(conns), err)
		conns.close()
		return nil, err
	}
	return conns, nil
}

// lost returns how many of them the server has closed.
func (k kept) lost() (n int, err error) {
	for _, conn := range k {
		under, ok := conn.(*tls.Conn).NetConn().(syscall.Conn)
		if !ok {
			return 0, errors.New("a connection without a socket")
		}
		open, err := established(under)
		if err != nil {
			return 0, err
		}
		if !open {
			n++
		}
	}
	return n, nil
}

func (k kept) close() {
	for _, conn := range k {
		_ = conn.Close() // nobody reads it any more
	}
}

// requests sends requests over kept connections, one after the other on each, for a
// while, and returns how many.
func (t *target) requests(ctx context.Context, conns kept, during time.Duration) (int64, error) {
	limit := time.Now().Add(during)
	var next atomic.Int64
	return together(ctx, len(conns), func(ctx context.Context, made *atomic.Int64) error {
		conn := conns[next.Add(1)-1]
		request, buffer := t.request(t.config()), make([]byte, bufferSize)
		if err := conn.SetDeadline(limit.Add(visitPatience)); err != nil {
			return err
		}
		for time.Now().Before(limit) && ctx.Err() == nil {
			if _, err := t.get(conn, request, buffer); err != nil {
				return err
			}
			made.Add(1)
		}
		return ctx.Err()
	})
}

// open loop: arrivals makes new connections at a pace that does not wait for answers,
// and returns how long each visit took.
func (t *target) arrivals(ctx context.Context, perSecond int, during time.Duration) ([]time.Duration, error) {
	n := int(during.Seconds() * float64(perSecond))
	took := make([]time.Duration, n)
	errs := make([]error, n)
	config := t.config()
	request := t.request(config)
	var all sync.WaitGroup
	began := time.Now()
	for i := range n {
		if d := time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))); d > 0 {
			time.Sleep(d)
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			came := time.Now()
			errs[i] = t.visit(config, request, make([]byte, bufferSize))
			took[i] = time.Since(came)
		})
	}
	all.Wait()
	return took, errors.Join(append(errs, ctx.Err())...)
}

// A ticket is the cache of sessions that always gives the first one again.
type ticket struct {
	mu    sync.Mutex
	first *tls.ClientSessionState // guarded by mu
}

// Get implements tls.ClientSessionCache.
func (t *ticket) Get(string) (*tls.ClientSessionState, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first, t.first != nil
}

// Put implements tls.ClientSessionCache.
func (t *ticket) Put(_ string, state *tls.ClientSessionState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		t.first = state
	}
}

// resumable returns the target with a ticket that its server gave.
func (t target) resumable() (*target, error) {
	given := new(ticket)
	config := t.config()
	config.ClientSessionCache = given
	if err := t.visit(config, t.request(config), make([]byte, bufferSize)); err != nil {
		return nil, err
	}
	if _, ok := given.Get(""); !ok {
		return nil, errors.New("the server gave no ticket")
	}
	t.session = given
	return &t, nil
}
