package reach

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"wellkey/internal/finding"
)

// renewalOverdue is how many percent of a certificate's lifetime may be left
// before it is worth a warning. ACME clients renew when a third is left; at a
// sixth that has been failing for as long as it may still fail.
const renewalOverdue = 100.0 / 6

// maxCommonName is the longest common name that X.509 allows (RFC 5280, appendix
// A.1): a CA cannot put a longer host name there.
const maxCommonName = 64

// routerMayAnswer is said where a certificate is so far off that it may be that
// of the router.
const routerMayAnswer = " Where wellkey looks from behind the same router, it may also be the router's own page that answers: look from a phone with Wi-Fi switched off."

// leaf returns the host's certificate, or nil if none was seen.
func (v visit) leaf() *x509.Certificate {
	if v.tls == nil || len(v.tls.PeerCertificates) == 0 {
		return nil
	}
	return v.tls.PeerCertificates[0]
}

// tlsName gives tls_name: is the certificate for this domain?
func (h *host) tlsName() []result {
	const id = "tls_name"
	leaf := h.main.leaf()
	if leaf == nil {
		return nil
	}
	if leaf.VerifyHostname(h.look.domain) == nil {
		return []result{ok(id, "The certificate names %s.", h.look.domain)}
	}
	return []result{because(id, finding.Fail, ReasonTLSName,
		fmt.Sprintf("The certificate is not for %s: it names %s.", h.look.domain, namesOf(leaf)),
		"Another host answers at this address, or the proxy in front has no certificate for this name and shows its default one."+routerMayAnswer,
		"Let the record name the right host, or give the one that answers a certificate for this name.")}
}

