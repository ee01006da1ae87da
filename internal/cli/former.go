package cli

import (
	"context"

	"go.uber.org/zap"

	"wellkey/registrar"
)

// tellFormerDomains logs that the domain was changed: cars and Tesla know the
// application under the former one. Registration goes on all the same, since the
// change may be meant.
func tellFormerDomains(store registrar.FormerStorage, domain string, log *zap.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	former, err := registrar.FormerDomains(ctx, store, domain)
	if err != nil {
		log.Warn("former domains cannot be read", zap.Error(err),
			zap.String("fix", "Fix what the error names. If the setting domain was changed, make sure that it was meant: it would have been reported here."))
	}
	for _, name := range former {
		log.Warn("domain changed", zap.String("former_domain", name), zap.String("domain", domain),
			zap.String("cause", "The setting domain is not the one that was registered from this data directory: a tunnel or a dynamic name may have got a new name."),
			zap.String("fix", "If it is not meant, set domain to "+name+" again. If it is, let every owner pair again with the new link: an application has one domain in a region, and the registration moves to the new one."))
	}
}
