package certs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"wellkey/internal/pause"
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

// attempt makes one order, or finds that another replica made it; they share the
// lock, which we have. What is obtained is checked, served and stored.
func (a *authority) attempt(ctx context.Context, forced bool) error {
	ctx, cancel := attemptContext(ctx, a.client.wire)
	defer cancel()
	if err := a.checkLasting(ctx); err != nil {
		return err
	}
	if err := a.ask(ctx); errors.As(err, new(*holdError)) {
		return err
	} else if err != nil {
		a.count()
		return err
	}
	if err := a.m.checkClock(); err != nil {
		return err
	}
	// Nothing is asked of the CA where the record of it could not be stored.
	a.rec.Running = !a.m.cfg.Shared                // with others, nobody would know whose end it was
	defer func() { a.rec.Running = a.m.marks() }() // stored with what comes of it, or at the stop
	if err := a.writeRecord(ctx); err != nil {
		return &localError{err}
	}
	s, err := a.m.load(ctx)
	if err != nil {
		return &localError{fmt.Errorf("reading the stored certificate: %w", err)}
	}
	if s.of != nil && !forced && a.m.cfg.Now().Before(a.m.plan(s)) {
		a.m.adopt(s, "certificate loaded") // another replica was faster
		a.m.succeeded(ctx, s)
		return nil
	}
	if err := a.mendAccount(ctx); err != nil {
		return err
	}
	fresh, err := a.spendAndOrder(ctx, s, forced)
	if err != nil {
		return err
	}
	a.rec.Running, a.rec.Unclean = a.m.marks(), 0
	return a.take(ctx, fresh)
}

// An ephemeralStorage can tell that it will not last. It is a consumer contract
// for storage.Store.
type ephemeralStorage interface {
	Ephemeral(ctx context.Context) (ephemeral bool, why string)
}

// checkLasting returns an error where the certificate and the ledger would be
// lost with the container, and the CA counts.
func (a *authority) checkLasting(ctx context.Context) error {
	storage, ok := a.m.cfg.Storage.(ephemeralStorage)
	if !ok || a.m.cfg.AllowEphemeral || !a.counts {
		return nil
	}
	if ephemeral, why := storage.Ephemeral(ctx); ephemeral {
		return &holdError{ReasonEphemeral, a.m.cfg.Now().Add(lookAgain), "the data directory does not last: " + why, false}
	}
	return nil
}

// count counts an attempt.
func (a *authority) count() {
	a.update(func(s *state) { s.attempts++ })
	a.m.all.metrics.attempts.WithLabelValues(string(a.role)).Inc()
	a.rec.tried(a.m.cfg.Now())
}

// spendAndOrder writes the order into the ledger, makes it, and takes the entry
// back if the CA was surely not asked to issue.
func (a *authority) spendAndOrder(ctx context.Context, s stored, forced bool) (resource, error) {
	now := a.m.cfg.Now()
	a.rec.Ledger.mend(now)
	e := entry{At: now}
	apart := a.apart(s, now)
	if apart {
		e.Replaces = serial(s.cert.Leaf)
	}
	if !forced && a.rec.Ledger.remaining(now, apart) == 0 {
		a.keepRecord(ctx)
		return resource{}, &holdError{ReasonBudget, a.rec.Ledger.refill(now, apart), "the issuance budget is spent", false}
	}
	if s.of != a && !forced {
		if err := a.mayAsk(ctx); err != nil {
			return resource{}, err
		}
	}
	a.count()
	a.rec.Ledger.spend(e)
	if err := a.writeRecord(ctx); err != nil {
		a.rec.Ledger.refund()
		return resource{}, &localError{err}
	}
	solves := a.m.cfg.addresses()
	challenge := a.offer(solves)
	fresh, err := a.order(ctx, s)
	if err != nil {
		a.blame(err, solves)
		a.log.Debug("order failed", zap.String("challenge", challenge), zap.Error(err))
	}
	if at := a.client.wire.validation(); !at.IsZero() {
		a.rec.Validated = at // stored with what comes next
		a.publish()
	}
	if _, finalizing := a.client.wire.read(); err != nil && !finalizing {
		a.rec.Ledger.refund()
		a.keepRecord(ctx)
	}
	return fresh, err
}

