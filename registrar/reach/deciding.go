package reach

import (
	"slices"

	"wellkey/internal/finding"
)

// Deciding returns the finding behind r.Reason: what was seen, its cause and
// its fix. It is zero when the domain is reachable. Where there is no such
// finding, as after a cancellation, it has the reason for its id and no texts.
func (r Report) Deciding() finding.Finding {
	if r.Reason == "" {
		return finding.Finding{}
	}
	on := "" // the name itself, unless an address decided
	if i := slices.IndexFunc(r.Addresses, func(a Address) bool { return a.Reason == r.Reason }); i >= 0 {
		on = r.Addresses[i].IP.String()
	}
	ids := checksOf(r.Reason)
	for _, f := range r.Findings {
		if f.On == on && (f.Status == finding.Fail || f.Status == finding.Unknown) && slices.Contains(ids, f.ID) {
			return f
		}
	}
	return finding.Finding{ID: r.Reason, Status: finding.Unknown}
}

// checksOf returns the checks that can give reason.
func checksOf(reason string) []string {
	switch reason {
	case ReasonPrivateKey:
		return []string{"key_private"}
	case ReasonBadDomain:
		return []string{"domain"}
	case ReasonNXDomain, ReasonNoAddress, ReasonDNS:
		return []string{"dns_resolves"}
	case ReasonPrivateAddress:
		return []string{"dns_public"}
	case ReasonTLSHandshake, ReasonTLSName:
		return []string{reason}
	case ReasonTLSSelfSigned, ReasonTLSIncomplete, ReasonTLSUntrusted:
		return []string{"tls_chain"}
	case ReasonTLSExpired, ReasonTLSNotYetValid:
		return []string{"tls_dates", "tls_chain"}
	case ReasonHTTP:
		return []string{"http_answer", "http_length"}
	case ReasonRedirect, ReasonBotChallenge, ReasonStatus, ReasonHTML:
		return []string{"http_" + reason}
	case ReasonTooLarge:
		return []string{"http_length"}
	case ReasonNotAKey:
		return []string{"key_parse"}
	case ReasonWrongKey:
		return []string{"key_match"}
	case ReasonTimeout:
		return []string{"dial", "tls_handshake", "http_answer", "http_length"}
	case ReasonPathMTU:
		return []string{"tls_handshake", "http_answer"}
	case ReasonRefused, ReasonNoRoute, ReasonCannotConnect:
		return []string{"dial"}
	case ReasonInternal:
		return []string{"dial", "tls_chain"}
	}
	return nil
}
