package admin

import (
	"cmp"
	"fmt"
	"time"

	"wellkey/internal/phrase"
	"wellkey/server/certs"
)

func checkCertificate(s certs.Status, domain string, now time.Time) Check {
	c := Check{ID: "certificate", Title: "Certificate", State: OK}
	if e := s.LastError; e != nil {
		c.Seen, c.Cause, c.Fix = e.Text, phrase.Sentence(e.Cause), phrase.Sentence(e.Fix)
	}
	left, life := s.NotAfter.Sub(now), s.NotAfter.Sub(s.NotBefore)
	switch {
	case s.Source == "off":
		c.Text = "The proxy in front of wellkey has the certificate."
	case !s.Have && s.LastError == nil:
		c.State, c.Text = Waiting, "The certificate is being obtained."
	case !s.Have && passes(s.LastError.Reason):
		c.State, c.Text = Waiting, "There is no certificate yet; wellkey goes on trying."
	case !s.Have:
		c.State, c.Text = Action, "There is no certificate, so neither Tesla nor owners can fetch the key."
	case left <= 0:
		c.State, c.Text = Action, fmt.Sprintf("The certificate expired %s ago, so neither Tesla nor owners can fetch the key.", span(-left))
		c.Fix = cmp.Or(c.Fix, renewal(s.Source, domain))
	case now.Before(s.NotBefore):
		c.State, c.Text = Action, "The certificate is not valid yet."
		c.Cause = cmp.Or(c.Cause, "The clock of this host is slow, or the certificate was made for later.")
		c.Fix = cmp.Or(c.Fix, "Set the clock, and keep it right with NTP.")
	case s.LastError != nil:
		c.State, c.Text = Attention, fmt.Sprintf("The certificate is good for another %s, but getting the next one failed.", span(left))
	case s.Warning != "":
		c.State, c.Text = Attention, "The certificate is served, but asks for a look."
		c.Seen = phrase.Sentence(s.Warning)
		c.Fix = "Replace the certificate files; they are read again automatically."
	case float64(left) < shareToExpiry*float64(life):
		c.State, c.Text = Attention, fmt.Sprintf("The certificate ends in %s and was not renewed yet.", span(left))
		c.Fix = renewal(s.Source, domain)
	case s.WhyFallback != nil:
		c.Text = fmt.Sprintf("The certificate is good for another %s. The fallback authority gave it, since the first one failed.", span(left))
		if why := s.WhyFallback; !passes(why.Reason) { // so it will fail at the next renewal, too
			c.State = Attention
			c.Seen, c.Cause, c.Fix = why.Text, phrase.Sentence(why.Cause), phrase.Sentence(why.Fix)
		}
	default:
		c.Text = fmt.Sprintf("The certificate is good for another %s.", span(left))
	}
	return c
}

// renewal says how a domain gets the next certificate from where it has this one.
func renewal(source, domain string) string {
	if source == "files" {
		return "Put a renewed pair in the place of tls_cert_file and tls_key_file; it is taken over within seconds."
	}
	return "Run: wellkey renew --now --domain " + domain + "; what it meets is shown here."
}

// passes reports whether the reason of a failed attempt usually ends without
// anybody here.
func passes(r certs.Reason) bool {
	switch r {
	case certs.ReasonServer, certs.ReasonTimeout, certs.ReasonRateLimited, certs.ReasonRequest, certs.ReasonBudget, certs.ReasonCrashLoop, certs.ReasonOther:
		return true
	}
	return false
}
