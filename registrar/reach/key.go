package reach

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/internal/probetoken"
	"wellkey/keystore"
)

// published gives key_parse, key_private and key_canonical: what is the file
// that is published? A file that is cut is not read, but for a private key.
func (h *host) published() []result {
	v := h.main
	if v.status == 0 {
		return nil
	}
	parsed, err := keystore.Parse(v.body)
	var refusal *keystore.ParseError
	private := parsed.Private || errors.As(err, &refusal) && refusal.Private
	var results []result
	if private {
		results = append(results, because("key_private", finding.Fail, ReasonPrivateKey,
			"ALARM: what is published there is a PRIVATE key, readable by anybody.",
			"The private file was copied to the web root in place of the public one.",
			"Take it down now. Treat that key as stolen: whoever has it can command the vehicles that trust it. Make a new key, register it, and let every owner pair again and remove the old key from the vehicle."))
	}
	if !v.file() || v.cut != nil || len(v.body) >= maxBody {
		return results
	}
	if !private {
		results = append(results, ok("key_private", "It is not a private key."))
	}
	if err != nil {
		return append(results, notAKey(err))
	}
	h.Key = parsed.Key
	results = append(results, ok("key_parse", "It is a P-256 key with the fingerprint %s.", h.Key.Fingerprint()))
	if !private {
		results = append(results, canonical(parsed, v.body))
	}
	return results
}

func notAKey(err error) result {
	const id = "key_parse"
	var refusal *keystore.ParseError
	if !errors.As(err, &refusal) {
		return because(id, finding.Fail, ReasonNotAKey, "What is published there is not a key: "+quote(err.Error())+".",
			"Another file was published.", "Publish the public key alone, in PEM.")
	}
	return because(id, finding.Fail, ReasonNotAKey, "What is published there "+refusal.Cause+".",
		"Another file than the public key was published, or it was changed on the way there. Tesla takes a P-256 public key in PEM and nothing else.",
		phrase.Sentence(refusal.Fix))
}

func canonical(parsed keystore.Parsed, body []byte) result {
	const id = "key_canonical"
	if bytes.Equal(body, parsed.Key.PEM()) {
		return ok(id, "The file is in its canonical form, %d bytes.", len(body))
	}
	quirks := make([]string, len(parsed.Quirks))
	for i, quirk := range parsed.Quirks {
		quirks[i] = string(quirk)
	}
	seen := fmt.Sprintf("The file is not in its canonical form: it has %d bytes in place of %d", len(body), len(parsed.Key.PEM()))
	if len(quirks) > 0 {
		seen += " (" + strings.Join(quirks, ", ") + ")"
	}
	return because(id, finding.Warn, "", seen+".",
		"An editor, a copy through a web form, or a conversion changed line ends or added something.",
		"Publish the file as openssl ec -pubout writes it; Tesla's reader may be less forgiving than wellkey's.")
}

// matches gives key_match: is it our key?
func (h *host) matches() []result {
	const id = "key_match"
	switch want := h.look.want; {
	case h.Key.IsZero():
		return nil
	case want.IsZero():
		return []result{skipped(id, "There is no key to compare with.")}
	case h.Key == want:
		return []result{ok(id, "It is the key that we expect.")}
	}
	return []result{because(id, finding.Fail, ReasonWrongKey,
		fmt.Sprintf("It is another key: %s is published, %s is expected.", h.Key.Fingerprint(), h.look.want.Fingerprint()),
		"Another host or an older installation answers at this address, a cache in front still holds the old key, or the published file and the local one are of two key pairs.",
		"Point the record at the host that has the expected key, publish that key there, or clear the cache. Do not register again before both are the same.")}
}

// thisIsMe gives this_is_me: did this very process answer? If not, that is a
// fault only where the key is not ours either: proxies and replicas are usual.
func (h *host) thisIsMe() []result {
	const id = "this_is_me"
	v := h.main
	switch token := h.look.prober.config.Token; {
	case v.status == 0:
		return nil
	case token == nil:
		return []result{skipped(id, "No running wellkey asks, so there is nobody to recognise.")}
	case token.Verify(h.challenge, v.header.Get(probetoken.Header)):
		h.Self = true
		return []result{ok(id, "This very process answered.")}
	}
	return []result{because(id, finding.Unknown, "", "The answer does not come from this process.",
		"A cache or a proxy in front answers in its place or drops the header, another replica answered, or another host has this name.",
		"Nothing, if the key is the expected one and such a proxy or replica is intended; else look where the record leads.")}
}
