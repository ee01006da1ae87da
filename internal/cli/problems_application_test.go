package cli_test

import (
	"os"
	"strings"
	"time"

	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testworld"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// applicationProblems are about Tesla's portal and what it gave.
func applicationProblems() map[string]func(*problem) {
	return map[string]func(*problem){
		"portal_refuses_domain": portalRefusesDomain,
		"invalid_domain":        invalidDomain,
		"root_domain_mismatch":  rootDomainMismatch,
		"invalid_audience":      invalidAudience,
		"unauthorized_client":   unauthorizedClient,
		"user_token":            userToken,
		"invalid_scope":         invalidScope,
		"application_too_new":   applicationTooNew,
	}
}

func portalRefusesDomain(p *problem) {
	first := newWorld(p.t) // with a CA, and without credentials
	p.serves(first, registrar.WaitingForCredentials, `If the portal refuses the domain, run "wellkey doctor"`,
		"allowed origin https://"+first.Domain, "Authorization Code and Machine-to-Machine")
	if visit, err := first.AwaitFetch(first.ctx); err != nil || visit.TLS.PeerCertificates[0].Subject.CommonName != first.Domain {
		p.t.Errorf("before there are credentials the portal finds no certificate with the domain as common name: %v", err)
	}
	if err := first.Check(first.ctx); err != nil {
		p.t.Error(err)
	}

	w := p.stranger(func(c *testworld.Config) { c.Domain = "my-tesla-" + c.Domain })
	w.DNS.Set(w.Domain, "AAAA ::1")
	p.wants(w, 3, "doctor", "domain_name", "which Tesla's portal refuses for new applications", "dns_ipv4", "portal refuses hosts that have IPv6 only", "Add an A record")
	for options, words := range map[testca.LeafOptions][]string{
		{NoCommonName: true}: {"tls_cn", "If it refuses it, get a certificate for this name alone"},
		{Incomplete: true}:   {"tls_chain", "Configure the full chain"},
		{SelfSigned: true}:   {"tls_chain", "Obtain a certificate from a public authority"},
	} {
		w := p.stranger()
		w.publish(options, newPublicKey(p.t))
		p.wants(w, map[bool]int{true: 0, false: 1}[options.NoCommonName], "doctor", words...)
	}
	shared := p.stranger()
	shared.publishBySNI(newPublicKey(p.t))
	p.wants(shared, 0, "doctor", "tls_no_sni", "If it refuses it, make this site the default one")
}

func invalidDomain(p *problem) {
	w := p.world()
	for typed, seen := range map[string]string{
		"https://Example.com/": "a scheme, a slash at the end and upper-case letters", "Example.com": "upper-case letters",
		"example.com:443": "a port", "example.com/keys": "a path", "example.com.": "a dot at the end",
	} {
		p.wantsWith(w, w.Environ("DOMAIN="+typed), 2, "serve", seen, "Write example.com")
		p.wants(w, 2, "register "+typed, seen, "Write example.com", "nothing was registered")
		p.wantsWith(w, w.probing(), 1, "doctor "+typed, "domain ", seen, "Write example.com")
	}
	if _, err := os.Stat(w.DataDir); !os.IsNotExist(err) {
		p.t.Errorf("something was made in the data directory: %v", err)
	}
	if n := len(w.Tesla.Requests()); n != 0 {
		p.t.Errorf("Tesla was asked %d times", n)
	}
	hosted := p.hosted(newPublicKey(p.t))
	hosted.inject(fleetapi.InvalidDomain, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpRegister}})
	p.refused(hosted, 1, fleetapi.InvalidDomain, "Correct the setting domain")
}

func rootDomainMismatch(p *problem) {
	w := p.world()
	for _, origin := range []string{"https://www.example.net", "https://" + w.Domain + "/"} {
		w.Tesla.AddApp(fleetsim.App{ClientID: testworld.ClientID, Secret: testworld.ClientSecret, AllowedOrigins: []string{origin}})
		r := p.serves(w, registrar.Refused, "add https://"+w.Domain+" to the allowed origins", "without a slash at the end, and save", "A change takes some minutes")
		if status := p.status(w); status.Sites[0].Portal.AllowedOrigin != "https://"+w.Domain {
			p.t.Errorf("the origin to type is %+v", status.Sites[0].Portal)
		}
		r.Stop()
		if err := os.RemoveAll(w.DataDir); err != nil {
			p.t.Fatal(err)
		}
	}
	hosted := p.hosted(newPublicKey(p.t))
	edit := fleetsim.App{ClientID: testworld.ClientID, Secret: testworld.ClientSecret, AllowedOrigins: []string{"https://example.net"}}
	hosted.Tesla.AddApp(edit)
	p.refused(hosted, 1, fleetapi.RootDomainMismatch, "add https://"+hosted.Domain+" to the allowed origins")
	edit.AllowedOrigins = []string{"https://www.example.com"} // the same root is enough
	hosted.Tesla.AddApp(edit)
	p.wants(hosted, 0, "register", "is registered in na and eu")
}

