package certs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

const (
	// askTimeout ends a look at the CA's directory.
	askTimeout = 30 * time.Second

	// attemptTimeout ends an attempt that hangs; certmagic has no total one.
	attemptTimeout = 15 * time.Minute

	// finalizeGrace is how long a shutdown waits for a certificate that is about
	// to be issued: it would count at the CA, and be lost.
	finalizeGrace = 25 * time.Second
)

// attempt makes one order, or finds that another replica made it; they share a
// lock. What is obtained is checked, served and stored.
func (m *Manager) attempt(ctx context.Context, c *client, forced bool) error {
	ctx, cancel := attemptContext(ctx, c.wire)
	defer cancel()
	if err := m.checkLasting(ctx); err != nil {
		return err
	}
	if err := m.ask(ctx, c); err != nil {
		m.count()
		return err
	}
	if err := m.checkClock(); err != nil {
		return err
	}
	// Nothing is asked of the CA, and no lock waited for, where the record of it
	// could not be stored.
	if err := m.writeRecord(ctx); err != nil {
		return &localError{err}
	}
	name := issueLock(m.cfg.Domain)
	if err := m.cfg.Storage.Lock(ctx, name); err != nil {
		return &localError{fmt.Errorf("unable to acquire lock: %w", err)}
	}
	defer func() {
		if err := m.cfg.Storage.Unlock(context.WithoutCancel(ctx), name); err != nil {
			m.log.Debug("releasing the lock on orders", zap.Error(err))
		}
	}()
	s, err := m.load(ctx)
	if err != nil {
		return &localError{fmt.Errorf("reading the stored certificate: %w", err)}
	}
	if s.ours && s.cert != nil && !forced && m.cfg.Now().Before(m.plan(s)) {
		m.adopt(s, "certificate loaded") // another replica was faster
		m.succeeded(ctx)
		return nil
	}
	if err := m.mendAccount(ctx, c); err != nil {
		return err
	}
	fresh, err := m.spendAndOrder(ctx, c, s, forced)
	if err != nil {
		return err
	}
	return m.take(ctx, fresh)
}

// An ephemeralStorage can tell that it will not last. It is a consumer contract
// for storage.Directory.
type ephemeralStorage interface {
	Ephemeral(ctx context.Context) (ephemeral bool, why string)
}

// checkLasting returns an error where the certificate and the ledger would be
// lost with the container, and the CA counts.
func (m *Manager) checkLasting(ctx context.Context) error {
	storage, ok := m.cfg.Storage.(ephemeralStorage)
	if !ok || m.cfg.AllowEphemeral || !m.counts {
		return nil
	}
	if ephemeral, why := storage.Ephemeral(ctx); ephemeral {
		return &holdError{ReasonEphemeral, m.cfg.Now().Add(lookAgain), "the data directory does not last: " + why}
	}
	return nil
}

// count counts an attempt.
func (m *Manager) count() {
	m.update(func(s *state) { s.attempts++ })
	m.metrics.attempts.Inc()
}

// spendAndOrder writes the order into the ledger, makes it, and takes the entry
// back if the CA was surely not asked to issue.
func (m *Manager) spendAndOrder(ctx context.Context, c *client, s stored, forced bool) (resource, error) {
	now := m.cfg.Now()
	m.rec.Ledger.mend(now)
	e := entry{At: now}
	apart := m.apart(s, now)
	if apart {
		e.Replaces = serial(s.cert.Leaf)
	}
	if !forced && m.rec.Ledger.remaining(now, apart) == 0 {
		m.keepRecord(ctx)
		return resource{}, &holdError{ReasonBudget, m.rec.Ledger.refill(now, apart), "the issuance budget is spent"}
	}
	m.count()
	m.rec.Ledger.spend(e)
	if err := m.writeRecord(ctx); err != nil {
		m.rec.Ledger.refund()
		return resource{}, &localError{err}
	}
	fresh, err := m.order(ctx, c, s)
	if at := c.wire.validation(); !at.IsZero() {
		m.rec.Validated = at // stored with what comes next
		m.publish()
	}
	if _, finalizing := c.wire.read(); err != nil && !finalizing {
		m.rec.Ledger.refund()
		m.keepRecord(ctx)
	}
	return fresh, err
}

// apart reports whether a renewal now is one that the CA asked for, and will not
// count.
func (m *Manager) apart(s stored, now time.Time) bool {
	return s.ours && s.cert != nil && s.linked && !m.rec.Unlinked && s.ari.HasWindow() &&
		!now.Before(s.ari.SuggestedWindow.Start) && !m.rec.Ledger.replaced(serial(s.cert.Leaf)) &&
		m.rec.Ledger.remaining(now, true) > 0
}

// order makes one order through certmagic. A renewal tells the CA what it
// replaces; where the CA does not want to hear that, as from another account, it
// is asked again as for a first certificate.
func (m *Manager) order(ctx context.Context, c *client, s stored) (resource, error) {
	renew := s.ours && s.cert != nil && !m.rec.Unlinked
	var err error
	if renew {
		m.stage.set(s.assets(m.cfg.Domain))
		err = c.cfg.RenewCertSync(ctx, m.cfg.Domain, true)
		if problem := (acme.Problem{}); errors.As(err, &problem) && strings.Contains(strings.ToLower(problem.Detail), "replac") {
			m.log.Warn("the CA refuses to hear which certificate is replaced, so a first one is asked for", zap.Error(err))
			m.rec.Unlinked, renew = true, false
		}
	}
	if !renew {
		m.stage.set(map[string][]byte{})
		err = c.cfg.ObtainCertSync(ctx, m.cfg.Domain)
	}
	defer m.stage.set(map[string][]byte{})
	if err != nil {
		return resource{}, err
	}
	return loadResource(ctx, m.stage.Load, m.issuerKey, m.cfg.Domain)
}

// take serves and stores a new certificate, if it is fit for that.
func (m *Manager) take(ctx context.Context, fresh resource) error {
	cert, err := m.judge(fresh)
	if err != nil {
		m.reject(ctx, fresh, err)
		return &unfitError{fmt.Errorf("checking the new certificate: %w", err)}
	}
	s := stored{resource: fresh, ours: true, cert: cert}
	if _, meta, err := decodeMeta(fresh.Meta); err == nil && meta.RenewalInfo != nil {
		s.ari = *meta.RenewalInfo
	}
	m.rec.Unlinked = false
	m.held, m.unsaved = &fresh, &fresh
	m.plan(s)
	m.succeeded(ctx)
	m.save(ctx) // if it can be; whoever acts on the new certificate shall not lose it
	m.adopt(s, "certificate obtained")
	m.keepRecord(ctx)
	return nil
}

// attemptContext returns the context of one attempt. It ends with ctx, but
// while an order is being finalized only finalizeGrace later.
func attemptContext(ctx context.Context, w *wire) (context.Context, context.CancelFunc) {
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	stop := context.AfterFunc(ctx, func() {
		if _, finalizing := w.read(); finalizing {
			_ = wait(attempt, finalizeGrace) // over when the attempt is, too
		}
		cancel()
	})
	return attempt, func() { stop(); cancel() }
}
