package dns01

import (
	"context"
	"net/http"
	"strings"

	"github.com/miekg/dns"

	"wellkey/internal/secret"
)

// HTTPReq are the settings of a small HTTP server of the operator's, which speaks
// the protocol that lego calls httpreq, in its default mode: POST to /present and
// /cleanup, with {"fqdn": "...", "value": "..."}. The mode RAW, which passes the
// token for the server to compute the record from, is not needed for that.
//
// Source: https://go-acme.github.io/lego/dns/httpreq/
type HTTPReq struct {
	URL      string // https, or http to a network that may be trusted; /present is put behind it
	Username string // of Basic authentication; "" = none
	Password secret.Text
}

type httpReq struct {
	cfg    HTTPReq
	client *http.Client
}

// NewHTTPReq returns the Provider of cfg.
func NewHTTPReq(cfg HTTPReq) Provider { return &httpReq{cfg, newClient()} }

func (p *httpReq) Add(ctx context.Context, r Record) error    { return p.post(ctx, "/present", r) }
func (p *httpReq) Remove(ctx context.Context, r Record) error { return p.post(ctx, "/cleanup", r) }

// both returns what Basic authentication encodes.
func (p *httpReq) both() secret.Text {
	if p.cfg.Password.IsZero() {
		return secret.Text{}
	}
	return secret.New(p.cfg.Username + ":" + p.cfg.Password.Reveal())
}

func (p *httpReq) post(ctx context.Context, path string, r Record) error {
	body := struct {
		FQDN  string `json:"fqdn"`
		Value string `json:"value"`
	}{dns.Fqdn(r.Name), r.Value}
	status, answer, err := call(ctx, p.client, http.MethodPost, strings.TrimSuffix(p.cfg.URL, "/")+path, body, func(request *http.Request) {
		if p.cfg.Username != "" || !p.cfg.Password.IsZero() {
			request.SetBasicAuth(p.cfg.Username, p.cfg.Password.Reveal())
		}
	}, p.cfg.Password, p.both())
	said := quote(strings.TrimSpace(string(answer)))
	switch {
	case err != nil:
		return wrap(KindProvider, err, "the server of dns_httpreq_url cannot be asked: check the address, and that it runs")
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return fail(KindProvider, "the server of dns_httpreq_url answers %s with a redirect (%d), which is not followed: set the address that it leads to", path, status)
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fail(KindProvider, "the server of dns_httpreq_url does not accept us (%d, %s): check dns_httpreq_username and dns_httpreq_password", status, said)
	case status == http.StatusNotFound:
		return fail(KindProvider, "the server of dns_httpreq_url has no %s (404, %s): the address must be that to which %s is added", path, said, path)
	}
	return fail(KindProvider, "the server of dns_httpreq_url did not do %s (%d): it says %s", path, status, said)
}
