package fleetapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
)

// An Account is Tesla's record of a partner in one region. All fields are
// foreign text; any may be empty, and ids need not be well-formed UUIDs.
type Account struct {
	AccountID      string `json:"account_id"`
	Domain         string `json:"domain"`
	Name           string `json:"name"`
	ClientID       string `json:"client_id"`
	EnterpriseTier string `json:"enterprise_tier"`
	CreatedAt      string `json:"created_at"`
	UpdatedAt      string `json:"updated_at"`
	PublicKey      string `json:"public_key"`      // hex of the uncompressed point
	PublicKeyHash  string `json:"public_key_hash"` // by an algorithm that Tesla does not document
	TxID           string `json:"-"`
}

// Register tells Tesla to download the key of domain and to record it for the
// application in region. Repeating it is harmless: the same domain with the
// same or another key replaces the record. The Account is empty but for the
// TxID where Tesla accepts without saying more (status 204). The error is an
// *Error, or that of a cancelled ctx.
func (c *Client) Register(ctx context.Context, region Region, domain string) (Account, error) {
	if err := c.known(region); err != nil {
		return Account{}, err
	}
	body, err := json.Marshal(map[string]string{"domain": domain})
	if err != nil {
		return Account{}, err
	}
	a, err := c.partner(ctx, request{
		op: OpRegister, region: region, domain: domain,
		method: http.MethodPost, url: c.base[region] + "/api/1/partner_accounts",
		contentType: "application/json", body: string(body),
	})
	if err != nil {
		return Account{}, err
	}
	account := Account{TxID: a.txid}
	if a.status == http.StatusNoContent {
		return account, nil
	}
	if err := json.Unmarshal(a.fields["response"], &account); err != nil || account == (Account{TxID: a.txid}) {
		return Account{}, c.bad(a, "no account in the response")
	}
	return account, nil
}

// PublicKey returns the key that Tesla has recorded for the application and
// domain in region, in the form in which Tesla answers: so far always the hex
// of the uncompressed point. The error is an *Error, or that of a cancelled
// ctx; errors.Is(err, ErrNotRegistered) where Tesla has no key.
func (c *Client) PublicKey(ctx context.Context, region Region, domain string) (string, error) {
	if domain == "" {
		return "", errors.New("asking for a key: no domain given") // Tesla answers with an internal error
	}
	if err := c.known(region); err != nil {
		return "", err
	}
	a, err := c.partner(ctx, request{
		op: OpPublicKey, region: region, domain: domain,
		method: http.MethodGet,
		url:    c.base[region] + "/api/1/partner_accounts/public_key?" + url.Values{"domain": {domain}}.Encode(),
	})
	if err != nil {
		return "", err
	}
	var response struct {
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal(a.fields["response"], &response); err != nil || response.PublicKey == "" {
		return "", c.bad(a, "no public_key in the response")
	}
	return response.PublicKey, nil
}

// partner makes a request with the token of the attempt that it belongs to.
func (c *Client) partner(ctx context.Context, r request) (answer, error) {
	attempt := attemptOf(ctx)
	for {
		t, err := attempt.use(ctx, c, r.region)
		if err != nil {
			return answer{}, err
		}
		r.bearer = t.bearer
		a, err := c.exchange(ctx, r)
		refused, ok := errors.AsType[*Error](err)
		if !ok || refused.Status != http.StatusUnauthorized || !attempt.refused() {
			return a, err
		}
	}
}
