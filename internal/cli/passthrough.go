package cli

import (
	"context"
	"sync"

	"wellkey/internal/config"
	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/server/passthrough"
)

// examinePassthrough says for the doctor of each target of passthrough whether it can
// be reached from here. Where it cannot that is a warning, since the key is not
// concerned, and the wellkey that runs may be in another network.
func examinePassthrough(ctx context.Context, s *config.Settings) []finding.Finding {
	found := make([]finding.Finding, len(s.Passthrough.Routes))
	var all sync.WaitGroup
	for i, r := range s.Passthrough.Routes {
		all.Go(func() {
			f := finding.Finding{ID: "passthrough", Status: finding.OK, On: r.Name, Seen: r.Target + " takes connections."}
			if trouble, ok := passthrough.Look(ctx, r.Target); !ok {
				f.Status, f.Seen = finding.Warn, r.Target+" cannot be reached from here: "+trouble.Error+"."
				f.Cause, f.Fix = phrase.Sentence(trouble.Cause), phrase.Sentence(trouble.Fix)
			}
			found[i] = f
		})
	}
	all.Wait()
	return found
}
