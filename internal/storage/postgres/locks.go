package postgres

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"wellkey/internal/storage/lease"
)

// A server is the locks of a Store, as lease wants them.
type server struct{ store *Store }

// Acquire implements lease.Server. A lease that is ours already is the answer to a
// call whose first answer was lost.
func (s server) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error) {
	err = s.store.row(ctx, `INSERT INTO wellkey_locks AS held (name, owner, expires)
		VALUES ($1, $2, clock_timestamp() + $3 * interval '1 second')
		ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, fence = DEFAULT, expires = EXCLUDED.expires
		WHERE held.expires <= clock_timestamp() OR held.owner = EXCLUDED.owner
		RETURNING fence`, []any{name, owner, ttl.Seconds()}, &fence)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	return fence, err == nil, err
}

// Extend implements lease.Server. A lease that has lapsed is not extended, though
// nobody took it over: what was decided under it may be old.
func (s server) Extend(ctx context.Context, l lease.Lease, ttl time.Duration) (bool, error) {
	return s.change(ctx, `UPDATE wellkey_locks SET expires = clock_timestamp() + $4 * interval '1 second'
		WHERE name = $1 AND owner = $2 AND fence = $3 AND expires > clock_timestamp()`, l.Name, l.Owner, l.Fence, ttl.Seconds())
}

// Release implements lease.Server. It goes by the owner alone: who got no answer
// knows no fence.
func (s server) Release(ctx context.Context, l lease.Lease) (bool, error) {
	return s.change(ctx, `DELETE FROM wellkey_locks WHERE name = $1 AND owner = $2`, l.Name, l.Owner)
}

func (s server) change(ctx context.Context, statement string, args ...any) (bool, error) {
	result, err := s.store.run(ctx, statement, args...)
	return err == nil && result.CommandTag.RowsAffected() > 0, err
}
