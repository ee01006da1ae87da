package registrar_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"wellkey/keystore"
	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// Three points on the curve: what is hosted, what somebody else registered, and
// one more. They are the generator of P-256 times 1, 2 and 3.
var (
	ours   = mustKey("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
	theirs = mustKey("047cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc4766997807775510db8ed040293d9ac69f7430dbba7dade63ce982299e04b79d227873d1")
	third  = mustKey("045ecbe4d1a6330a44c8f7ef951d4bf165e6c6b721efada985fb41661bc6e7fd6c8734640c4998ff7e374b06ce1a64a2ecd82ab036384fb83d9a79b127a27d5032")
)

func mustKey(point string) keystore.Key {
	k, err := keystore.ParsePoint(point)
	if err != nil {
		panic(err)
	}
	return k
}

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// ready is a site that lacks nothing: an answer that there is no registration,
// a key, a certificate and a good look from outside.
func ready() Observation {
	return Observation{
		Now: now, Key: ours, Certificate: true, ClientID: "id", Application: "digest",
		Look:   &Look{Verdict: reach.Reachable},
		Record: Record{Answer: answer(keystore.Key{})},
	}
}

func answer(k keystore.Key) *Answer {
	return &Answer{At: now.Add(-time.Minute), Next: now.Add(time.Hour), ClientID: "id", Key: k.Hex()}
}

func failure(reason string, actor fleetapi.Actor) *Failure {
	return &Failure{At: now.Add(-time.Second), Next: now.Add(time.Minute), Count: 1, Reason: reason, Actor: actor,
		Operation: string(fleetapi.OpRegister), Application: "digest", Fingerprint: ours.Fingerprint()}
}

func TestDecide(t *testing.T) {
	in := func(d time.Duration) time.Time { return now.Add(d) }
	tests := []struct {
		name   string
		change func(*Observation)
		want   Decision
	}{
		{"registers where Tesla has no key", func(o *Observation) {},
			Decision{Register, Pending, ReasonRegistering, time.Time{}}},
		{"waits for credentials", func(o *Observation) { o.ClientID, o.Application = "", "" },
			Decision{Wait, WaitingForCredentials, ReasonNoCredentials, time.Time{}}},
		{"waits for credentials that can be used", func(o *Observation) { o.ClientID, o.Application, o.BadCredentials = "", "", true },
			Decision{Wait, WaitingForCredentials, ReasonBadCredentials, time.Time{}}},
		{"observes before it acts", func(o *Observation) { o.Record = Record{} },
			Decision{Ask, Pending, ReasonAsking, time.Time{}}},
		{"asks anew for another application", func(o *Observation) { o.ClientID = "other" },
			Decision{Ask, Pending, ReasonAsking, time.Time{}}},
		{"rests when Tesla has our key", func(o *Observation) { o.Record.Answer = answer(ours) },
			Decision{Wait, Registered, "", in(time.Hour)}},
		{"looks again after a day", func(o *Observation) {
			o.Record.Answer = answer(ours)
			o.Now = in(time.Hour)
		}, Decision{Ask, Registered, "", time.Time{}}},
		{"never posts over another key", func(o *Observation) { o.Record.Answer = answer(theirs) },
			Decision{Wait, Mismatch, ReasonOtherKey, in(time.Hour)}},
		{"posts over another key when ours is accepted", func(o *Observation) {
			o.Record.Answer, o.Accepted = answer(theirs), true
		}, Decision{Register, Pending, ReasonRegistering, time.Time{}}},
		{"asks again rather than post on an old answer", func(o *Observation) {
			o.Record.Answer, o.Accepted = answer(theirs), true
			o.Now = in(5 * time.Minute)
		}, Decision{Ask, Pending, ReasonRegistering, time.Time{}}},
		{"nor on one that seems to be from the future", func(o *Observation) {
			o.Record.Answer.At = in(time.Minute)
		}, Decision{Ask, Pending, ReasonRegistering, time.Time{}}},
		{"accepted or not, an unreachable key is not registered", func(o *Observation) {
			o.Record.Answer, o.Accepted = answer(theirs), true
			o.Look = &Look{Verdict: reach.Unreachable, Reason: reach.ReasonStatus}
		}, Decision{Wait, Unreachable, reach.ReasonStatus, in(time.Hour)}},
		{"a drifted registration is a mismatch though unreachable", func(o *Observation) {
			o.Record.Answer, o.Look = answer(theirs), &Look{Verdict: reach.Unreachable, Reason: reach.ReasonStatus}
		}, Decision{Wait, Mismatch, ReasonOtherKey, in(time.Hour)}},
		{"a registration stands though unreachable", func(o *Observation) {
			o.Record.Answer, o.Look = answer(ours), &Look{Verdict: reach.Unreachable, Reason: reach.ReasonStatus}
		}, Decision{Wait, Registered, "", in(time.Hour)}},
		{"waits for a key", func(o *Observation) { o.Key = keystore.Key{} },
			Decision{Wait, Pending, ReasonNoKey, in(time.Hour)}},
		{"waits for a certificate", func(o *Observation) { o.Certificate = false },
			Decision{Wait, Pending, ReasonNoCertificate, in(time.Hour)}},
		{"waits for the first look", func(o *Observation) { o.Look = nil },
			Decision{Wait, Pending, ReasonNotLooked, in(time.Hour)}},
		{"unreachable holds it back", func(o *Observation) { o.Look = &Look{Verdict: reach.Unreachable, Reason: reach.ReasonRedirect} },
			Decision{Wait, Unreachable, reach.ReasonRedirect, in(time.Hour)}},
		{"inconclusive does not", func(o *Observation) { o.Look = &Look{Verdict: reach.Inconclusive, Reason: reach.ReasonTimeout} },
			Decision{Register, Pending, ReasonRegistering, time.Time{}}},
		{"but while a certificate spreads", func(o *Observation) {
			o.Look, o.Spread = &Look{Verdict: reach.Inconclusive, Reason: reach.ReasonTLSHandshake}, in(time.Second)
		}, Decision{Wait, Pending, ReasonSpreading, in(time.Second)}},
		{"and in its first moments, whatever is seen", func(o *Observation) { o.Certificate, o.Spread = false, in(time.Second) },
			Decision{Wait, Pending, ReasonSpreading, in(time.Hour)}},
		{"and does not when it has spread", func(o *Observation) {
			o.Look, o.Spread = &Look{Verdict: reach.Inconclusive, Reason: reach.ReasonTLSHandshake}, now
		}, Decision{Register, Pending, ReasonRegistering, time.Time{}}},
		{"a good look needs no time to spread", func(o *Observation) { o.Spread = in(time.Second) },
			Decision{Register, Pending, ReasonRegistering, time.Time{}}},
		{"a refusal that a person must mend", func(o *Observation) { o.Record.Failure = failure("domain_taken", fleetapi.ActorOperator) },
			Decision{Wait, Refused, "domain_taken", in(time.Minute)}},
		{"Tesla's own fault", func(o *Observation) { o.Record.Failure = failure("internal_error", fleetapi.ActorTesla) },
			Decision{Wait, Unavailable, "internal_error", in(time.Minute)}},
		{"asks before it posts again", func(o *Observation) {
			o.Record.Failure = failure("domain_taken", fleetapi.ActorOperator)
			o.Now = in(time.Minute)
		}, Decision{Ask, Refused, "domain_taken", time.Time{}}},
		{"posts again after that answer", func(o *Observation) {
			o.Record.Failure = failure("domain_taken", fleetapi.ActorOperator)
			o.Record.Failure.At = now.Add(-2 * time.Minute)
			o.Now = in(time.Minute)
		}, Decision{Register, Pending, ReasonRegistering, time.Time{}}},
		{"new credentials are tried at once", func(o *Observation) {
			o.Record.Failure, o.Application = failure("unauthorized_client", fleetapi.ActorOperator), "new"
		}, Decision{Register, Pending, ReasonRegistering, time.Time{}}},
		{"another key is tried at once", func(o *Observation) {
			o.Record.Failure, o.Key = failure("key_taken", fleetapi.ActorOperator), third
		}, Decision{Register, Pending, ReasonRegistering, time.Time{}}},
		{"what was registered stands while Tesla is down", func(o *Observation) {
			o.Record.Answer, o.Record.Failure = answer(ours), failure("internal_error", fleetapi.ActorTesla)
		}, Decision{Wait, Registered, "", in(time.Minute)}},
		{"a mismatch stands while Tesla is down", func(o *Observation) {
			o.Record.Answer, o.Record.Failure = answer(theirs), failure("internal_error", fleetapi.ActorTesla)
		}, Decision{Wait, Mismatch, ReasonOtherKey, in(time.Minute)}},
		{"credentials that stopped working are shown though registered", func(o *Observation) {
			o.Record.Answer, o.Record.Failure = answer(ours), failure("unauthorized_client", fleetapi.ActorOperator)
		}, Decision{Wait, Refused, "unauthorized_client", in(time.Minute)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := ready()
			tt.change(&o)
			if got := Decide(o); got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestDecideNeverOverwrites goes through every combination of what can be
// observed: whatever it is, a registration is posted only where Tesla has no
// key, the same key, or one that the operator allowed to replace.
func TestDecideNeverOverwrites(t *testing.T) {
	keys := []keystore.Key{{}, ours, theirs, third}
	posts := 0
	for _, hosted := range keys {
		for _, registered := range keys {
			for _, accepted := range []bool{false, true} {
				for mask := range 1 << 6 {
					on := func(bit int) bool { return mask>>bit&1 == 1 }
					o := ready()
					o.Key, o.Accepted = hosted, accepted
					o.Record.Answer = answer(registered)
					if on(0) {
						o.Record.Answer.ClientID = "other"
					}
					if on(1) {
						o.Record.Answer.Next = now
					}
					if on(2) {
						o.Record.Failure = failure("any", fleetapi.ActorTesla)
						if on(3) {
							o.Record.Failure.At, o.Record.Failure.Next = now.Add(-time.Hour), now
						}
					}
					o.Certificate = on(4)
					if on(5) {
						o.Look = nil
					}
					if Decide(o).Action != Register {
						continue
					}
					posts++
					free := registered.IsZero() || registered == hosted
					if o.Record.Answer.ClientID != o.ClientID || hosted.IsZero() || !free && !accepted {
						t.Fatalf("registers over %v with %v; accepted: %v; %+v", registered, hosted, accepted, o)
					}
				}
			}
		}
	}
	if posts == 0 {
		t.Error("no combination registers")
	}
}

// only accepts key in place of every other.
func only(key keystore.Key) func(key, over keystore.Key) bool {
	return func(k, _ keystore.Key) bool { return k == key }
}

func TestDecideKey(t *testing.T) {
	none := answer(keystore.Key{})
	tests := []struct {
		name string
		o    KeyObservation
		want KeyDecision
	}{
		{"makes one without credentials", KeyObservation{Answers: []*Answer{nil, nil}}, KeyDecision{Action: KeyGenerate}},
		{"restores without credentials what Tesla had", KeyObservation{Answers: []*Answer{nil, answer(ours)}}, KeyDecision{Action: KeyRestore, Key: ours}},
		{"waits while an answer that there is none is old", KeyObservation{Credentials: true, Now: now.Add(time.Hour), Answers: []*Answer{none, none}},
			KeyDecision{Action: KeyWait, Reason: ReasonAsking}},
		{"restores what Tesla had long ago", KeyObservation{Credentials: true, Now: now.Add(time.Hour), Answers: []*Answer{answer(ours), answer(ours)}},
			KeyDecision{Action: KeyRestore, Key: ours}},
		{"waits while Tesla is silent", KeyObservation{Credentials: true, Answers: []*Answer{nil, nil}},
			KeyDecision{Action: KeyWait, Reason: ReasonAsking}},
		{"waits while one region is silent", KeyObservation{Credentials: true, Answers: []*Answer{none, nil}},
			KeyDecision{Action: KeyWait, Reason: ReasonAsking}},
		{"waits for the silent region though the other has a key", KeyObservation{Credentials: true, Answers: []*Answer{answer(ours), nil}},
			KeyDecision{Action: KeyWait, Reason: ReasonAsking}},
		{"makes one where no region has one", KeyObservation{Credentials: true, Answers: []*Answer{none, none}},
			KeyDecision{Action: KeyGenerate}},
		{"restores what one region has", KeyObservation{Credentials: true, Answers: []*Answer{none, answer(ours)}},
			KeyDecision{Action: KeyRestore, Key: ours}},
		{"restores what both have", KeyObservation{Credentials: true, Answers: []*Answer{answer(ours), answer(ours)}},
			KeyDecision{Action: KeyRestore, Key: ours}},
		{"does not choose between two", KeyObservation{Credentials: true, Answers: []*Answer{answer(ours), answer(theirs)}},
			KeyDecision{Action: KeyWait, Reason: ReasonRegionsDisagree}},
		{"lets the operator choose", KeyObservation{Credentials: true, Accept: only(theirs), Answers: []*Answer{answer(ours), answer(theirs)}},
			KeyDecision{Action: KeyRestore, Key: theirs}},
		{"only where the chosen one may replace all others", KeyObservation{Credentials: true,
			Accept:  Acceptance{Key: theirs.Fingerprint(), Over: []string{ours.Fingerprint()}}.Allows,
			Answers: []*Answer{answer(ours), answer(theirs), answer(third)}},
			KeyDecision{Action: KeyWait, Reason: ReasonRegionsDisagree}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DecideKey(tt.o); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestRhythms: docs/errors.md says how long is waited, class by class.
func TestRhythms(t *testing.T) {
	doc, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []fleetapi.Retry{fleetapi.RetrySoon, fleetapi.RetryLag, fleetapi.RetryCheck, fleetapi.RetrySlow, fleetapi.RetryDaily} {
		row := Waits(class)
		if want := "*" + string(class) + "*: after " + rhythm(row); !strings.Contains(string(doc), want) {
			t.Errorf("docs/errors.md does not say %q", want)
		}
	}
}

// rhythm puts a row of waits into words.
func rhythm(row []time.Duration) string {
	var all []string
	for _, d := range row {
		switch {
		case d >= time.Hour:
			all = append(all, fmt.Sprint(d.Hours(), " h"))
		case d >= time.Minute:
			all = append(all, fmt.Sprint(d.Minutes(), " min"))
		default:
			all = append(all, fmt.Sprint(d.Seconds(), " s"))
		}
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + ", then every " + all[last]
}

func TestBackoff(t *testing.T) {
	for _, class := range []fleetapi.Retry{fleetapi.RetrySoon, fleetapi.RetryLag, fleetapi.RetryCheck, fleetapi.RetrySlow, fleetapi.RetryDaily} {
		row := Waits(class)
		for count := range len(row) + 3 {
			want := row[min(max(count, 1), len(row))-1]
			if got := Backoff(row, count); got < want || got > want+want/10+1 {
				t.Errorf("%s, failure %d: waits %v, want %v to a tenth more", class, count, got, want)
			}
		}
	}
	if row := Waits(fleetapi.RetrySlow); row[0] != time.Hour || row[1] != 6*time.Hour {
		t.Errorf("a person is waited for %v, want 1 h, then 6 h", row)
	}
	if row := Waits(fleetapi.RetryDaily); row[0] != time.Hour || row[1] != 24*time.Hour || len(row) != 2 {
		t.Errorf("other credentials are waited for %v, want 1 h, then 24 h", row)
	}
}
