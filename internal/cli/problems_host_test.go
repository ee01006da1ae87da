package cli_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"time"

	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// hostProblems are about the host and the way to it.
func hostProblems() map[string]func(*problem) {
	return map[string]func(*problem){
		"github_pages_404":    githubPages,
		"key_host_blocked":    keyHostBlocked,
		"tls_at_home":         tlsAtHome,
		"domain_changed":      domainChanged,
		"certificate_expired": certificateExpired,
	}
}

func githubPages(p *problem) {
	w := p.stranger()
	w.answer(w.cert(testca.LeafOptions{}), func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Server", "GitHub.com")
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.WriteHeader(http.StatusNotFound)
		_, _ = rw.Write([]byte("<!DOCTYPE html><html><title>Site not found</title></html>")) // not to HEAD
	})
	p.wants(w, 1, "doctor", "http_status", "The status is 404", "GitHub Pages without .nojekyll", "Publish the key at exactly "+reach.Path+" at the root of the domain")
}

func keyHostBlocked(p *problem) {
	key := newPublicKey(p.t)
	blocked := func(handler http.HandlerFunc, words ...string) {
		p.t.Helper()
		w := p.stranger()
		w.answer(w.cert(testca.LeafOptions{}), handler)
		p.wants(w, 1, "doctor", words...)
	}
	blocked(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Cf-Mitigated", "challenge")
		rw.WriteHeader(http.StatusForbidden)
	}, "http_bot_challenge", "a challenge of Cloudflare", "from bot protection, geographic filters and logins")
	blocked(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) },
		"http_bot_challenge", "a demand for a login")
	blocked(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusForbidden) },
		"http_status", "a geographic filter", "from every country and network: Tesla's addresses are not published")
	blocked(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.UserAgent(), "TeslaV4Watch/") {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		rw.Header().Set("Content-Type", "text/plain")
		_, _ = rw.Write(key) // not to HEAD
	}, "http_phone", "got status 403, a plain client 200", "Serve the key to every client")

	w := p.hosted(key)
	w.inject(fleetapi.KeyDownloadFailed, fleetsim.Limit{})
	p.refused(w, 1, fleetapi.KeyDownloadFailed, "Tesla could not download the key", "a firewall or a bot check stands in the way", "Tesla may come from any country and any address")
}

func tlsAtHome(p *problem) {
	key := newPublicKey(p.t)
	for options, words := range map[testca.LeafOptions][]string{
		{SelfSigned: true}: {"tls_chain", "The certificate is self-signed", "Obtain a certificate from a public authority"},
		{Incomplete: true}: {"tls_chain", "The intermediate certificate is missing", "Configure the full chain (fullchain.pem, not cert.pem)"},
	} {
		w := p.stranger()
		w.publish(options, key)
		p.wants(w, 1, "doctor", words...)
	}
	router := p.stranger()
	router.otherHost(testnet.Certificate(p.t, router.Signer, testca.LeafOptions{}, "router.example.net"), http.NotFound)
	p.wants(router, 1, "doctor", "tls_name", "it may also be the router's own page that answers", "from a phone with Wi-Fi switched off")

	hairpin := p.world()
	elsewhere, _ := newHost() // the public address, which leads nowhere from inside; Tesla gets through
	hairpin.DNS.Set(hairpin.Domain, "A "+elsewhere)
	p.serves(hairpin, registrar.Registered)
	p.wants(hairpin, 3, "doctor", "dial", "Behind a home router this is usual and no fault", "hairpin NAT", "on a phone with Wi-Fi switched off", "forward TCP port")
}

func domainChanged(p *problem) {
	w := p.world()
	p.serves(w, registrar.Registered).Stop()
	former := w.Domain
	w.Domain = "moved-" + former
	w.sign(testca.LeafOptions{})
	w.DNS.Remove(former)
	w.DNS.Set(w.Domain, "A "+w.hostIP())
	r := p.serves(w, registrar.Registered, "https://tesla.com/_ak/"+w.Domain)
	changed := w.awaitLine(r.Log, "domain changed", "level", "warn", "former_domain", former, "domain", w.Domain)
	p.contains("the log", changed.Text("cause")+changed.Text("fix"), []string{"a tunnel or a dynamic name", "set domain to " + former + " again", "let every owner pair again with the new link"})
	if err := w.Check(w.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		p.t.Error(err)
	}
	p.wants(w, 1, "doctor "+former, "dns_resolves", "does not exist", "Create an A record for "+former)
	r.Stop()
	again := w.run()
	w.awaitRegistered()
	if strings.Contains(again.Log.String(), "domain changed") {
		p.t.Error("it is told twice")
	}
}

func certificateExpired(p *problem) {
	key := newPublicKey(p.t)
	for options, words := range map[testca.LeafOptions][]string{
		{NotBefore: time.Now().AddDate(0, 0, -80), NotAfter: time.Now().AddDate(0, 0, 10)}:    {"tls_dates", "Its renewal is overdue and probably fails"},
		{NotBefore: time.Now().AddDate(0, 0, -90), NotAfter: time.Now().Add(-24 * time.Hour)}: {"tls_dates", "The certificate expired on", "a server other than wellkey may have to be restarted"},
	} {
		w := p.stranger()
		w.publish(options, key)
		p.wants(w, map[bool]int{true: 0, false: 1}[options.NotAfter.After(time.Now())], "doctor", words...)
	}
	w := p.world()
	w.sign(testca.LeafOptions{NotBefore: time.Now().AddDate(0, 0, -90), NotAfter: time.Now().Add(-24 * time.Hour)})
	p.serves(w, registrar.Unreachable, "The certificate expired on")
	w.sign(testca.LeafOptions{}) // as certbot does
	w.awaitRegistered()
	p.wants(w, 0, "doctor", "The certificate is valid until", "All is well")
}

// publish serves body at the path of the key in place of wellkey, with another
// certificate than a good one.
func (w *world) publish(options testca.LeafOptions, body []byte) {
	w.t.Helper()
	w.answer(w.cert(options), file(body))
}

// file answers with body, as any web server may.
func file(body []byte) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		_, _ = rw.Write(body) // not to HEAD
	}
}

// answer is a web server in place of wellkey, which redirects from plain HTTP.
func (w *world) answer(config *tls.Config, handler http.HandlerFunc) {
	w.t.Helper()
	testnet.Serve(w.t, testnet.Listen(w.t, w.HTTPSAddr), config, handler)
	testnet.Serve(w.t, testnet.Listen(w.t, w.HTTPAddr), nil, http.RedirectHandler("https://"+w.Domain+reach.Path, http.StatusPermanentRedirect))
}

// publishBySNI publishes body as one site among several of a server, which shows
// another one to those who do not name it.
func (w *world) publishBySNI(body []byte) {
	w.t.Helper()
	good, other := w.cert(testca.LeafOptions{}), testnet.Certificate(w.t, w.Signer, testca.LeafOptions{}, "default.example.net")
	w.answer(&tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == w.Domain {
			return good, nil
		}
		return other, nil
	}}, file(body))
}
