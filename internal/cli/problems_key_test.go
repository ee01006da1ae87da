package cli_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"testing"
	"time"

	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// keyProblems are about the key, and about what is published in its place.
func keyProblems() map[string]func(*problem) {
	return map[string]func(*problem){
		"key_download_failed": keyDownloadFailed,
		"key_too_large":       keyTooLarge,
		"key_taken":           keyTaken,
		"domain_taken":        domainTaken,
		"key_not_paired":      keyNotPaired,
	}
}

func keyDownloadFailed(p *problem) {
	for reason, words := range map[string][]string{
		reach.ReasonStatus:   {"The status is 404", "Publish the key at exactly " + reach.Path},
		reach.ReasonRedirect: {"redirects with status 301", "Exempt " + reach.Path},
		reach.ReasonHTML:     {"what comes is a web page", "before the catch-all route"},
		reach.ReasonNXDomain: {"does not exist", "Create an A record"},
	} {
		w := p.world()
		obstacles()[reason].place(w)
		p.serves(w, registrar.Unreachable, words...)
		w.wantPosts(0)
	}
	w := p.world()
	w.inject(fleetapi.KeyDownloadFailed, fleetsim.Limit{})
	p.serves(w, registrar.Refused, "Tesla could not download the key", "403 forbidden", `Run "wellkey doctor `+w.Domain+`"`)
	if na := p.status(w).Sites[0].Registrations[0]; na.Next.After(time.Now().Add(2 * time.Minute)) {
		p.t.Errorf("tried again only at %s", na.Next)
	}
}

func keyTooLarge(p *problem) {
	w := p.hosted(rsaKey(p.t))
	p.wants(w, 1, "doctor", "key_parse", "holds an RSA public key, and vehicles know P-256 only", "openssl ecparam -name prime256v1")
	p.wants(w, 1, "register", "holds an RSA public key")
	w.wantPosts(0)
	leaf, err := w.Signer.Issue(testca.LeafOptions{}, w.Domain)
	if err != nil {
		p.t.Fatal(err)
	}
	single, _ := pem.Decode(leaf.CertPEM)
	p.wants(p.hosted(pem.EncodeToMemory(single)), 1, "doctor", "holds a certificate, not a key")
	p.wants(p.hosted([]byte("<!DOCTYPE html><html></html>")), 1, "doctor", "http_html", "what comes is a web page")

	own := p.world()
	own.replace(own.keyFile(), rsaKey(p.t))
	p.wants(own, 1, "serve", "holds an RSA public key")
	file := filepath.Join(own.dir, "new.pem")
	p.wants(own, 0, "keygen --out "+file, "Made a new P-256 key")

	elsewhere := p.hosted(newPublicKey(p.t))
	elsewhere.inject(fleetapi.KeyTooLarge, fleetsim.Limit{})
	p.refused(elsewhere, 1, fleetapi.KeyTooLarge, "an RSA key, a certificate, or a web page", `Run "wellkey doctor `+elsewhere.Domain+`"`)
}

func keyTaken(p *problem) {
	_, key := newKey(p.t)
	w := p.hosted(key.PEM())
	w.enroll(key, fleetapi.NA, fleetapi.EU)
	p.wants(w, 0, "register", "Tesla had this key already; nothing was done")
	w.wantPosts(0)

	taken := func(w *world) *world {
		for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
			w.Tesla.SetAccount(region, fleetapi.Account{ClientID: "another-application", Domain: "old.example.com", PublicKey: key.Hex()})
		}
		return w
	}
	const seen, fix = "already registered by another application or for another domain", `with "wellkey rotate", after which every owner has to pair again`
	p.refused(taken(p.hosted(key.PEM())), 1, fleetapi.KeyTaken, seen, fix)

	w = p.world()
	w.replace(w.keyFile(), key.PEM())
	p.serves(taken(w), registrar.Refused, seen, fix)
}

func domainTaken(p *problem) {
	w := p.hosted(newPublicKey(p.t))
	_, former := newKey(p.t)
	for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
		w.Tesla.SetAccount(region, fleetapi.Account{ClientID: "another-application", Domain: w.Domain, PublicKey: former.Hex()})
	}
	p.wants(w, 1, "doctor", "tesla_key", "has no access to "+w.Domain, "If "+w.Domain+" was registered by another application")
	p.refused(w, 1, fleetapi.DomainTaken, "is already registered by another application", "Use the client id and secret of the old application",
		"register the old application with another domain, which frees this one", "another subdomain")
}

func keyNotPaired(p *problem) {
	private, key := newKey(p.t) // of the proxy that signs commands
	w := p.hosted(newPublicKey(p.t))
	file := filepath.Join(w.dir, "proxy.pem")
	w.replace(file, private)
	p.wantsWith(w, w.Environ("KEY_FILE="+file), 1, "doctor", "key_match", key.Fingerprint()+" is expected", "the published file and the local one are of two key pairs", "Do not register again before both are the same")
	p.wantsWith(w, w.Environ("KEY_FILE="+file), 1, "register", "another key")
	w.wantPosts(0)

	w = p.world()
	w.replace(w.keyFile(), private)
	p.serves(w, registrar.Registered, key.Fingerprint())
	w.wantServed(key)
	w.wantRegistered(key, fleetapi.NA, fleetapi.EU)
	p.wants(w, 0, "doctor", "It is the key that we expect")
	p.explained("your public key has not been paired with the vehicle", "another private key", "as `key_file`")
}

func rsaKey(t *testing.T) []byte {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// newPublicKey returns a new key as people publish it.
func newPublicKey(t *testing.T) []byte {
	t.Helper()
	_, key := newKey(t)
	return key.PEM()
}
