package registrar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

// A record is what is remembered of one domain in one region over restarts, so
// that a restart with nothing changed asks for nothing.
type record struct {
	Answer  *Answer  `json:"answer,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
	// RegisteredAt is when our last registration was accepted and read back.
	RegisteredAt time.Time `json:"registered_at,omitzero"`
}

// An Answer is what Tesla last said about the registered key.
type Answer struct {
	At       time.Time `json:"at"`
	Next     time.Time `json:"next"`      // when to look again
	ClientID string    `json:"client_id"` // the application that asked
	Key      string    `json:"key"`       // 130 hexadecimal characters; "" means that there is no registration
}

// A Failure is the last request that did not succeed. Its texts are safe to
// show: Tesla's own words are quoted and cut.
type Failure struct {
	At          time.Time      `json:"at"`
	Next        time.Time      `json:"next"`                // not before then, by the backoff table or Tesla's own word
	NotBefore   time.Time      `json:"not_before,omitzero"` // by Tesla's own word; zero = it gave none
	Count       int            `json:"count"`               // failures in a row, or fewer where the retry class changed: countAfter
	Operation   string         `json:"operation"`
	Reason      string         `json:"reason"`
	Actor       fleetapi.Actor `json:"actor"`
	Retry       fleetapi.Retry `json:"retry"`
	What        string         `json:"what"` // what happened, Tesla's text included
	Cause       string         `json:"cause"`
	Fix         string         `json:"fix"`
	TxID        string         `json:"txid,omitempty"` // what Tesla's support asks for
	Application string         `json:"application"`    // digest of the credentials in use
	Fingerprint string         `json:"fingerprint"`    // of the key that was hosted
}

// state tells a refusal, where a person must act, from what passes: a broken
// network may be the operator's too, but Tesla did not say no.
func (f *Failure) state() State {
	if f.Actor == fleetapi.ActorOperator && f.Retry != fleetapi.RetrySoon {
		return Refused
	}
	return Unavailable
}

// Registered returns the registered key, or the zero Key where there is none.
func (a *Answer) Registered() keystore.Key {
	if a.Key == "" {
		return keystore.Key{}
	}
	k, err := keystore.ParsePoint(a.Key)
	if err != nil {
		return keystore.Key{} // validate keeps such a record from being loaded
	}
	return k
}

// fresh reports whether the answer is of the last minutes, by both clocks: the
// monotonic one stands still while the machine sleeps, the other can be set.
func (a *Answer) fresh(now time.Time) bool {
	by := func(now time.Time) bool { age := now.Sub(a.At); return 0 <= age && age <= freshAnswer }
	return by(now) && by(now.Round(0))
}

// answerFor returns the answer if it was given to this application: a
// registration belongs to one application, another one gets another answer.
func (r record) answerFor(clientID string) *Answer {
	if r.Answer == nil || r.Answer.ClientID != clientID {
		return nil
	}
	return r.Answer
}

// failureFor returns the failure if it still means something: new credentials
// or another key are tried at once.
func (r record) failureFor(application string, key keystore.Key) *Failure {
	if r.Failure == nil || r.Failure.Application != application || r.Failure.Fingerprint != key.Fingerprint() {
		return nil
	}
	return r.Failure
}

// loaded returns r as it counts in a process that has just read it, and hosts
// key. Not without being asked again counts an answer from the future, which a
// clock that was ahead wrote, or that a clock that is behind cannot judge; nor,
// where a key might be made on it, one that there is none. A failure from the
// future puts nothing off.
func (r record) loaded(now time.Time, key keystore.Key) record {
	if a := r.Answer; a != nil && a.Key == "" && key.IsZero() {
		r.Answer = a.due(now)
	}
	return r.withoutFuture(now, now)
}

// withoutFuture returns r where nothing that is said to be of later than limit counts:
// such an answer is asked for again, and such a failure puts nothing off.
func (r record) withoutFuture(now, limit time.Time) record {
	if a := r.Answer; a != nil && a.At.After(limit) {
		r.Answer = a.due(now)
	}
	if r.Failure != nil && r.Failure.At.After(limit) {
		r.Failure = nil
	}
	return r.withoutLongWaits(now)
}

// due returns a as one after which is asked again at once.
func (a Answer) due(now time.Time) *Answer {
	a.Next = now
	return &a
}

// withoutLongWaits returns r where no date that nobody here writes puts off the next
// question: what is stored may be damaged, and still be JSON.
func (r record) withoutLongWaits(now time.Time) record {
	latest := now.Add(longestWait)
	if a := r.Answer; a != nil && a.Next.After(latest) {
		r.Answer = a.due(now)
	}
	if f := r.Failure; f != nil && (f.Next.After(latest) || f.NotBefore.After(latest)) {
		again := *f
		if f.Next.After(latest) {
			again.Next = now
		}
		if f.NotBefore.After(latest) {
			again.NotBefore = time.Time{}
		}
		r.Failure = &again
	}
	return r
}

// Storage keeps records: the consumer contract for the state store. Load of an
// unknown key is fs.ErrNotExist.
type Storage interface {
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
}

func recordKey(domain string, region fleetapi.Region) string {
	return "registrations/" + domain + "/" + string(region) + ".json"
}

// loadRecord returns the stored record. Where there is none, or a damaged one,
// it returns an empty record: asking Tesla rebuilds it. The error tells of the
// damage.
func loadRecord(ctx context.Context, s Storage, domain string, region fleetapi.Region) (record, error) {
	data, err := s.Load(ctx, recordKey(domain, region))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, fmt.Errorf("loading the registration record: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("decoding the registration record: %w", err)
	}
	if r.Answer != nil && r.Answer.Key != "" {
		if _, err := keystore.ParsePoint(r.Answer.Key); err != nil {
			return record{}, fmt.Errorf("decoding the registered key of the record: %w", err)
		}
	}
	return r, nil
}

func storeRecord(ctx context.Context, s Storage, domain string, region fleetapi.Region, r record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the registration record: %w", err)
	}
	if err := s.Store(ctx, recordKey(domain, region), append(data, '\n')); err != nil {
		return fmt.Errorf("storing the registration record: %w", err)
	}
	return nil
}
