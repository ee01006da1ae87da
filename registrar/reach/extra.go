package reach

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"wellkey/internal/finding"
)

// phoneAgent is what an owner's phone calls itself when it fetches the key at
// pairing (teslamotors/vehicle-command issue 422, where a framework refused it).
const phoneAgent = "TeslaV4Watch/3489 CFNetwork/3860.100.1 Darwin/25.0.0"

// maxSkew is how far two clocks may be apart. Certificates and tokens tolerate
// minutes, and an honest Date header is exact to a second and the time on the
// way.
const maxSkew = time.Minute

// An extra holds what the further visits of Examine saw.
type extra struct {
	noSNI, head, phone, plain visit
}

// extraVisits returns the further visits, to run beside the main one.
func (h *host) extraVisits(ctx context.Context) []func() {
	agent := h.look.prober.config.UserAgent
	var visits []func()
	for _, one := range []struct {
		into *visit
		errand
	}{
		{&h.extra.noSNI, errand{noSNI: true}},
		{&h.extra.head, errand{method: "HEAD", agent: agent}},
		{&h.extra.phone, errand{method: "GET", agent: phoneAgent}},
		{&h.extra.plain, errand{method: "GET", agent: agent, plain: true}},
	} {
		*one.into = visit{err: errNotVisited}
		visits = append(visits, func() { *one.into = h.look.visit(ctx, h.IP, one.errand) })
	}
	return visits
}

// noSNI gives tls_no_sni: does a client that does not name the host get the
// certificate, too?
func (h *host) noSNI() []result {
	const id = "tls_no_sni"
	if h.main.leaf() == nil {
		return nil
	}
	leaf := h.extra.noSNI.leaf()
	if leaf != nil && leaf.VerifyHostname(h.look.domain) == nil {
		return []result{ok(id, "A client that does not name the host gets the certificate, too.")}
	}
	seen := "A client that does not name the host gets no certificate."
	if leaf != nil {
		seen = "A client that does not name the host gets another certificate, for " + namesOf(leaf) + "."
	}
	return []result{because(id, finding.Warn, "", seen,
		"Several sites share the address, and another one or none is the default.",
		"Nothing, as long as Tesla's portal accepts the domain: phones and Tesla name the host. If it refuses it, make this site the default one; users report that this helped.")}
}

// head gives http_head: is HEAD answered as GET is?
func (h *host) head() []result {
	const id = "http_head"
	v := h.extra.head
	switch {
	case h.main.status != http.StatusOK:
		return nil
	case v.status == 0:
		return []result{because(id, finding.Warn, "", "HEAD got no answer, while GET did: "+h.why(v)+".",
			"The application or a firewall does not know HEAD.", "Answer HEAD as GET, without the body.")}
	case v.status != h.main.status:
		return []result{because(id, finding.Warn, "", fmt.Sprintf("HEAD is answered with status %d, GET with %d.", v.status, h.main.status),
			"The application has a route for GET only, or a firewall forbids the method.", "Answer HEAD as GET, without the body.")}
	case v.length >= 0 && h.main.length >= 0 && v.length != h.main.length:
		return []result{because(id, finding.Warn, "", fmt.Sprintf("HEAD announces %d bytes, GET %d.", v.length, h.main.length),
			"The application answers HEAD on its own.", "Answer HEAD with the header fields of GET.")}
	}
	return []result{ok(id, "HEAD is answered as GET is.")}
}

// phone gives http_phone: does an owner's phone get what a plain client gets?
func (h *host) phone() []result {
	const id = "http_phone"
	v := h.extra.phone
	if h.main.status != http.StatusOK {
		return nil
	}
	var seen string
	switch {
	case v.status == 0:
		seen = "The client of an owner's phone got no answer: " + h.why(v) + "."
	case v.status != h.main.status:
		seen = fmt.Sprintf("The client of an owner's phone got status %d, a plain client %d.", v.status, h.main.status)
	case string(v.body) != string(h.main.body):
		seen = "The client of an owner's phone got another file than a plain client."
	default:
		return []result{ok(id, "The client of an owner's phone gets the same.")}
	}
	return []result{because(id, finding.Fail, "", seen,
		"The framework or a firewall judges clients by their User-Agent ("+phoneAgent+").",
		"Serve the key to every client: the owner's phone fetches it when the owner approves the pairing.")}
}

// why returns why a visit failed, in a few words.
func (h *host) why(v visit) string {
	if v.timedOut {
		return "it took too long"
	}
	return quote(v.err.Error())
}

// port80 gives http_port80: what does plain HTTP answer? Tesla does not ask
// there; authorities do, for the HTTP-01 challenge.
func (h *host) port80() []result {
	const id = "http_port80"
	v := h.extra.plain
	if h.main.stage == dialing {
		return nil
	}
	at := netip.AddrPortFrom(h.IP, uint16(h.look.prober.config.HTTPPort)) // #nosec G115 -- New checked it
	if v.status == 0 {
		return []result{because(id, finding.Warn, "", fmt.Sprintf("Plain HTTP at %s is not answered: %s.", at, h.why(v)),
			"The port is not forwarded, or a firewall drops it.",
			"Forward it, too, if you can: Tesla does not need it, but it is the second way to prove the domain to the certificate authority, and people type addresses without https.")}
	}
	if !isRedirect(v.status) {
		return []result{ok(id, "Plain HTTP at %s answers with status %d; Tesla does not ask there.", at, v.status)}
	}
	location := v.header.Get("Location")
	target, err := url.Parse(location)
	if err == nil && target.Scheme == "https" && strings.EqualFold(target.Hostname(), h.look.domain) {
		return []result{ok(id, "Plain HTTP at %s redirects to HTTPS.", at)}
	}
	return []result{because(id, finding.Warn, "", fmt.Sprintf("Plain HTTP at %s redirects to %s.", at, quote(location)),
		"The redirect takes its host from a setting for another site, or a router or proxy answers.",
		"Redirect to https://"+h.look.domain+", or leave port 80 to wellkey.")}
}

// clock gives clock: does this machine agree with the host about the time? An
// answer out of a cache is as old as it says (RFC 9111, section 5.1).
func (h *host) clock() []result {
	const id = "clock"
	if h.main.status == 0 {
		return nil
	}
	date, err := http.ParseTime(h.main.header.Get("Date"))
	if err != nil {
		return []result{skipped(id, "The host sends no Date to compare with.")}
	}
	if age, err := strconv.Atoi(h.main.header.Get("Age")); err == nil && age > 0 {
		date = date.Add(time.Duration(min(age, math.MaxInt32)) * time.Second)
	}
	skew := h.main.at.Sub(date)
	if skew.Abs() <= maxSkew {
		return []result{ok(id, "The clocks agree.")}
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	return []result{because(id, finding.Warn, "",
		fmt.Sprintf("The clock of this machine is %v %s that of %s.", skew.Abs().Round(time.Second), direction, h.IP),
		"One of the two is wrong.",
		"Let both machines set their clocks by NTP: with a wrong clock certificates look invalid and Tesla refuses tokens.")}
}
