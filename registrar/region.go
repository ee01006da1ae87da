package registrar

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/schedule"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

// region is the registration of one site in one region at work.
type region struct {
	name   fleetapi.Region
	job    *schedule.Job
	record record    // guarded by site.mu
	shown  decision  // guarded by site.mu; the last decision
	since  time.Time // guarded by site.mu; when its state and reason began

	hurried bool     // guarded by site.mu; somebody asked for another attempt now
	before  *Failure // guarded by site.mu; of the attempt before the one under way; nil = it did not fail
	asked   bool     // guarded by site.mu; somebody asked for the one under way
}

func newRegion(name fleetapi.Region) *region {
	return &region{name: name, shown: decision{Action: wait, State: Pending, Reason: ReasonStarting}}
}

// reconcile runs the step until it says to wait, and returns until when; zero when
// a change will wake us. It comes to an end: every request is followed by an answer
// or a failure, and both forbid the next one for minutes.
func (s *site) reconcile(ctx context.Context, r *region) time.Time {
	s.loadRecords(ctx)
	if s.shared {
		s.refresh(ctx, r)
	}
	ctx = fleetapi.Attempt(ctx, s.begin(r, s.hurry(ctx, r)))
	for ctx.Err() == nil {
		if d := s.step(ctx, r); d.Action == wait {
			_, settles := s.certificate(time.Now())
			return sooner(s.lookIn(d.Next), settles)
		}
	}
	return time.Time{}
}

// begin begins an attempt, which somebody asked for or not, and returns when the one before
// it failed; zero = it did not.
func (s *site) begin(r *region, asked bool) (failed time.Time) {
	app, key := s.Application(), s.Keys.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	r.asked = asked
	if r.before = r.record.failureFor(app.Digest, key); r.before != nil {
		failed = r.before.At
	}
	return failed
}

// step observes, decides, and acts, unless the decision is to wait.
func (s *site) step(ctx context.Context, r *region) decision {
	app := s.Application()
	key := s.Keys.Key()
	d := decide(s.observe(r, app, key))
	if d.Action != wait {
		guarded, release, err := s.guard(ctx, r)
		if err != nil {
			return s.holdBack(ctx, r, d, err)
		}
		defer release()
		// Another replica may have done it meanwhile, or another process on this
		// volume; there, only a registration is worth the look: what Tesla said to
		// an earlier process is not to be believed where a key is missing.
		if s.shared || d.Action == register {
			s.refresh(guarded, r)
			d = decide(s.observe(r, app, key))
		}
		ctx = guarded
	}
	s.show(r, d)
	switch d.Action {
	case ask:
		s.ask(ctx, r, app, key)
	case register:
		s.register(ctx, r, app, key)
	}
	return d
}

func (s *site) observe(r *region, app Application, key keystore.Key) observation {
	now := time.Now()
	have, _ := s.certificate(now)
	o := observation{
		Now:         now,
		Key:         key,
		Certificate: have,
		ClientID:    app.ClientID,
		Application: app.Digest,

		BadCredentials: app.Fault != "",
	}
	s.mu.Lock()
	o.Record, o.Spread = r.record, s.spreadAt()
	if s.report != nil && s.lookedAt == key {
		o.Look = &look{Verdict: s.report.Verdict, Reason: s.report.Reason}
	}
	s.mu.Unlock()
	if a := o.Record.answerFor(app.ClientID); a != nil && !key.IsZero() {
		if registered := a.Registered(); !registered.IsZero() && registered != key {
			o.Accepted = s.Accept(key, registered) // reads the storage, so not under the lock
		}
	}
	return o
}

// ask asks Tesla which key it has and notes the answer or the failure.
func (s *site) ask(ctx context.Context, r *region, app Application, key keystore.Key) {
	answer, err := s.question(ctx, r, app)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.fail(ctx, r, app, key, fleetapi.OpPublicKey, err)
		return
	}
	s.update(ctx, r, func(rec *record) {
		rec.Answer = answer
		ours := !key.IsZero() && answer.Registered() == key
		if rec.Failure != nil && (ours || rec.Failure.Operation != string(fleetapi.OpRegister)) {
			rec.Failure = nil
		}
	})
	if key.IsZero() {
		s.host.Continue() // the answer may tell which key to restore, or that one may be made
	}
}

// question asks Tesla once. No registration is an answer, not an error.
func (s *site) question(ctx context.Context, r *region, app Application) (*Answer, error) {
	text, err := app.API.PublicKey(ctx, r.name, s.Domain)
	answer := &Answer{At: time.Now(), ClientID: app.ClientID}
	switch {
	case errors.Is(err, fleetapi.ErrNotRegistered):
		answer.Next = answer.At.Add(s.untilNext(r, answer))
		return answer, nil
	case err != nil:
		return nil, err
	}
	registered, err := keystore.ParsePoint(text)
	if err != nil {
		return nil, unreadableKey(r.name, text, err)
	}
	answer.Key = registered.Hex()
	answer.Next = answer.At.Add(s.untilNext(r, answer))
	return answer, nil
}

