package registrar

import (
	"context"
	"time"

	"go.uber.org/zap"

	"wellkey/registrar/fleetapi"
)

// A guarder is a storage whose locks guard the work under them: the context ends
// when the lock is lost, and what is written with it is refused then. It is a
// consumer contract for storage.Store.
type guarder interface {
	Guard(ctx context.Context, name string) (guarded context.Context, release func(context.Context) error, err error)
}

const (
	// lookInAgain is how often to look, at least, what another replica has done.
	lookInAgain = time.Minute

	// settle is how long a new certificate is left to get to all replicas: Tesla
	// downloads the key from any of them.
	settle = 3 * time.Second

	// spread is for how long a new certificate may not have got to all replicas: what
	// a look cannot decide until then, it repeats, rather than have Tesla meet the
	// replica that it has met.
	spread = time.Minute

	// storageAgain is how often to look whether the storage is back.
	storageAgain = 15 * time.Second
)

func lockName(domain string, region fleetapi.Region) string {
	return "registration_" + domain + "_" + string(region)
}

// guard waits for the lock on the registration, which all wellkeys on this storage
// share. A storage of our own that cannot lock, as a disk that is full, does not
// keep us from asking: there is nobody else.
func (s *site) guard(ctx context.Context, r *region) (guarded context.Context, release func(), err error) {
	none := func() {}
	g, ok := s.storage.(guarder)
	if !ok {
		return ctx, none, nil
	}
	guarded, unlock, err := g.Guard(ctx, lockName(s.Domain, r.name))
	switch {
	case err != nil && ctx.Err() == nil && !s.shared:
		s.regionLog(r).Debug("registration not locked", zap.Error(err))
		return ctx, none, nil
	case err != nil:
		return nil, none, err
	}
	return guarded, func() {
		if err := unlock(context.WithoutCancel(ctx)); err != nil {
			s.regionLog(r).Debug("unlocking the registration", zap.Error(err))
		}
	}, nil
}

// holdBack shows that nothing is done, since the lock cannot be had. What is known
// still stands.
func (s *site) holdBack(ctx context.Context, r *region, d decision, err error) decision {
	d.Action, d.Next = wait, time.Now().Add(jitter(storageAgain))
	if ctx.Err() != nil {
		return d // we are stopping
	}
	if d.State == Pending {
		d.Reason = ReasonStorageDown
	}
	s.regionLog(r).Debug("nothing is asked or registered without the lock", zap.Error(err))
	s.show(r, d)
	return d
}

// refresh takes over what another replica has written. A record that cannot be
// read, or is not there any more, changes nothing.
func (s *site) refresh(ctx context.Context, r *region) {
	rec, err := loadRecord(ctx, s.storage, s.Domain, r.name)
	if err != nil || rec.Answer == nil && rec.Failure == nil {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.record.newerThan(rec) {
		r.record = rec.withoutFuture(now, now.Add(clocksDiffer))
	}
}

// newerThan reports whether r was changed after other was: by us, with a storage
// that did not take it.
func (r record) newerThan(other record) bool { return r.changed().After(other.changed()) }

func (r record) changed() (at time.Time) {
	if r.Answer != nil {
		at = r.Answer.At
	}
	if r.Failure != nil && r.Failure.At.After(at) {
		at = r.Failure.At
	}
	return at
}

// clocksDiffer is by how much the clocks of replicas may differ: what another one
// wrote counts unless it is further in our future than that.
const clocksDiffer = 5 * time.Minute

// lookIn returns when to come back: at next, or before that to see what another
// replica has done.
func (s *site) lookIn(next time.Time) time.Time {
	if !s.shared {
		return next
	}
	if soon := time.Now().Add(jitter(lookInAgain)); next.IsZero() || next.After(soon) {
		return soon
	}
	return next
}

// certificate reports whether there is a certificate that all replicas have by now.
// Settles is when they will; zero = there is nothing to wait for.
func (s *site) certificate(now time.Time) (have bool, settles time.Time) {
	have = s.Certificate()
	if !s.shared {
		return have, time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !have {
		s.certified = time.Time{}
		return false, time.Time{}
	}
	if s.certified.IsZero() {
		s.certified = now
	}
	if at := s.certified.Add(settle); now.Before(at) {
		return false, at
	}
	return true, time.Time{}
}

// spreadAt returns when all replicas have the certificate at the latest; zero = there
// are no others, or no certificate. It is called with s.mu held.
func (s *site) spreadAt() time.Time {
	if s.certified.IsZero() {
		return time.Time{}
	}
	return s.certified.Add(spread)
}

// sooner returns the first of two times; a zero one never comes.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
