package registrar

import (
	"time"

	"wellkey/keystore"
	"wellkey/registrar/reach"
)

// An observation is all that a reconcile step knows of one domain in one
// region. Nothing else enters a decision.
type observation struct {
	Now         time.Time
	Key         keystore.Key // what we host; zero: nothing yet
	Accepted    bool         // whether the operator allowed it to replace the other key that Tesla has
	Certificate bool         // whether TLS for the domain can be served, here or before us, and replicas had a moment to take it up
	ClientID    string       // of the application; "" while there are no credentials

	BadCredentials bool   // there are some, but they cannot be used
	Application    string // digest of the credentials: tells when they changed
	Look           *look  // our own look from outside at this key; nil: not yet
	Record         record // what Tesla said and what we tried

	// Spread is when every replica has the certificate at the latest; zero: there are no
	// others, or there is no certificate.
	Spread time.Time
}

// A look is what reachability amounts to for a decision.
type look struct {
	Verdict reach.Verdict
	Reason  string
}

// freshAnswer is how old the answer may be on which a registration is posted: as
// a look from outside takes a while, it is some minutes.
const freshAnswer = 5 * time.Minute

// A decision is the one thing to do, the state to show, and the time of the
// next step. A zero Next means: only a change wakes us.
type decision struct {
	Action action
	State  State
	Reason string // from a closed set: the registrar's own, reach's or the catalogue's
	Next   time.Time
}

// decide is the reconcile step: a pure function of what was observed.
//
// It observes before it acts, so a registration is never posted before Tesla
// said which key it has; and it never posts over another key than the one that
// is hosted, unless the operator accepted that by the hosted one's fingerprint.
func decide(o observation) decision {
	if o.ClientID == "" {
		d := decision{Action: wait, State: WaitingForCredentials, Reason: ReasonNoCredentials}
		if o.BadCredentials {
			d.Reason = ReasonBadCredentials
		}
		return d
	}
	answer := o.Record.answerFor(o.ClientID)
	failure := o.Record.failureFor(o.Application, o.Key)
	if failure != nil && o.Now.Before(failure.Next) {
		return whileFailed(o, answer, failure)
	}
	if answer == nil || !o.Now.Before(answer.Next) || (failure != nil && answer.At.Before(failure.At)) {
		d := decision{Action: ask, State: Pending, Reason: ReasonAsking}
		if answer != nil || failure != nil {
			// A question under way does not change what is known so far.
			was := whileFailed(o, answer, failure)
			d.State, d.Reason = was.State, was.Reason
		}
		return d
	}
	if d, settled := compare(o, answer); settled {
		return d
	}
	return towardsRegistration(o, answer)
}

// whileFailed gives the state to show while the last request counts as failed:
// what Tesla answered before still stands when nobody could be asked again.
func whileFailed(o observation, answer *Answer, failure *Failure) decision {
	d := decision{Action: wait, State: Pending, Reason: ReasonAsking}
	if failure != nil {
		d = decision{Action: wait, State: failure.state(), Reason: failure.Reason, Next: failure.Next}
		if d.State == Refused {
			return d
		}
	}
	if answer != nil {
		if known, settled := compare(o, answer); settled {
			d.State, d.Reason = known.State, known.Reason
		}
	}
	return d
}

// compare settles the step when Tesla has a key: ours, or one that must not be
// replaced.
func compare(o observation, answer *Answer) (decision, bool) {
	registered := answer.Registered()
	switch {
	case registered.IsZero() || o.Key.IsZero():
		return decision{}, false
	case registered == o.Key:
		return decision{Action: wait, State: Registered, Next: answer.Next}, true
	case !o.Accepted:
		return decision{Action: wait, State: Mismatch, Reason: ReasonOtherKey, Next: answer.Next}, true
	}
	return decision{}, false
}

// towardsRegistration is reached when Tesla has no key for the domain, or one
// that the operator allowed to replace.
func towardsRegistration(o observation, answer *Answer) decision {
	pending := decision{Action: wait, State: Pending, Next: answer.Next}
	switch {
	case o.Key.IsZero():
		pending.Reason = ReasonNoKey
		return pending
	case !o.Certificate && o.Now.Before(o.Spread):
		pending.Reason = ReasonSpreading
		return pending
	case !o.Certificate:
		pending.Reason = ReasonNoCertificate
		return pending
	case o.Look == nil:
		pending.Reason = ReasonNotLooked
		return pending
	case o.Look.Verdict == reach.Unreachable:
		return decision{Action: wait, State: Unreachable, Reason: o.Look.Reason, Next: answer.Next}
	case o.Look.Verdict == reach.Inconclusive && o.Now.Before(o.Spread):
		pending.Reason, pending.Next = ReasonSpreading, o.Spread
		return pending
	}
	d := decision{Action: register, State: Pending, Reason: ReasonRegistering}
	if !answer.fresh(o.Now) {
		d.Action = ask // somebody else may have registered meanwhile
	}
	return d
}