// namesOf returns what a certificate is for, in a few words.
func namesOf(cert *x509.Certificate) string {
	const most = 3
	names := slices.Clone(cert.DNSNames) // crypto/tls shares parsed certificates
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	switch {
	case len(names) == 0 && cert.Subject.CommonName != "":
		return "nothing but the common name " + quote(cert.Subject.CommonName) + ", which no client looks at any more"
	case len(names) == 0:
		return "nothing"
	}
	var quoted []string
	for _, name := range names[:min(most, len(names))] {
		quoted = append(quoted, quote(name))
	}
	text := strings.Join(quoted, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// tlsChain gives tls_chain: does a chain lead to a root that is trusted? The
// dates of the host's own certificate are tlsDates' business.
func (h *host) tlsChain() []result {
	const id = "tls_chain"
	leaf := h.main.leaf()
	if leaf == nil {
		return nil
	}
	sent := h.main.tls.PeerCertificates[1:]
	options := x509.VerifyOptions{
		Roots:         h.look.prober.config.Roots,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   within(leaf, time.Now()),
	}
	for _, cert := range sent {
		options.Intermediates.AddCert(cert)
	}
	chains, err := leaf.Verify(options)
	if err == nil {
		return []result{ok(id, "The chain is complete and leads to a trusted root: %s.", quote(nameOf(chains[0][len(chains[0])-1])))}
	}
	return []result{chainFault(id, leaf, sent, err)}
}

func chainFault(id string, leaf *x509.Certificate, sent []*x509.Certificate, err error) result {
	var invalid x509.CertificateInvalidError
	var roots x509.SystemRootsError
	issuer := quote(leaf.Issuer.String())
	switch {
	case errors.As(err, &roots):
		return because(id, finding.Unknown, ReasonInternal, "This machine has no list of trusted roots.",
			"The package ca-certificates is not installed here.", "Install it, or name a file of roots (probe_roots).")
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return because(id, finding.Fail, ReasonTLSExpired, "A certificate above the host's own has expired: "+quote(nameOf(invalid.Cert))+".",
			"The host sends an old chain file.", "Configure the whole chain file that came with the last renewal.")
	case selfSigned(leaf):
		return because(id, finding.Fail, ReasonTLSSelfSigned, "The certificate is self-signed: "+issuer+" signed it for itself.",
			"A stand-in made at installation is still in use, or no certificate has been obtained yet."+routerMayAnswer,
			"Obtain a certificate from a public authority; wellkey does so with tls: acme.")
	case len(sent) == 0:
		return because(id, finding.Fail, ReasonTLSIncomplete,
			"The host sends its own certificate alone, and its issuer "+issuer+" is no trusted root.",
			"The intermediate certificate is missing: the certificate file was configured in place of the full chain. Browsers often hide this, since they remember intermediates; phones and Tesla do not.",
			"Configure the full chain (fullchain.pem, not cert.pem).")
	default:
		return because(id, finding.Fail, ReasonTLSUntrusted, fmt.Sprintf("The chain leads to no trusted root (issuer %s): %s.", issuer, quote(err.Error())),
			"The certificate is from a private or staging authority, or an intermediate is missing from the chain."+routerMayAnswer,
			"Use a certificate from a public authority, with its full chain. Where the authority is meant to be private, name its roots (probe_roots); Tesla will not trust it.")
	}
}

// selfSigned reports whether cert is signed by its own key. CheckSignatureFrom
// would refuse a signer that is not a CA.
func selfSigned(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawSubject, cert.RawIssuer) &&
		cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

// within returns the moment nearest to now at which cert is valid.
func within(cert *x509.Certificate, now time.Time) time.Time {
	switch {
	case now.Before(cert.NotBefore):
		return cert.NotBefore
	case now.After(cert.NotAfter):
		return cert.NotAfter
	}
	return now
}

// nameOf returns what people call a certificate.
func nameOf(cert *x509.Certificate) string {
	if cert.Subject.CommonName != "" {
		return cert.Subject.CommonName
	}
	return cert.Subject.String()
}

// tlsDates gives tls_dates: is the certificate valid now, and for how long?
func (h *host) tlsDates() []result {
	const id = "tls_dates"
	leaf := h.main.leaf()
	if leaf == nil {
		return nil
	}
	now := time.Now()
	left, life := leaf.NotAfter.Sub(now), leaf.NotAfter.Sub(leaf.NotBefore)
	share := 100 * left.Seconds() / life.Seconds()
	switch {
	case left < 0:
		return []result{because(id, finding.Fail, ReasonTLSExpired,
			fmt.Sprintf("The certificate expired on %s.", day(leaf.NotAfter)),
			"It was not renewed, or it was renewed and the server still uses the old one. If the date looks right to you, the clock of this machine is wrong.",
			"Renew it; a server other than wellkey may have to be restarted to read the new file.")}
	case now.Before(leaf.NotBefore):
		return []result{because(id, finding.Fail, ReasonTLSNotYetValid,
			fmt.Sprintf("The certificate is not valid before %s.", day(leaf.NotBefore)),
			"The clock of this machine is slow, or that of the authority was fast.",
			"Set the clock of this machine (NTP); if it is right, wait until that moment.")}
	case share < renewalOverdue:
		return []result{because(id, finding.Warn, "",
			fmt.Sprintf("The certificate ends on %s: %s left, %.0f %% of its lifetime.", day(leaf.NotAfter), days(left), share),
			"Its renewal is overdue and probably fails.", "Look into the log of whatever renews it.")}
	}
	return []result{ok(id, "The certificate is valid until %s: %s left, %.0f %% of its lifetime.", day(leaf.NotAfter), days(left), share)}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d hours", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// tlsCN gives tls_cn: does the old-fashioned common name hold the domain? That
// Tesla's portal looks at it is what users report, not what Tesla says.
func (h *host) tlsCN() []result {
	const id = "tls_cn"
	leaf := h.main.leaf()
	if leaf == nil {
		return nil
	}
	name := leaf.Subject.CommonName
	switch {
	case covers(name, h.look.domain):
		return []result{ok(id, "The common name is %s.", quote(name))}
	case len(h.look.domain) > maxCommonName:
		return []result{ok(id, "The domain is too long for a common name, so no authority can put it there.")}
	}
	seen, cause := "The certificate has no common name.", "The authority's profile leaves it out, as Let's Encrypt's tlsserver and shortlived do."
	if name != "" {
		seen, cause = "The certificate's common name is "+quote(name)+", not the domain.", "One certificate serves several names."
	}
	return []result{because(id, finding.Warn, "", seen, cause,
		"Nothing, as long as Tesla's portal accepts the domain. If it refuses it, get a certificate for this name alone with the common name set (acme_profile: classic): users report that this helped.")}
}

// covers reports whether a common name stands for domain, as a wildcard does,
// too.
func covers(name, domain string) bool {
	name = strings.ToLower(name)
	if suffix, wild := strings.CutPrefix(name, "*."); wild {
		_, parent, _ := strings.Cut(domain, ".")
		return parent == suffix
	}
	return name == domain
}
