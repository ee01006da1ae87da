package doctor

import (
	"cmp"
	"fmt"
	"strings"

	"wellkey/registrar/reach"
)

// Markdown returns the checks, and the reasons of a verdict about reachability,
// as a document for people: docs/checks.md.
func Markdown() []byte {
	var b strings.Builder
	b.WriteString(aboutChecks)
	for _, id := range Checks() {
		fmt.Fprintf(&b, "| %s | %s |\n", id, questions[id])
	}
	b.WriteString(aboutJSON + aboutReasons)
	for _, sure := range []bool{true, false} {
		b.WriteString("| reason | what it means | check |\n|---|---|---|\n")
		for _, reason := range reach.Reasons() {
			if r := reasons[reason]; r.unsure != sure {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", reason, r.meaning, cmp.Or(strings.Join(r.checks, ", "), "none"))
			}
		}
		b.WriteString("\n")
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

const aboutChecks = `# Checks and reasons

What ` + "`wellkey doctor`" + ` checks, and why a domain counts as not reachable. Refusals of Tesla's are in [errors.md](errors.md).

This page is made from ` + "`internal/doctor/markdown_test.go`: `go test ./internal/doctor -update`" + `.

## Checks

The ids are stable. Each check ends in one of

| status | |
|---|---|
| ok | as it must be |
| warn | works, but somebody should look |
| fail | must be fixed |
| unknown | could not be decided from here |
| skipped | does not apply, or an earlier check failed |

and the whole with exit status 0 (nothing must be fixed), 1 (something failed) or 3 (nothing failed, something is
unknown). Exit status 2 means wrong usage or settings.

| check | question |
|---|---|
`

const aboutJSON = `
## JSON

` + "`wellkey doctor --json`" + ` prints one object. Fields may be added, but none is renamed or taken away.

| field | |
|---|---|
| typed, domain | the domain as it was given, and the host that was examined; domain is empty where there is none |
| at, duration_seconds | when the examination began, and how long it took |
| outcome | well, fix or undecided: exit status 0, 1 or 3 |
| verdict | what to do first, for people |
| first | the finding that the verdict is about; missing where all is well |
| groups[] | name: domain, dns, address, key, clock, storage, passthrough or tesla; on: the IP address or region, where there may be several; findings[] |
| findings[] | id; status; on: the address, region or name, where it is about one of several; seen; cause and fix where it is not ok |

` + "`wellkey register --json`" + ` prints one object under the same promise.

| field | |
|---|---|
| domain, key_fingerprint | what is to be registered; key_fingerprint is empty where no key was found |
| outcome | registered (in every region), fix or undecided: exit status 0, 1 or 3 |
| verdict | for people |
| look | what the look from outside came to: a finding with the id look, or that of the check that decided |
| regions[] | region; state: pending, registered, unreachable, mismatch, refused or unavailable; reason; done: this attempt registered it; registered_fingerprint: of the key that Tesla has; seen, cause, fix; txid: what Tesla's support asks for; pairing_link |

`

const aboutReasons = `## Reasons

Why the look from outside found the key not reachable, in logs, metrics and the status, and which checks tell more. Of
the reasons in the second table a look from inside cannot be sure; wellkey then lets Tesla decide. The four that begin
with tls there are of a stranger, who may be the router in between; they are as sure as the others where another address
gives the key, or where wellkey itself answered.

`

// questions says what each check asks. It is only ever read.
// #nosec G101 -- questions, some about tokens
var questions = map[string]string{
	idDomain:     "Is it a bare, lower-case host name, and nobody's public suffix?",
	idDomainName: "Is there something in the name that Tesla's portal or the public DNS refuses?",
	idLook:       "Told only where the look from outside did not come to an end.",

	"dns_resolves":  "Does the name lead to an address, and through which CNAME records?",
	"dns_agree":     "Do all resolvers say the same?",
	"dns_ipv4":      "Is there an IPv4 address?",
	"dns_caa":       "Do the CAA records let the certificate authority in use, and its fallback, issue?",
	"dns_challenge": "Does `_acme-challenge` lead to where the record will be that proves the domain, and to nobody else's zone?",
	"dns_public":    "Is it a public address: not private, not CGNAT, not loopback?",

	"dial":          "Does the address take connections?",
	"tls_handshake": "Does it speak TLS 1.2 or newer?",
	"tls_name":      "Does the certificate name the domain?",
	"tls_chain":     "Is the chain complete, and does it lead to a trusted root?",
	"tls_dates":     "Is the certificate valid now, and is its renewal not overdue (a sixth of its lifetime left)?",
	"tls_cn":        "Does its common name contain the domain? Users report that Tesla's portal requires that.",
	"tls_no_sni":    "Does a client that does not name the host get the same certificate?",

	"http_answer":        "Does an HTTP answer come?",
	"http_redirect":      "Is there no redirect? Tesla follows none.",
	"http_bot_challenge": "Is there no bot challenge, firewall or login in the way?",
	"http_status":        "Is the status 200?",
	"http_html":          "Is it not a web page?",
	"http_content_type":  "Is it labelled and sent as a file?",
	"http_length":        "Did all of it come, and is it of a key's size?",
	"http_head":          "Is HEAD answered as GET is?",
	"http_phone":         "Does an owner's phone get the same as a plain client?",
	"http_port80":        "What does plain HTTP answer?",

	"key_private":   "Is it not the private key that is published?",
	"key_parse":     "Is it one P-256 public key in PEM?",
	"key_canonical": "Is the file in its canonical form: no CRLF, no byte order mark, nothing around it?",
	"key_match":     "Is it the key of the local key file?",
	idKeySame:       "Do all addresses give the same key? Asked where there is no local key.",
	idKeyLocal:      "Can the local key file be read?",
	"clock":         "Does the clock of this machine agree with the host's?",

	idStorage:    "Does the storage that replicas share answer, let us in, and keep what it is given? Asked where there is one.",
	idPassed:     "Can the targets of `passthrough` be reached from here? Asked where there are some.",
	idStatus:     "Is Tesla's API of the region up?",
	idToken:      "Does Tesla give the application a token, and of the right kind?",
	idAudience:   "Is the token for this region?",
	idScopes:     "Does the token allow what was asked for?",
	idRegistered: "Which key does Tesla have on record, and is it the published one?",
}

// A reason is what one of reach's reasons means, and the checks behind it.
type reason struct {
	meaning string
	checks  []string
	unsure  bool
}

// reasons explains reach.Reasons. It is only ever read.
var reasons = map[string]reason{
	reach.ReasonPrivateKey:     {"the private key is published: an alarm", []string{"key_private"}, false},
	reach.ReasonBadDomain:      {"the domain is no host name", []string{idDomain}, false},
	reach.ReasonNXDomain:       {"the name does not exist", []string{"dns_resolves"}, false},
	reach.ReasonNoAddress:      {"the name has no address", []string{"dns_resolves"}, false},
	reach.ReasonPrivateAddress: {"the address is not public", []string{"dns_public"}, false},
	reach.ReasonTLSHandshake:   {"TLS does not come about", []string{"tls_handshake"}, true},
	reach.ReasonTLSSelfSigned:  {"the certificate is self-signed", []string{"tls_chain"}, true},
	reach.ReasonTLSIncomplete:  {"an intermediate certificate is missing", []string{"tls_chain"}, false},
	reach.ReasonTLSUntrusted:   {"the authority is not trusted", []string{"tls_chain"}, true},
	reach.ReasonTLSName:        {"the certificate is for another name", []string{"tls_name"}, true},
	reach.ReasonTLSExpired:     {"the certificate has expired", []string{"tls_dates", "tls_chain"}, false},
	reach.ReasonTLSNotYetValid: {"the certificate is not valid yet", []string{"tls_dates"}, false},
	reach.ReasonHTTP:           {"no valid or no complete HTTP answer", []string{"http_answer", "http_length"}, false},
	reach.ReasonRedirect:       {"a redirect", []string{"http_redirect"}, false},
	reach.ReasonBotChallenge:   {"a bot challenge, a firewall or a login", []string{"http_bot_challenge"}, false},
	reach.ReasonStatus:         {"a status other than 200", []string{"http_status"}, false},
	reach.ReasonHTML:           {"a web page in place of the key", []string{"http_html"}, false},
	reach.ReasonTooLarge:       {"too large for a key", []string{"http_length"}, false},
	reach.ReasonNotAKey:        {"not a P-256 public key", []string{"key_parse"}, false},
	reach.ReasonWrongKey:       {"another key than the hosted one", []string{"key_match"}, false},
	reach.ReasonDNS:            {"no resolver gave an answer", []string{"dns_resolves"}, true},
	reach.ReasonRefused:        {"the connection was refused", []string{"dial"}, true},
	reach.ReasonTimeout:        {"no answer in time", []string{"dial", "tls_handshake", "http_answer", "http_length"}, true},
	reach.ReasonPathMTU:        {"small packets pass, and large ones are lost on the way", []string{"tls_handshake", "http_answer"}, true},
	reach.ReasonNoRoute:        {"this machine has no way to such addresses", []string{"dial"}, true},
	reach.ReasonCannotConnect:  {"another failure to connect", []string{"dial"}, true},
	reach.ReasonCanceled:       {"the look was interrupted", nil, true},
	reach.ReasonInternal:       {"a fault of wellkey", []string{"dial", "tls_chain"}, true},
}
