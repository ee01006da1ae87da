package registrar

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// hurryAgain is how old a failure must be before somebody may have Tesla asked again
// at once: whatever sends word, and however often, each region is asked at most
// twelve times an hour for it.
const hurryAgain = 5 * time.Minute

// orHurry ends the fix of what Tesla refuses, where a running wellkey shows it, and
// other credentials are not the fix.
const orHurry = " Once that is done, SIGHUP makes wellkey ask Tesla again at once (docs/operating.md); by itself it asks at the next attempt, which may be hours away."

// Hurry tells that somebody may have mended what Tesla refused or what kept us from
// it: what failed is tried again at once, where that was not a moment ago and Tesla
// named no time. It does not block.
func (r *Registrar) Hurry(domain string) {
	r.mu.Lock()
	s := r.sites[domain]
	r.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	for _, region := range s.regions {
		region.hurried = true
	}
	s.mu.Unlock()
	r.Wake(domain)
}

// hurry makes the next attempt due, if somebody has asked for it, and reports whether it
// did. Without the lock nothing is asked, so the request stands until it can be had.
func (s *site) hurry(ctx context.Context, r *region) bool {
	s.mu.Lock()
	asked := r.hurried
	s.mu.Unlock()
	if !asked {
		return false
	}
	ctx, release, err := s.guard(ctx, r)
	if err != nil {
		return false
	}
	defer release()
	if s.shared { // another replica may have asked meanwhile
		s.refresh(ctx, r)
	}
	app, key, now := s.Application(), s.Keys.Key(), time.Now()
	s.mu.Lock()
	failure := r.record.failureFor(app.Digest, key)
	r.hurried = false
	s.mu.Unlock()
	if failure == nil || !failure.Next.After(now) {
		return false
	}
	again, whyNot := failure.hurried(now)
	if whyNot != "" {
		s.regionLog(r).Info("not asking Tesla again yet", zap.String("cause", whyNot), zap.Time("next", failure.Next))
		return false
	}
	s.regionLog(r).Info("Tesla is asked again at once, as requested", zap.String("reason", failure.Reason))
	s.update(ctx, r, func(rec *record) { rec.Failure = again })
	return true
}

// hurried returns f as one that puts nothing off; else why it goes on doing so.
func (f *Failure) hurried(now time.Time) (again *Failure, whyNot string) {
	if now.Before(f.NotBefore) {
		return nil, "Tesla has named the time"
	}
	if age := now.Sub(f.At); 0 <= age && age < hurryAgain {
		return nil, "it was asked less than five minutes ago"
	}
	due := *f
	due.Next = now
	return &due, ""
}