func invalidAudience(p *problem) {
	w := p.hosted(newPublicKey(p.t))
	na := w.Tesla.BaseURL(fleetapi.NA)
	p.wantsWith(w, w.Environ("TESLA_API_URL_NA="+na+"/"), 2, "register", "has a slash", "Write "+na)
	p.wants(w, 0, "register", "is registered in na and eu") // the simulator compares exactly, too

	trouble := p.world()
	trouble.inject(fleetapi.InvalidAudience, fleetsim.Limit{})
	p.serves(trouble, registrar.Unavailable, "this is a fault on its side, seen with new applications", "wellkey tries again by itself")
}

func unauthorizedClient(p *problem) {
	if !strings.ContainsAny(testworld.ClientSecret, "%@+^") {
		p.t.Error("the secret of the world needs no encoding")
	}
	p.wants(p.hosted(newPublicKey(p.t)), 0, "register", "is registered in na and eu")

	w := p.hosted(newPublicKey(p.t))
	w.replace(w.CredentialsFile, []byte("client_id: "+testworld.ClientID+"\nclient_secret: another\n"))
	const seen, fix = "Tesla does not recognize the client id and secret", "copy the secret again"
	p.wants(w, 1, "register --json", `"reason": "unauthorized_client"`, fix)
	p.wants(w, 1, "doctor", seen, fix, "was replaced; or the application was deleted")
	w.replace(w.CredentialsFile, []byte("client_id: "+testworld.ClientID+"\nclient_secret: \" padded\"\n"))
	p.wants(w, 2, "register", "white space", "Remove it")

	gone := p.world()
	gone.Tesla.RemoveApp(testworld.ClientID)
	p.serves(gone, registrar.Refused, seen, "If the application is new, wait")
}

func userToken(p *problem) {
	w := p.hosted(newPublicKey(p.t))
	w.Tesla.Break(fleetsim.WrongToken, fleetsim.Limit{})
	p.wants(w, 1, "doctor", "tesla_token", "the token is that of a user, not of the application", "Remove the setting tesla_auth_url")
	p.wants(w, 1, "register", "the token is that of a user")
	p.wants(w, 1, "register --json", `"reason": "user_token"`)
	w.wantPosts(0) // its kind is seen before it is sent on
}

func invalidScope(p *problem) {
	w := p.hosted(newPublicKey(p.t))
	w.Tesla.AddApp(fleetsim.App{ClientID: testworld.ClientID, Secret: testworld.ClientSecret, NoGrant: true})
	const grant = `set the grant type to "Authorization Code and Machine-to-Machine"`
	p.wants(w, 1, "register", grant)
	p.wants(w, 1, "register --json", `"reason": "invalid_scope"`)
	p.wants(w, 1, "doctor", "tesla_token", grant)

	w = p.hosted(newPublicKey(p.t))
	w.inject(fleetapi.MissingScopes, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpRegister}})
	p.refused(w, 1, fleetapi.MissingScopes, "tick the scopes that the application is to have, and save")

	w = p.hosted(newPublicKey(p.t))
	w.Tesla.AddApp(fleetsim.App{ClientID: testworld.ClientID, Secret: testworld.ClientSecret, AllowedOrigins: []string{"https://" + w.Domain}, Scopes: []string{"openid"}})
	p.wants(w, 0, "register", "is registered in na and eu") // one scope is enough
}

func applicationTooNew(p *problem) {
	hosted := p.hosted(newPublicKey(p.t))
	hosted.inject(fleetapi.NotPartnerAccount, fleetsim.Limit{})
	p.wants(hosted, 3, "register", "Expected partner account", "for an hour, at times for days", "give them the txid", "run it again in a few minutes")
	hosted.Tesla.Clear()
	p.wants(hosted, 0, "register", "is registered in na and eu")

	for code, words := range map[fleetapi.ReasonCode][]string{
		fleetapi.NotPartnerAccount: {"Expected partner account", "for an hour, at times for days"},
		fleetapi.InternalError:     {"upstream internal error", "New applications met this for hours or days"},
	} {
		w := p.world()
		w.inject(code, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpRegister}})
		p.serves(w, registrar.Unavailable, append(words, "Nothing has to be done: wellkey tries again by itself", "give them the txid")...)
		na := p.status(w).Sites[0].Registrations[0]
		if na.Reason != string(code) || na.LastFailure.TxID == "" || !strings.Contains(na.Seen, na.LastFailure.TxID) || na.Next.After(time.Now().Add(10*time.Minute)) {
			p.t.Errorf("the status says %+v", na)
		}
	}
}