// apart reports whether a renewal now is one that the CA asked for, and will not
// count.
func (a *authority) apart(s stored, now time.Time) bool {
	return s.of == a && s.linked && !a.rec.Unlinked && s.ari.HasWindow() &&
		!now.Before(s.ari.SuggestedWindow.Start) && !a.rec.Ledger.replaced(serial(s.cert.Leaf)) &&
		a.rec.Ledger.remaining(now, true) > 0
}

// order makes one order through certmagic. A renewal tells the CA what it
// replaces; where the CA does not want to hear that, as from another account, it
// is asked again as for a first certificate.
func (a *authority) order(ctx context.Context, s stored) (resource, error) {
	renew := s.of == a && !a.rec.Unlinked
	var err error
	if renew {
		a.stage.set(s.assets(a.m.domain))
		err = a.client.cfg.RenewCertSync(ctx, a.m.domain, true)
		if a.refusesLink(err) {
			a.log.Warn("the CA rejects the reference to the certificate that is replaced; ordering without it", zap.Error(err))
			a.rec.Unlinked, renew = true, false
		}
	}
	if !renew {
		a.stage.set(map[string][]byte{})
		err = a.client.cfg.ObtainCertSync(ctx, a.m.domain)
	}
	defer a.stage.set(map[string][]byte{})
	if err != nil {
		return resource{}, err
	}
	return loadResource(ctx, a.stage.Load, a.issuerKey, a.m.domain)
}

// refusesLink reports whether the CA refused an order for what it was told to
// replace: a certificate of another account, or of an issuer that it does not know
// any more. Such a refusal would repeat itself for ever.
func (a *authority) refusesLink(err error) bool {
	problem := acme.Problem{}
	if _, finalizing := a.client.wire.read(); finalizing || !errors.As(err, &problem) {
		return false
	}
	return problem.Type == acme.ProblemTypeMalformed || problem.Type == acme.ProblemTypeAlreadyReplaced ||
		strings.Contains(strings.ToLower(problem.Detail), "replac")
}

// take serves and stores a new certificate, if it is fit for that.
func (a *authority) take(ctx context.Context, fresh resource) error {
	cert, err := a.m.judge(fresh)
	if err != nil {
		a.m.reject(ctx, fresh, err)
		return &unfitError{fmt.Errorf("checking the new certificate: %w", err)}
	}
	s := stored{resource: fresh, of: a, cert: cert}
	if _, meta, err := decodeMeta(fresh.Meta); err == nil && meta.RenewalInfo != nil {
		s.ari = *meta.RenewalInfo
	}
	a.outage.over()
	a.rec.Unlinked = false
	a.held, a.unsaved = a.m.keep(fresh, cert), &fresh
	a.m.plan(s)
	a.m.succeeded(ctx, s)
	a.save(ctx) // if it can be; whoever acts on the new certificate shall not lose it
	// Whoever is told of the certificate shall see a next time, too.
	a.m.show(func(s *shown) { s.next = a.m.cfg.Now().Add(pauseAfterSuccess) })
	a.m.adopt(s, "certificate obtained")
	a.keepRecord(ctx)
	return nil
}

// attemptContext returns the context of one attempt. It ends with ctx, but
// while an order is being finalized only finalizeGrace later.
func attemptContext(ctx context.Context, w *wire) (context.Context, context.CancelFunc) {
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	stop := context.AfterFunc(ctx, func() {
		if _, finalizing := w.read(); finalizing {
			_ = pause.For(attempt, finalizeGrace) // over when the attempt is, too
		}
		cancel()
	})
	return attempt, func() { stop(); cancel() }
}
