package cli

import (
	"fmt"
	"sync"

	"wellkey/keystore"
)

// claims says which site has which key and which application: Tesla takes each for
// one domain only ("Public key hash has already been taken", "Domain has already
// been taken"), so a second site with either is refused here, in words, before
// Tesla refuses it in a puzzle.
type claims struct {
	mu           sync.Mutex
	keys         map[keystore.Key]string // guarded by mu; whose it is
	applications map[string]string       // guarded by mu; by client id
	of           map[string]claim        // guarded by mu; by domain
}

// A claim is what one site has.
type claim struct {
	key      keystore.Key
	clientID string
}

func newClaims() *claims {
	return &claims{keys: map[keystore.Key]string{}, applications: map[string]string{}, of: map[string]claim{}}
}

// key claims a key for a domain, in the place of the one that it had. The error is
// the end of a sentence "key file ...".
func (c *claims) key(domain string, key keystore.Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner := c.keys[key]; owner != "" && owner != domain {
		return fmt.Errorf("holds the key of %s (fingerprint %s), and Tesla takes a key for one domain only: give %s a key of its own", owner, key.Fingerprint(), domain)
	}
	had := c.of[domain]
	delete(c.keys, had.key)
	had.key = key
	c.of[domain], c.keys[key] = had, domain
	return nil
}

// application claims a client id for a domain, in the place of the one that it had.
func (c *claims) application(domain, clientID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner := c.applications[clientID]; owner != "" && owner != domain {
		return fmt.Errorf("the application with this client id is that of %s, and Tesla takes an application for one domain only: make another one for %s at developer.tesla.com", owner, domain)
	}
	had := c.of[domain]
	delete(c.applications, had.clientID)
	had.clientID = clientID
	c.of[domain], c.applications[clientID] = had, domain
	return nil
}

// release gives up what a domain has.
func (c *claims) release(domain string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	had := c.of[domain]
	delete(c.of, domain)
	delete(c.keys, had.key)
	delete(c.applications, had.clientID)
}
