package admin

import (
	"time"

	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server/certs"
)

// Who looks at us from outside. Our own look has to leave the network and come
// back, which many home routers do not let it, so it is the weakest witness.
const (
	vantageLoop  = "loop"  // wellkey itself: see package reach
	vantageACME  = "acme"  // the certificate authority, when it validates the domain
	vantageTesla = "tesla" // Tesla, when it downloads the key for a registration
)

// An evidence is what one of them last found.
type evidence struct {
	vantage string
	known   bool // it has looked, and its last look said something about us
	good    bool // it found us then
	last    time.Time
}

// evidenceOf returns the evidence of all vantages.
func evidenceOf(site SiteView) []evidence {
	loop := evidence{vantage: vantageLoop}
	if l := site.Reachability; l != nil {
		loop.known, loop.good, loop.last = l.Verdict != reach.Inconclusive, l.Verdict == reach.Reachable, l.LastGood
	}
	acme := evidence{vantage: vantageACME, last: site.Certificate.ValidatedAt}
	acme.known = !acme.last.IsZero()
	acme.good = acme.known
	if e := site.Certificate.LastError; e != nil && e.At.After(acme.last) {
		acme.known, acme.good = notFoundByCA(e.Reason), false // other reasons say nothing about us
	}
	return []evidence{loop, acme, teslaEvidence(site)}
}

// notFoundByCA reports whether a failed attempt says that the CA did not find us.
func notFoundByCA(r certs.Reason) bool {
	switch r {
	case certs.ReasonConnection, certs.ReasonPerspectives, certs.ReasonDNS, certs.ReasonTLS, certs.ReasonUnauthorized:
		return true
	}
	return false
}

// teslaEvidence goes by the registrations of all regions: for each that it
// accepts, Tesla downloads the key.
func teslaEvidence(site SiteView) evidence {
	e := evidence{vantage: vantageTesla}
	var failed time.Time
	for _, r := range site.Registrations {
		if r.RegisteredAt.After(e.last) {
			e.last = r.RegisteredAt
		}
		if f := r.LastFailure; f != nil && f.At.After(failed) && notFoundByTesla(f.Reason) {
			failed = f.At
		}
	}
	e.known = !e.last.IsZero() || !failed.IsZero()
	e.good = e.last.After(failed)
	return e
}

func notFoundByTesla(reason string) bool {
	return reason == string(fleetapi.KeyDownloadFailed) || reason == string(fleetapi.KeyTooLarge)
}
