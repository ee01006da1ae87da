package dns01

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"wellkey/internal/secret"
)

// ACMEDNS are the settings of an acme-dns server: a name server for challenges
// alone, to which a domain delegates them by a CNAME that is made once. An account
// there can change one record and nothing else.
//
// Source: https://github.com/joohoi/acme-dns#api
type ACMEDNS struct {
	URL         string // of the API, where there is no account yet, or one that names no server
	AccountFile string // JSON, see accounts.go; an account is registered where it has none for the domain
}

type acmeDNS struct {
	cfg    ACMEDNS
	client *http.Client
	mu     sync.Mutex // held while the file may change
}

// NewACMEDNS returns the Provider of cfg.
func NewACMEDNS(cfg ACMEDNS) Provider { return &acmeDNS{cfg: cfg, client: newClient()} }

// ACMEDNSTarget returns where the CNAME of a domain must lead: the one record of its
// account. "" without an error is that there is no account yet, and one will be made.
func ACMEDNSTarget(cfg ACMEDNS, domain string) (string, error) {
	all, err := readAccounts(cfg.AccountFile)
	if err != nil {
		return "", err
	}
	a, ok := all.of(domain)
	switch {
	case ok:
		err = a.check(cfg.AccountFile, domain, cfg.URL)
	case cfg.URL == "":
		err = cfg.noAccount(domain)
	}
	return strings.ToLower(plain(a.FullDomain)), err
}

// noAccount is the error of a domain for which there is no account, and none can be made.
func (cfg ACMEDNS) noAccount(domain string) error {
	return fail(KindProvider, "%q holds no acme-dns account for %s: add it, or set dns_acmedns_url to the server where one is to be registered", cfg.AccountFile, domain)
}

// Add sets the one record of the account, where the domain's CNAME must lead.
func (p *acmeDNS) Add(ctx context.Context, r Record) error {
	a, err := p.account(ctx, r.Domain)
	if err != nil {
		return err
	}
	target := strings.ToLower(plain(a.FullDomain))
	if !strings.EqualFold(r.Name, target) {
		at := "leads to " + r.Name
		if r.Name == "_acme-challenge."+r.Domain {
			at = "is not there"
		}
		return fail(KindDelegation, "the CNAME that delegates the challenges to acme-dns %s: make this record, once, and wellkey goes on by itself: _acme-challenge.%s. CNAME %s.", at, r.Domain, target)
	}
	body := map[string]string{"subdomain": a.Subdomain, "txt": r.Value}
	status, answer, err := call(ctx, p.client, http.MethodPost, a.server(p.cfg.URL)+"/update", body, func(request *http.Request) {
		request.Header.Set("X-Api-User", a.Username)
		request.Header.Set("X-Api-Key", a.Password)
	}, secret.New(a.Password))
	if err != nil {
		return wrap(KindProvider, err, "the acme-dns server cannot be asked: check dns_acmedns_url, and that it runs")
	}
	said := quote(strings.TrimSpace(string(answer)))
	switch {
	case status == http.StatusOK:
		return nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fail(KindProvider, "acme-dns does not accept the account of %s in %q (%d, %s): the server has forgotten it, or allows it from other addresses (allowfrom); take it out of the file for a new one, which needs a new CNAME", r.Domain, p.cfg.AccountFile, status, said)
	case status == http.StatusBadRequest:
		return fail(KindProvider, "acme-dns cannot use the account of %s in %q (400, %s): check that its subdomain is whole", r.Domain, p.cfg.AccountFile, said)
	}
	return fail(KindProvider, "acme-dns did not set the record (%d): it says %s", status, said)
}

// Remove does nothing: an account has its record for ever, acme-dns keeps the last
// two values, and knows no way to take one out.
func (p *acmeDNS) Remove(context.Context, Record) error { return nil }

// account returns that of a domain, and registers one where there is none. It is
// stored before anybody is told of it, since it cannot be asked for again.
func (p *acmeDNS) account(ctx context.Context, domain string) (account, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all, err := readAccounts(p.cfg.AccountFile)
	if err != nil {
		return account{}, err
	}
	if a, ok := all.of(domain); ok {
		return a, a.check(p.cfg.AccountFile, domain, p.cfg.URL)
	}
	if p.cfg.URL == "" {
		return account{}, p.cfg.noAccount(domain)
	}
	if err := all.write(p.cfg.AccountFile); err != nil {
		return account{}, err // before there is an account that would be lost
	}
	a, err := p.register(ctx)
	if err != nil {
		return account{}, err
	}
	a.ServerURL = p.cfg.URL
	if err := all.add(domain, a); err != nil {
		return account{}, err
	}
	return a, all.write(p.cfg.AccountFile)
}

func (p *acmeDNS) register(ctx context.Context) (account, error) {
	status, answer, err := call(ctx, p.client, http.MethodPost, strings.TrimSuffix(p.cfg.URL, "/")+"/register", nil, func(*http.Request) {})
	if err != nil {
		return account{}, wrap(KindProvider, err, "the acme-dns server cannot be asked for an account: check dns_acmedns_url, and that it runs")
	}
	if status < 200 || status > 299 {
		return account{}, fail(KindProvider, "acme-dns gives no account (%d, %s): where registration is closed, put one into dns_acmedns_account_file", status, quote(strings.TrimSpace(string(answer))))
	}
	var a account
	if json.Unmarshal(answer, &a) != nil || a.missing() != "" || !a.named() {
		return account{}, wrap(KindProvider, errors.New("the answer has no account in it"), "dns_acmedns_url is not the address of an acme-dns server")
	}
	return a, nil
}
