package reach

import (
	"cmp"
	"slices"
)

// A Verdict says whether the world can fetch our key.
type Verdict string

// The verdicts.
const (
	Reachable    Verdict = "reachable"    // at least one address gives our key, and none gives anything else
	Unreachable  Verdict = "unreachable"  // no, for a reason that we are sure of
	Inconclusive Verdict = "inconclusive" // cannot be told from here: Tesla's answer is the better witness
)

// Verdicts returns all verdicts.
func Verdicts() []Verdict { return []Verdict{Reachable, Unreachable, Inconclusive} }

// The reasons of a verdict and of an address. The set is closed; the texts are
// stable, since they are metric labels.
const (
	// Of these we are sure.
	ReasonPrivateKey     = "private_key_published"
	ReasonBadDomain      = "bad_domain"
	ReasonNXDomain       = "nxdomain"
	ReasonNoAddress      = "no_address"
	ReasonPrivateAddress = "private_address"
	ReasonTLSIncomplete  = "tls_incomplete_chain"
	ReasonTLSExpired     = "tls_expired"
	ReasonTLSNotYetValid = "tls_not_yet_valid"
	ReasonHTTP           = "http_error"
	ReasonRedirect       = "redirect"
	ReasonBotChallenge   = "bot_challenge"
	ReasonStatus         = "status"
	ReasonHTML           = "html"
	ReasonTooLarge       = "too_large"
	ReasonNotAKey        = "not_a_key"
	ReasonWrongKey       = "wrong_key"

	// Of these we are sure only sometimes, see strange.
	ReasonTLSHandshake  = "tls_handshake"
	ReasonTLSSelfSigned = "tls_self_signed"
	ReasonTLSUntrusted  = "tls_untrusted"
	ReasonTLSName       = "tls_name"

	// Nor of these.
	ReasonDNS           = "dns_error"      // no resolver gave an answer
	ReasonRefused       = "refused"        // the connection was refused
	ReasonTimeout       = "timeout"        // no answer in time, at any stage
	ReasonPathMTU       = "path_mtu"       // small packets pass, large ones are lost on the way
	ReasonNoRoute       = "no_route"       // this machine has no way to that family of addresses
	ReasonCannotConnect = "cannot_connect" // another failure to connect
	ReasonCanceled      = "canceled"       // the caller gave up
	ReasonInternal      = "internal"       // a fault of wellkey itself
)

// Reasons returns every reason that a Report or an Address can carry.
func Reasons() []string { return slices.Concat(sure(), strange(), unsure()) }

// sure returns the reasons that make a verdict unreachable.
func sure() []string {
	return []string{
		ReasonPrivateKey, ReasonBadDomain, ReasonNXDomain, ReasonNoAddress, ReasonPrivateAddress,
		ReasonTLSIncomplete, ReasonTLSExpired, ReasonTLSNotYetValid, ReasonHTTP, ReasonRedirect, ReasonBotChallenge,
		ReasonStatus, ReasonHTML, ReasonTooLarge, ReasonNotAKey, ReasonWrongKey,
	}
}

// strange returns the reasons of one who answers without a certificate that
// proves the name. From behind a home router, its own page often answers at our
// public address (hairpin NAT), so a verdict on them alone is inconclusive. With
// our key at another address beside, or if this very process answered, they are
// as sure as the others.
func strange() []string {
	return []string{ReasonTLSHandshake, ReasonTLSSelfSigned, ReasonTLSUntrusted, ReasonTLSName}
}

// unsure returns the reasons that leave a verdict inconclusive.
func unsure() []string {
	return []string{
		ReasonDNS, ReasonRefused, ReasonTimeout, ReasonPathMTU, ReasonNoRoute, ReasonCannotConnect, ReasonCanceled, ReasonInternal,
	}
}

// decide returns the verdict on the addresses, of which there is at least one,
// and its reason.
//
// Whoever answers as the domain, but with something else than our key, decides:
// some clients will be sent there, and they do not try another address once one
// has answered. So does a stranger beside an address that gives our key. A
// published private key comes before all else. An address that cannot be
// connected to, or that is private, does not spoil a good one beside it, since
// clients go on to the next address then; its finding says that it is broken.
// Nor does one that is private spoil the doubt about another.
func decide(addresses []Address) (Verdict, string) {
	var wrong, stranger, doubt, private string
	good := false
	for _, a := range addresses {
		switch {
		case a.OK:
			good = true
		case a.Reason == ReasonPrivateKey:
			return Unreachable, a.Reason
		case a.Reason == ReasonPrivateAddress:
			private = a.Reason
		case slices.Contains(sure(), a.Reason), slices.Contains(strange(), a.Reason) && a.Self:
			wrong = cmp.Or(wrong, a.Reason)
		case slices.Contains(strange(), a.Reason):
			stranger = cmp.Or(stranger, a.Reason)
		default:
			doubt = cmp.Or(doubt, a.Reason)
		}
	}
	switch {
	case wrong != "":
		return Unreachable, wrong
	case good && stranger != "":
		return Unreachable, stranger
	case good:
		return Reachable, ""
	case stranger != "" || doubt != "":
		return Inconclusive, cmp.Or(stranger, doubt)
	default:
		return Unreachable, private
	}
}

// Checks returns the ids of all findings in the order in which they are told:
// those of the name, then those of an address. From dns_caa and tls_no_sni on,
// each group ends with what only Examine looks at.
func Checks() []string {
	return []string{
		"domain", "dns_resolves", "dns_agree", "dns_ipv4", "dns_caa", "dns_challenge",
		"dns_public", "dial", "tls_handshake", "tls_name", "tls_chain", "tls_dates", "tls_cn",
		"http_answer", "http_redirect", "http_bot_challenge", "http_status", "http_html", "http_content_type", "http_length",
		"key_private", "key_parse", "key_canonical", "key_match", "this_is_me",
		"tls_no_sni", "http_head", "http_phone", "http_port80", "clock",
	}
}
