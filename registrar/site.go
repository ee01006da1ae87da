package registrar

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/schedule"
	"wellkey/keystore"
	"wellkey/registrar/reach"
)

// site is one domain at work. The jobs that start makes do all of it.
type site struct {
	Site
	prober  Prober
	storage Storage
	shared  bool        // as in Config
	logger  *zap.Logger // without the domain
	host    *schedule.Job
	load    sync.Once // the records of all regions

	mu        sync.Mutex
	report    *keptReport  // guarded by mu; the last look
	lookedAt  keystore.Key // guarded by mu; the key that the last look was for
	nextLook  time.Time    // guarded by mu
	reachable time.Time    // guarded by mu; when a look last found the key
	looks     int          // guarded by mu; looks in a row that were not "reachable"
	certified time.Time    // guarded by mu; since when there is a certificate, with a shared storage
	doubted   bool         // guarded by mu; something changed here since the last look began
	keyReason string       // guarded by mu; why there is no key yet
	keyError  string       // guarded by mu; what kept us from making or restoring one
	regions   []*region    // the slice is fixed; the records in it are guarded by mu
}

func newSite(s Site, c Config) *site {
	out := &site{Site: s, prober: c.Prober, storage: c.Storage, shared: c.Shared, logger: c.Logger}
	if s.Accept == nil {
		out.Accept = func(keystore.Key, keystore.Key) bool { return false }
	}
	for _, name := range s.Regions {
		out.regions = append(out.regions, newRegion(name))
	}
	return out
}

// log returns the logger of the site. Thousands of sites log seldom, so it is made
// when it is needed, as that of a region is.
func (s *site) log() *zap.Logger { return s.logger.With(zap.String("domain", s.Domain)) }

func (s *site) regionLog(r *region) *zap.Logger {
	return s.log().With(zap.String("region", string(r.name)))
}

// start makes the jobs of the site and wakes them.
func (s *site) start(q *schedule.Queue) {
	s.host = q.Job(s.attend)
	for _, r := range s.regions {
		r.job = q.Job(func(ctx context.Context) time.Time { return s.reconcile(ctx, r) })
	}
	s.wake()
}

// end takes the jobs back, and returns when none of them runs.
func (s *site) end() {
	s.host.Remove()
	for _, r := range s.regions {
		r.job.Remove()
	}
}

// wake makes all jobs of the site due. They go on before those of sites that began
// later, so that one site is registered before Tesla is asked about a thousand. One
// that Once works on has none.
func (s *site) wake() {
	s.host.Continue()
	for _, r := range s.regions {
		r.job.Continue()
	}
}

// attend sees to it that there is a key, and looks at it from outside. It returns
// when to come back; zero when a change will wake us.
func (s *site) attend(ctx context.Context) time.Time {
	s.loadRecords(ctx)
	next := s.settleKey()
	have, settles := s.certificate(time.Now())
	if key := s.Keys.Key(); !key.IsZero() && have {
		next = s.look(ctx, key)
	}
	return sooner(next, settles)
}

// look looks from outside if it is time to, or if the key is not the one that
// was looked at, and returns when to look again.
func (s *site) look(ctx context.Context, key keystore.Key) time.Time {
	s.mu.Lock()
	fresh, next := s.report != nil && s.lookedAt == key, s.nextLook
	if s.doubted && s.looks > 0 {
		next = time.Time{}
	}
	s.doubted = false
	s.mu.Unlock()
	if fresh && time.Now().Before(next) {
		return next
	}
	report := s.prober.Check(ctx, s.Domain, key)
	if ctx.Err() != nil {
		return time.Time{}
	}

	s.mu.Lock()
	was := s.report
	changed := !fresh || was.Verdict != report.Verdict || was.Reason != report.Reason
	s.looks++
	if report.Verdict == reach.Reachable {
		s.looks, s.reachable = 0, report.At
	}
	wait := jitter(lookAgain)
	if s.looks > 0 {
		wait = backoff(waitsLook, s.looks)
	}
	s.report, s.lookedAt, s.nextLook = keepReport(report), key, time.Now().Add(wait)
	next = s.nextLook
	s.mu.Unlock()

	if changed {
		s.logLook(report)
		s.wake()
	}
	return next
}

// lookSoon makes the next look due at once: Tesla just said that it could not
// download the key.
func (s *site) lookSoon() {
	s.mu.Lock()
	s.nextLook = time.Time{}
	s.mu.Unlock()
	s.host.Wake()
}

// doubtLook notes that something changed here, which may be what a look found
// wrong: one that was not good is repeated at the next wake.
func (s *site) doubtLook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubted = true
}

// retryKey is how long we wait after a key could not be written.
const retryKey = 30 * time.Second

// settleKey carries out decideKey where there is no key. It returns when to try
// again; zero when a change will wake us.
func (s *site) settleKey() time.Time {
	if !s.Keys.Key().IsZero() {
		s.setKeyProblem("", nil)
		return time.Time{}
	}
	clientID := s.Application().ClientID
	o := keyObservation{Now: time.Now(), Credentials: clientID != "", Accept: s.Accept}
	s.mu.Lock()
	for _, r := range s.regions {
		last := r.record.Answer
		if o.Credentials {
			last = r.record.answerFor(clientID)
		}
		o.Answers = append(o.Answers, last)
	}
	s.mu.Unlock()

	d := decideKey(o)
	var err error
	switch d.Action {
	case keyWait:
		s.setKeyProblem(d.Reason, nil)
		return time.Time{}
	case keyGenerate:
		if s.shared {
			s.setKeyProblem(ReasonNoSharedKey, nil)
			return time.Time{}
		}
		_, err = s.Keys.Generate()
	case keyRestore:
		err = s.Keys.Restore(d.Key)
	}
	s.setKeyProblem(ReasonNoKey, err)
	if err != nil {
		return time.Now().Add(retryKey)
	}
	s.wake()
	return time.Time{}
}

// keyNote says why there is no key; fault is what kept one from being made or
// restored, "" where nothing did.
func keyNote(reason, fault string) Note {
	n := noteOf(reason)
	if fault != "" {
		n.Seen = fault
		n.Cause = "A key may be made, or rebuilt from Tesla's answer, and cannot be kept here."
		n.Fix = "Let the user of wellkey write beside key_file and into data_dir, and make room there; or put the key there yourself. It is tried again every half minute."
	}
	return n
}

// setKeyProblem notes why there is no key, and logs it once.
func (s *site) setKeyProblem(reason string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	changed := s.keyReason != reason || s.keyError != text
	s.keyReason, s.keyError = reason, text
	s.mu.Unlock()
	switch {
	case !changed:
	case err != nil:
		s.log().Error("key could not be made", append(noteFields(keyNote(reason, text)), zap.Duration("retry_in", retryKey))...)
	case reason == ReasonRegionsDisagree, reason == ReasonNoSharedKey:
		s.log().Error("no key to serve", reasonFields(reason)...)
	case reason == ReasonAsking:
		s.log().Info("no key yet: asking Tesla before one is made", reasonFields(reason)...)
	}
}
