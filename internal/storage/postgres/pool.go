package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// How long a connection is kept: an old one may lead to a server that is none any
// more after a failover, and one that nobody uses takes room at the server.
const (
	connLifetime = time.Hour
	connIdle     = 30 * time.Minute
)

// A pool keeps connections for the next statement. It has pgconn under it, the
// layer of pgx that speaks the protocol: pgxpool would bring the types of all
// columns that there are, an eighth of the program, and a goroutine.
type pool struct{ conns *puddle.Pool[*pgconn.PgConn] }

type resource = *puddle.Resource[*pgconn.PgConn]

func newPool(cfg *pgconn.Config, size int32) (*pool, error) {
	conns, err := puddle.NewPool(&puddle.Config[*pgconn.PgConn]{
		// It goes on where the caller gives up, for its connect_timeout.
		Constructor: func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.ConnectConfig(ctx, cfg.Copy()) },
		Destructor: func(conn *pgconn.PgConn) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = conn.Close(ctx) // it is given up, whatever the server says
			select {
			case <-conn.CleanupDone():
			case <-ctx.Done():
			}
		},
		MaxSize: size,
	})
	return &pool{conns: conns}, err
}

// use calls f with a connection that nobody else uses meanwhile.
func (p *pool) use(ctx context.Context, f func(*pgconn.PgConn) error) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer p.release(conn)
	return f(conn.Value())
}

// acquire gives a connection that answers. One that was not used for a second is
// asked first, since the server may have ended it.
func (p *pool) acquire(ctx context.Context) (resource, error) {
	for range p.conns.Stat().MaxResources() + 1 { // all of them may have ended
		conn, err := p.conns.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case old(conn):
		case conn.IdleDuration() < time.Second, conn.Value().Ping(ctx) == nil:
			return conn, nil
		}
		conn.Destroy()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, errors.New("no connection lasts")
}

// release gives a connection back; one that is broken, or in a transaction, ends,
// and others that were idle for long with it.
func (p *pool) release(conn resource) {
	if c := conn.Value(); c.IsClosed() || c.IsBusy() || c.TxStatus() != 'I' || old(conn) {
		conn.Destroy()
	} else {
		conn.Release()
	}
	if p.conns.Stat().IdleResources() < 2 {
		return
	}
	for _, conn := range p.conns.AcquireAllIdle() {
		if conn.IdleDuration() > connIdle {
			conn.Destroy()
		} else {
			conn.ReleaseUnused()
		}
	}
}

func old(conn resource) bool { return time.Since(conn.CreationTime()) > connLifetime }

func (p *pool) close() { p.conns.Close() }
