package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"wellkey/internal/pattern"
	"wellkey/internal/phrase"
	"wellkey/server/certs/dns01"
)

// A Reason is the class of a failed attempt: one of a closed set.
type Reason string

// The reasons of failed attempts.
const (
	ReasonConnection   Reason = "connection"
	ReasonPerspectives Reason = "perspectives"
	ReasonDNS          Reason = "dns"
	ReasonCAA          Reason = "caa"
	ReasonTLS          Reason = "tls"
	ReasonUnauthorized Reason = "unauthorized"
	ReasonRateLimited  Reason = "rate_limited"
	ReasonEAB          Reason = "external_account"
	ReasonAccount      Reason = "account"
	ReasonIdentifier   Reason = "rejected_identifier"
	ReasonRequest      Reason = "request"
	ReasonServer       Reason = "server"
	ReasonTimeout      Reason = "timeout"
	ReasonUntrusted    Reason = "ca_untrusted"
	ReasonNetwork      Reason = "network"
	ReasonStorage      Reason = "storage"
	ReasonUnfit        Reason = "unfit_certificate"
	ReasonBudget       Reason = "issuance_budget"
	ReasonShared       Reason = "shared_budget"
	ReasonCrashLoop    Reason = "crash_loop"
	ReasonClock        Reason = "clock"
	ReasonEphemeral    Reason = "ephemeral_storage"
	ReasonDNSProvider  Reason = "dns_provider"
	ReasonDNSZone      Reason = "dns_zone"
	ReasonDNSDelegate  Reason = "dns_delegation"
	ReasonDNSLookup    Reason = "dns_lookup"
	ReasonDNSUnseen    Reason = "dns_unseen"
	ReasonOther        Reason = "other"
)

// A Failure is a failed attempt in words for the operator. Text is what the CA
// or this host said, quoted and cut.
type Failure struct {
	At     time.Time `json:"at"`
	Reason Reason    `json:"reason"`
	Cause  string    `json:"cause"`
	Fix    string    `json:"fix"`
	Text   string    `json:"text"`
}

// An explanation is what is known about a reason. Problems are the types of RFC
// 8555, section 6.7, that mean it, without their common prefix.
type explanation struct {
	reason     Reason
	problems   []string
	elsewhere  prospect
	cause, fix string
}

// A prospect is what becomes of a reason at another CA.
type prospect int

const (
	// ours: it lies on this host, and no CA is asked.
	ours prospect = iota

	// asHere: it is most likely the same everywhere, since every CA proves the
	// domain in the same way. But others come from other networks, with resolvers
	// of their own, and a firewall, a geographic block or a broken zone may treat
	// them otherwise. One failed authorization a day finds that out.
	asHere

	// better: it is the CA's own matter, or between it and us: its outage, limits,
	// accounts and policies, the way to it, and CAA records, which name CAs.
	better
)

// elsewhere returns what another CA would make of it.
func (r Reason) elsewhere() prospect { return explanationOf(r).elsewhere }

