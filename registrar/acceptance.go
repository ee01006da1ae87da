package registrar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

// An Acceptance is the operator's word, given when a key is rotated, that one key
// may replace certain others at Tesla. It is kept in the storage, so that it
// outlives the process in which it was given. Fingerprints are as of
// [keystore.Key.Fingerprint].
type Acceptance struct {
	Key    string    `json:"key"`    // the new key
	Over   []string  `json:"over"`   // the keys that it may replace, and no others
	Former string    `json:"former"` // the key that was hosted before, one of Over
	At     time.Time `json:"at"`     // when it was given

	// Withdrawn is when it was taken back; from then on it allows nothing.
	Withdrawn time.Time `json:"withdrawn,omitzero"`
}

// Allows reports whether key may replace the registered key over.
func (a Acceptance) Allows(key, over keystore.Key) bool {
	return a.Withdrawn.IsZero() && !key.IsZero() && !over.IsZero() &&
		key.Fingerprint() == a.Key && slices.Contains(a.Over, over.Fingerprint())
}

func acceptanceKey(domain string) string { return "accepted/" + domain + ".json" }

// LoadAcceptance returns what was last accepted for domain; the zero Acceptance,
// which allows nothing, if nothing ever was, and also with an error.
func LoadAcceptance(ctx context.Context, s Storage, domain string) (Acceptance, error) {
	data, err := s.Load(ctx, acceptanceKey(domain))
	if errors.Is(err, fs.ErrNotExist) {
		return Acceptance{}, nil
	}
	if err != nil {
		return Acceptance{}, fmt.Errorf("loading the accepted key: %w", err)
	}
	var a Acceptance
	if err := json.Unmarshal(data, &a); err != nil {
		return Acceptance{}, fmt.Errorf("decoding the accepted key: %w", err)
	}
	return a, nil
}

// StoreAcceptance records a for domain, in place of what was accepted before.
func StoreAcceptance(ctx context.Context, s Storage, domain string, a Acceptance) error {
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the accepted key: %w", err)
	}
	if err := s.Store(ctx, acceptanceKey(domain), append(data, '\n')); err != nil {
		return fmt.Errorf("storing the accepted key: %w", err)
	}
	return nil
}

// LastAnswer returns what Tesla last said to the application clientID about
// domain in region, as the registrar noted it; nil if it never did. With an empty
// clientID the answer to any application counts.
func LastAnswer(ctx context.Context, s Storage, domain string, region fleetapi.Region, clientID string) (*Answer, error) {
	r, err := loadRecord(ctx, s, domain, region)
	if err != nil || clientID == "" {
		return r.Answer, err
	}
	return r.answerFor(clientID), nil
}
