package fleetapi

import (
	"encoding/json"
	"net/url"
	"strings"

	"wellkey/internal/secret"
)

// hide returns text without s: plain, or encoded as in a form or in JSON. It
// must see the whole text: a secret at the edge of a cut one is not found.
func hide(text string, s secret.Text) string {
	if s.IsZero() {
		return text
	}
	quoted, _ := json.Marshal(s.Reveal()) // a string always marshals
	for _, form := range []string{
		s.Reveal(), url.QueryEscape(s.Reveal()), url.PathEscape(s.Reveal()), string(quoted[1 : len(quoted)-1]),
	} {
		text = strings.ReplaceAll(text, form, s.String())
	}
	return text
}