// untilNext returns how long answer is trusted: a day if it is the key that we
// host. Else somebody may be about to change it: an hour, and six where it is the
// same answer again; but an answer on which a key may be made does not grow old.
func (s *site) untilNext(r *region, answer *Answer) time.Duration {
	key := s.Keys.Key()
	s.mu.Lock()
	was := r.record.answerFor(answer.ClientID)
	s.mu.Unlock()
	switch {
	case !key.IsZero() && answer.Registered() == key:
		return jitter(checkAgain)
	case was == nil || was.Key != answer.Key, answer.Key == "" && key.IsZero():
		return backoff(waitsSlow, 1)
	}
	return backoff(waitsSlow, 2)
}

// register posts the registration and proves it by reading the key back: Tesla's
// word that it was accepted, or that it was there already, is not taken for it.
func (s *site) register(ctx context.Context, r *region, app Application, key keystore.Key) {
	s.logReplacement(r, app, key)
	_, refusal := app.API.Register(ctx, r.name, s.Domain)
	if ctx.Err() != nil {
		return
	}
	if refusal != nil && !taken(refusal) {
		s.fail(ctx, r, app, key, fleetapi.OpRegister, refusal)
		if class(refusal) == fleetapi.RetryCheck {
			s.lookSoon()
		}
		return
	}
	answer, err := s.question(ctx, r, app)
	switch {
	case ctx.Err() != nil:
		return
	case err == nil && answer.Registered() == key:
		s.update(ctx, r, func(rec *record) {
			rec.Answer, rec.Failure = answer, nil
			if refusal == nil {
				rec.RegisteredAt = answer.At
			}
		})
		return
	case err == nil:
		s.update(ctx, r, func(rec *record) { rec.Answer = answer })
	}
	switch {
	case refusal != nil:
		err = refusal
	case err == nil:
		err = notReadBack(r.name, answer.Registered(), key)
	}
	s.fail(ctx, r, app, key, fleetapi.OpRegister, err)
}

// fail notes a failed request and when the next one may be made.
func (s *site) fail(ctx context.Context, r *region, app Application, key keystore.Key, op fleetapi.Operation, err error) {
	f, notBefore := failureOf(op, err)
	f.At = time.Now()
	f.Application = app.Digest
	f.Fingerprint = key.Fingerprint()
	s.update(ctx, r, func(rec *record) {
		was := rec.failureFor(app.Digest, key)
		if was == nil { // Tesla answered meanwhile, but nothing is registered by it
			was = record{Failure: r.before}.failureFor(app.Digest, key)
		}
		if r.asked && f.Retry == fleetapi.RetryLag { // what was just edited in the portal takes minutes to arrive everywhere
			was = &Failure{Retry: fleetapi.RetryLag, Count: 1}
		}
		f.Count = countAfter(was, f.Retry)
		f.Next = f.At.Add(backoff(waits(f.Retry), f.Count))
		f.NotBefore = notBefore
		if f.Next.Before(notBefore) {
			f.Next = notBefore.Add(jitter(time.Minute))
		}
		rec.Failure = f
	})
	s.regionLog(r).Debug("request failed", failureFields(f)...)
}

// fixStorage is what to do where a record cannot be stored or read.
var fixStorage = zap.String("fix", "Fix what the error names: room and rights in the data directory, or the store in storage. Nothing that is registered is lost.")

// storeTimeout bounds a storage that hangs, as a network file system may.
const storeTimeout = 10 * time.Second

// update changes the record and stores it. A storage that fails costs no more
// than a question to Tesla after the next restart.
func (s *site) update(ctx context.Context, r *region, change func(*record)) {
	s.mu.Lock()
	change(&r.record)
	rec := r.record
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := storeRecord(ctx, s.storage, s.Domain, r.name, rec); err != nil {
		s.regionLog(r).Warn("registration record not stored; after a restart Tesla is asked again", zap.Error(err), fixStorage)
	}
}

// loadRecords reads what is remembered of all regions, once: what to do about a
// missing key depends on every one of them.
func (s *site) loadRecords(ctx context.Context) {
	s.load.Do(func() {
		for _, r := range s.regions {
			s.loadRecord(ctx, r)
		}
	})
}

func (s *site) loadRecord(ctx context.Context, r *region) {
	rec, err := loadRecord(ctx, s.storage, s.Domain, r.name)
	if err != nil {
		s.regionLog(r).Warn("registration record not readable; asking Tesla again", zap.Error(err), fixStorage)
	}
	key := s.Keys.Key()
	s.mu.Lock()
	r.record = rec.loaded(time.Now(), key)
	s.mu.Unlock()
}
