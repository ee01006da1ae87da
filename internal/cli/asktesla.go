package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"wellkey/internal/config"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

// An answer is what Tesla says about one region.
type answer struct {
	Region fleetapi.Region
	Key    keystore.Key // the registered one; zero: there is none
	Err    error        // why that is not known
}

// askTesla asks every region, side by side, which key it has on record for the
// domain. Without credentials nobody can be asked, and it returns nil.
func askTesla(ctx context.Context, s *config.Settings) ([]answer, error) {
	id, key, err := config.LoadCredentials(s)
	if err != nil {
		return nil, &usageError{err}
	}
	credentials := fleetapi.Credentials{ClientID: id, ClientSecret: key}
	if credentials.IsZero() {
		return nil, nil
	}
	client, err := fleetapi.New(fleetapi.Config{
		Credentials: credentials,
		AuthURL:     s.Tesla.AuthURL,
		BaseURLs:    s.Tesla.APIURLs,
		UserAgent:   "wellkey/" + version(),
	})
	if err != nil {
		return nil, err
	}
	answers := make([]answer, len(s.Regions))
	var all sync.WaitGroup
	for i, region := range s.Regions {
		all.Go(func() { answers[i] = ask(ctx, client, region, s.Domain) })
	}
	all.Wait()
	return answers, nil
}

func ask(ctx context.Context, client *fleetapi.Client, region fleetapi.Region, domain string) answer {
	a := answer{Region: region}
	text, err := client.PublicKey(ctx, region, domain)
	switch {
	case errors.Is(err, fleetapi.ErrNotRegistered):
	case err != nil:
		a.Err = err
		if refused, ok := errors.AsType[*fleetapi.Error](err); ok {
			a.Err = fmt.Errorf("%w\n%s", err, refused.Fix())
		}
	default:
		if a.Key, err = keystore.ParsePoint(text); err != nil {
			a.Err = fmt.Errorf("the answer of Tesla in %s %w", region, err)
		}
	}
	return a
}