// explanations has one row a reason.
func explanations() []explanation {
	return []explanation{
		{ReasonConnection, []string{"connection"}, asHere, "the CA could not connect to this host from the internet",
			"forward ports 80 and 443 to wellkey, open the firewall, and point the A and AAAA records at this host; an AAAA record that leads elsewhere is enough to fail"},
		{ReasonPerspectives, nil, asHere, "some of the CA's vantage points could not reach this host, while others could",
			"lift geo-blocking and rate limits for ports 80 and 443; the addresses of the vantage points are secret and change"},
		{ReasonDNS, []string{"dns"}, asHere, "the CA could not resolve the domain",
			"create the A or AAAA record, and check that every name server of the zone answers, also for CAA, and that DNSSEC is valid"},
		{ReasonCAA, []string{"caa"}, better, "a CAA record of the domain, or of a parent, forbids this CA",
			"add a CAA record that allows the CA, such as: 0 issue \"letsencrypt.org\""},
		{ReasonTLS, []string{"tls"}, asHere, "the CA connected to port 443, and the TLS handshake failed",
			"let nothing between the internet and wellkey end TLS on port 443, or let port 80 reach wellkey, too"},
		{ReasonUnauthorized, []string{"unauthorized", "incorrectResponse"}, asHere, "the CA reached something, but it was not this wellkey that answered",
			"point the domain's A and AAAA records, and ports 80 and 443 of every proxy or router on the way, at this wellkey and at nothing else"},
		{ReasonRateLimited, []string{"rateLimited"}, better, "a limit of the CA is used up",
			"wait: wellkey tries again when the CA allows it; keep the data directory on a volume, so that restarts do not order again"},
		{ReasonEAB, []string{"externalAccountRequired"}, better, "the CA did not accept the external account binding",
			"copy acme_eab_key_id and acme_eab_hmac_key again from the CA's portal; many CAs take a pair only once, so make a new one"},
		{ReasonAccount, []string{"accountDoesNotExist", "invalidContact", "unsupportedContact", "userActionRequired", "badSignatureAlgorithm", "badPublicKey"}, better,
			"the CA does not accept the ACME account", "check acme_email, and whether the CA asks for an action in the text; without its account in the data directory, wellkey makes another"},
		{ReasonIdentifier, []string{"rejectedIdentifier", "unsupportedIdentifier"}, better, "the CA issues no certificates for this domain",
			"check the spelling of the domain, and that it is a public name; the CA may have blocked it"},
		{ReasonRequest, []string{"malformed", "badCSR", "badNonce", "orderNotReady", "alreadyReplaced", "invalidProfile"}, better, "the CA did not understand the request",
			"nothing: wellkey tries again; if it stays so, report it with the text"},
		{ReasonServer, []string{"serverInternal"}, better, "the CA has trouble of its own", "nothing: wellkey tries again; the CA's status page says more"},
		{ReasonTimeout, nil, better, "the CA did not answer in time", "check that this host may connect out to the CA on port 443; if so, wait: wellkey tries again"},
		{ReasonUntrusted, nil, better, "the certificate of the CA's own API is not trusted here",
			"for a private CA, set acme_roots to its root; else something on the way intercepts TLS, or this host's clock or root certificates are wrong"},
		{ReasonNetwork, nil, better, "the CA cannot be reached from this host", "check this host's DNS, its way to the internet, and acme_directory"},
		{ReasonStorage, nil, ours, "the storage cannot be read or written", "check that the data directory is writable and has space"},
		{ReasonUnfit, nil, better, "the CA gave a certificate that cannot be served, so the current one stays",
			"nothing: wellkey tries again; the certificate is in quarantine in the data directory"},
		{ReasonBudget, nil, better, "wellkey asked for as many certificates as it allows itself: 2 in 24 hours and 3 in 7 days, of the 5 a week that Let's Encrypt gives",
			"wait; or, if you know why they were used up, run: wellkey renew --now"},
		{ReasonShared, nil, better, "wellkey makes only so many new orders for all domains together: 250 in 3 hours, and 40 in 7 days below one registered domain, of the 300 and 50 that Let's Encrypt gives",
			"wait: the domains come in turn as the CA's limits allow"},
		{ReasonCrashLoop, nil, ours, "wellkey was killed several times in a row, so it waits a minute before it asks the CA", "find out what ends it: memory, a health check, or a supervisor"},
		{ReasonClock, nil, ours, "the clock of this host is wrong, so nothing is ordered by it", "set the clock, and keep it right with NTP"},
		{ReasonEphemeral, nil, ours, "the data directory does not last, so each start would order another certificate, and the CA gives 5 a week",
			"give data_dir a volume that lasts, in Compose: volumes: [\"wellkey:/data\"], and at the top level: volumes: {wellkey: {}}; or, if you know better, set allow_ephemeral_storage to true"},
		{ReasonDNSProvider, nil, ours, "the DNS provider did not make the TXT record that proves the domain", "do what the text says; the settings are those that begin with dns_"},
		{ReasonDNSZone, nil, ours, "the zone that the TXT record belongs to was not found", "do what the text says; the zone must be at the provider of dns_provider, or delegated to it by a CNAME"},
		{ReasonDNSDelegate, nil, ours, "the CNAME of _acme-challenge does not lead to where the TXT record can be made", "make the CNAME as the text says; wellkey looks it up anew each time"},
		{ReasonDNSLookup, nil, ours, "no resolver answers, so nobody knows where the TXT record belongs", "let this host ask the servers of dns_resolvers on port 53, or set dns_resolvers to ones that it may ask"},
		{ReasonDNSUnseen, nil, asHere, "the TXT record was made, but not every name server has it, or the CA did not find it",
			"see that the zone's name servers take over changes, that those are the servers the registrar names, and that DNSSEC is valid; if they are slow, raise dns_propagation_timeout, or dns_propagation_delay where one address stands for many servers"},
		{ReasonOther, nil, better, "not known", "nothing: wellkey tries again; the text may say more"},
	}
}

func explanationOf(reason Reason) explanation {
	rows := explanations()
	return rows[slices.IndexFunc(rows, func(row explanation) bool { return row.reason == reason })]
}

// known reports whether r is one of ours.
func (r Reason) known() bool {
	return slices.ContainsFunc(explanations(), func(row explanation) bool { return row.reason == r })
}

// A holdError is why no order is made now, though one is wanted, and until when.
// It is no failure: the CA was not asked for anything.
type holdError struct {
	reason Reason
	until  time.Time
	text   string
	shared bool // by all domains, so it is logged for one
}

func (e *holdError) Error() string { return e.text }

// An unfitError is why a new certificate must not replace the current one.
type unfitError struct{ error }

