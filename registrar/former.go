package registrar

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"wellkey/registrar/fleetapi"
)

// FormerStorage is what FormerDomains reads: the consumer contract for a state
// store that can be searched. List of an unknown prefix is fs.ErrNotExist, or
// nothing.
type FormerStorage interface {
	Storage
	List(ctx context.Context, prefix string, recursive bool) ([]string, error)
}

// FormerDomains returns the domains that Tesla had on record when this state was
// written, sorted, if domain is new here: if nothing was asked of it so far. So a
// changed domain is told once, and domains that were side by side never are.
func FormerDomains(ctx context.Context, s FormerStorage, domain string) ([]string, error) {
	keys, err := s.List(ctx, "registrations", true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the registration records: %w", err)
	}
	var former []string
	for _, key := range keys {
		parts := strings.Split(key, "/")
		if len(parts) != 3 { // a directory, where the store has them
			continue
		}
		if parts[1] == domain {
			return nil, nil
		}
		r, err := loadRecord(ctx, s, parts[1], fleetapi.Region(strings.TrimSuffix(parts[2], ".json")))
		if err == nil && r.Answer != nil && r.Answer.Key != "" { // a damaged record tells nothing
			former = append(former, parts[1])
		}
	}
	slices.Sort(former)
	return slices.Compact(former), nil
}
