package doctor

import (
	"slices"

	"wellkey/internal/finding"
	"wellkey/registrar/reach"
)

// The ids of the checks that are the doctor's own; the others are those of
// reach.
const (
	idDomain     = "domain"
	idDomainName = "domain_name"
	idLook       = "look"
	idKeySame    = "key_same"
	idKeyLocal   = "key_local"
	idStorage    = "storage"
	idPassed     = "passthrough"
	idStatus     = "tesla_status"
	idToken      = "tesla_token" // #nosec G101 -- the name of a check
	idAudience   = "tesla_audience"
	idScopes     = "tesla_scopes"
	idRegistered = "tesla_key"
)

// untold are checks of reach that mean nothing to a doctor, who hosts no key.
var untold = []string{"this_is_me"}

// Checks returns the ids of all findings, in the order in which they are told.
func Checks() []string {
	ids := []string{idDomain, idDomainName, idLook}
	var key, clock []string
	for _, id := range reach.Checks() {
		switch nameOf(finding.Finding{ID: id}) {
		case NameKey:
			key = append(key, id)
		case NameClock:
			clock = append(clock, id)
		default:
			if id != idDomain && !slices.Contains(untold, id) {
				ids = append(ids, id)
			}
		}
	}
	return slices.Concat(ids, key, []string{idKeySame, idKeyLocal}, clock,
		[]string{idStorage, idPassed, idStatus, idToken, idAudience, idScopes, idRegistered})
}

func ok(id, on, seen string) finding.Finding {
	return finding.Finding{ID: id, Status: finding.OK, On: on, Seen: seen}
}