func (e *unfitError) Unwrap() error { return e.error }

// A localError is one that the CA has no part in.
type localError struct{ error }

func (e *localError) Unwrap() error { return e.error }

// orNow ends the fix of what a person mends, who is not to wait for as long as a
// failure makes us wait: the schedule is stored, and a restart does not change it.
const orNow = "then run: wellkey renew --now; or wait for the next attempt, which may be a day away or more: \"wellkey status\" has its time"

// bySetting reports whether the fix may be a setting, which is read at the start only:
// what is ordered before a restart fails as before.
func (r Reason) bySetting() bool {
	switch r {
	case ReasonEAB, ReasonAccount, ReasonDNSProvider, ReasonDNSZone, ReasonDNSUnseen:
		return true
	}
	return false
}

// explain puts err into words.
func (a *authority) explain(err error) Failure {
	reason := classify(err)
	if reason == ReasonUnauthorized && a.eab != nil && strings.Contains(err.Error(), "registering account") {
		reason = ReasonEAB
	}
	row := explanationOf(reason)
	text := err.Error()
	if problem := (acme.Problem{}); errors.As(err, &problem) {
		text = strings.TrimPrefix(problem.Type, acme.ProblemTypeNamespace) + ": " + problem.Detail
	}
	fix := row.fix
	switch {
	case reason.bySetting():
		fix += "; if you changed a setting, restart wellkey; " + orNow
	case reason.needsPerson():
		fix += "; " + orNow
	}
	fix = strings.Replace(fix, "wellkey renew --now", "wellkey renew --now --domain "+a.m.domain, 1)
	if a.role == Fallback { // which has settings of its own
		fix = strings.NewReplacer("acme_eab_", "acme_fallback_eab_", "acme_directory", "acme_fallback_directory").Replace(fix)
	}
	return Failure{At: a.m.cfg.Now(), Reason: reason, Cause: row.cause, Fix: fix, Text: quote(text)}
}

// quote returns what a CA or this host said as it may be shown.
func quote(text string) string { return phrase.Quote(text, 500) }

// classify finds the reason of a failed attempt.
func classify(err error) Reason {
	var (
		problem   acme.Problem
		local     *localError
		untrusted *tls.CertificateVerificationError
		transport *url.Error
		network   net.Error
		hold      *holdError
		unfit     *unfitError
		record    *dns01.Error
	)
	switch text := err.Error(); {
	case errors.As(err, &hold):
		return hold.reason
	case errors.As(err, &unfit):
		return ReasonUnfit
	case errors.As(err, &problem):
		return classifyProblem(problem)
	case errors.As(err, &record):
		return dnsReasons[record.Kind]
	case errors.As(err, &local), strings.Contains(text, "failed storage check"), strings.Contains(text, "saving assets"),
		strings.Contains(text, "getting ACME account"), strings.Contains(text, "could not save account"), strings.Contains(text, "unable to acquire lock"):
		return ReasonStorage
	case errors.As(err, &untrusted):
		return ReasonUntrusted
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return ReasonTimeout
	case errors.As(err, &transport), errors.As(err, &network):
		return ReasonNetwork
	case strings.Contains(text, "HTTP 5"):
		return ReasonServer
	case strings.Contains(text, "HTTP 429"):
		return ReasonRateLimited
	}
	return ReasonOther
}

// dnsReasons are what failures before the CA looks are to us.
var dnsReasons = map[dns01.Kind]Reason{
	dns01.KindProvider:   ReasonDNSProvider,
	dns01.KindZone:       ReasonDNSZone,
	dns01.KindDelegation: ReasonDNSDelegate,
	dns01.KindLookup:     ReasonDNSLookup,
	dns01.KindUnseen:     ReasonDNSUnseen,
}

func classifyProblem(problem acme.Problem) Reason {
	if strings.Contains(problem.Detail, " TXT ") { // only that of DNS-01 is looked for
		return ReasonDNSUnseen
	}
	if strings.Contains(problem.Detail, "econdary validation") {
		return ReasonPerspectives
	}
	kind := strings.TrimPrefix(problem.Type, acme.ProblemTypeNamespace)
	for _, row := range explanations() {
		if slices.Contains(row.problems, kind) {
			return row.reason
		}
	}
	switch {
	case problem.Status == 429:
		return ReasonRateLimited
	case problem.Status >= 500:
		return ReasonServer
	}
	return ReasonOther
}

// retryDate is how Let's Encrypt says in a problem's detail when a limit resets.
var retryDate = pattern.New(`retry after (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC`)

// retryAfterText returns the time that text asks to wait for, else the zero time.
func retryAfterText(text string) time.Time {
	match := retryDate.FindStringSubmatch(text)
	if match == nil {
		return time.Time{}
	}
	at, err := time.Parse(time.DateTime, match[1])
	if err != nil {
		return time.Time{}
	}
	return at
}
