package registrar

import (
	"slices"
	"time"

	"wellkey/keystore"
)

// A keyAction is what has to be done about the key of a site that has none.
type keyAction string

const (
	keyWait     keyAction = "wait"
	keyGenerate keyAction = "generate"
	keyRestore  keyAction = "restore"
)

// A keyObservation is all that the decision about a missing key knows.
type keyObservation struct {
	Now         time.Time
	Credentials bool
	Accept      func(key, over keystore.Key) bool // as in Site; nil allows nothing
	Answers     []*Answer                         // one a region, to any application where there are no credentials; nil: none yet
}

// A keyDecision says what to do about a missing key, with which key to restore,
// and why we wait.
type keyDecision struct {
	Action keyAction
	Key    keystore.Key
	Reason string
}

// decideKey decides about a site that has no key. Cars trust the registered
// key, so a new one is made only where every region says that there is none, and
// said so not long ago; while a region is silent, we wait. Without credentials
// nobody can be asked, and the portal wants to see a live host first, so a key is
// made, unless Tesla had one when it was last asked. Where the regions have
// different keys, the one is restored that may replace the others.
func decideKey(o keyObservation) keyDecision {
	var registered []keystore.Key
	for _, a := range o.Answers {
		if o.Credentials && (a == nil || a.Key == "" && !o.Now.Before(a.Next)) {
			return keyDecision{Action: keyWait, Reason: ReasonAsking}
		}
		if a != nil && a.Key != "" {
			registered = append(registered, a.Registered())
		}
	}
	if len(registered) == 0 {
		return keyDecision{Action: keyGenerate}
	}
	for _, k := range registered {
		other := func(r keystore.Key) bool { return r != k && (o.Accept == nil || !o.Accept(k, r)) }
		if !slices.ContainsFunc(registered, other) {
			return keyDecision{Action: keyRestore, Key: k}
		}
	}
	return keyDecision{Action: keyWait, Reason: ReasonRegionsDisagree}
}
