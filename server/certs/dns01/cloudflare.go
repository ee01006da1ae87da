package dns01

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/miekg/dns"

	"wellkey/internal/secret"
)

// Cloudflare are the settings of a zone at Cloudflare.
//
// Sources: https://developers.cloudflare.com/api/resources/zones/methods/list/,
// https://developers.cloudflare.com/api/resources/dns/subresources/records/,
// https://developers.cloudflare.com/fundamentals/api/get-started/create-token/
type Cloudflare struct {
	Token secret.Text // an API token with the permissions Zone:DNS:Edit and Zone:Zone:Read
	URL   string      // of the API; "" = Cloudflare's
}

type cloudflare struct {
	cfg    Cloudflare
	client *http.Client
}

// NewCloudflare returns the Provider of cfg.
func NewCloudflare(cfg Cloudflare) Provider {
	cfg.URL = cmp.Or(cfg.URL, "https://api.cloudflare.com/client/v4")
	return &cloudflare{cfg, newClient()}
}

// txt is a record as the API takes and gives it. The content is in quotes, as the
// dashboard wants it; what it gives may be without.
type txt struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Content string `json:"content"`
	TTL     int    `json:"ttl"`
}

func (p *cloudflare) Add(ctx context.Context, r Record) error {
	zone, err := p.zone(ctx, r.Name)
	if err != nil {
		return err
	}
	return p.ask(ctx, http.MethodPost, "/zones/"+zone+"/dns_records", txt{Type: "TXT", Name: r.Name, Content: `"` + r.Value + `"`, TTL: ttl}, nil)
}

func (p *cloudflare) Remove(ctx context.Context, r Record) error {
	zone, err := p.zone(ctx, r.Name)
	if err != nil {
		return err
	}
	var records []txt
	query := url.Values{"type": {"TXT"}, "name": {r.Name}, "per_page": {"100"}}
	if err := p.ask(ctx, http.MethodGet, "/zones/"+zone+"/dns_records?"+query.Encode(), nil, &records); err != nil {
		return err
	}
	for _, record := range records {
		if strings.Trim(record.Content, `"`) != r.Value {
			continue
		}
		if err := p.ask(ctx, http.MethodDelete, "/zones/"+zone+"/dns_records/"+url.PathEscape(record.ID), nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// zone returns the id of the zone that name is in, the closest one that the token
// may see.
func (p *cloudflare) zone(ctx context.Context, name string) (string, error) {
	name = dns.CanonicalName(name)
	labels := dns.Split(name)
	for _, at := range labels[:max(len(labels)-1, 0)] { // a top-level domain is nobody's
		var zones []struct {
			ID string `json:"id"`
		}
		if err := p.ask(ctx, http.MethodGet, "/zones?"+url.Values{"name": {plain(name[at:])}}.Encode(), nil, &zones); err != nil {
			return "", err
		}
		if len(zones) > 0 {
			return url.PathEscape(zones[0].ID), nil
		}
	}
	return "", fail(KindZone, "Cloudflare shows the token no zone that %s is in: give the token the permission Zone:Zone:Read for that zone, and check that the zone is in this account", plain(name))
}

// A complaint is one entry of the list of errors in an answer.
type complaint struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Chain   []struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error_chain"`
}

// identical are the codes by which Cloudflare says that the record is there
// already, as after a crash.
var identical = map[int]bool{81057: true, 81058: true}

// ask makes one call and decodes its result into result, unless that is nil.
func (p *cloudflare) ask(ctx context.Context, method, path string, body, result any) error {
	status, data, err := call(ctx, p.client, method, p.cfg.URL+path, body, func(request *http.Request) {
		request.Header.Set("Authorization", "Bearer "+p.cfg.Token.Reveal())
	}, p.cfg.Token)
	if err != nil {
		return wrap(KindProvider, err, "Cloudflare's API cannot be asked: check that this host may connect to it on port 443")
	}
	var answer struct {
		Success bool            `json:"success"`
		Errors  []complaint     `json:"errors"`
		Result  json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fail(KindProvider, "Cloudflare's API answered %d with something else than JSON: %s", status, quote(string(data)))
	}
	if !answer.Success {
		if len(answer.Errors) > 0 && identical[answer.Errors[0].Code] || method == http.MethodDelete && status == http.StatusNotFound {
			return nil
		}
		return p.judge(method, status, answer.Errors)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Result, result); err != nil {
		return fail(KindProvider, "Cloudflare's API gave a result that cannot be read: %s", quote(string(answer.Result)))
	}
	return nil
}

// judge puts a refusal into words.
func (p *cloudflare) judge(method string, status int, complaints []complaint) error {
	codes := map[int]bool{}
	var said []string
	for _, c := range complaints {
		codes[c.Code] = true
		said = append(said, fmt.Sprintf("%d %s", c.Code, c.Message))
		for _, link := range c.Chain {
			codes[link.Code] = true
			said = append(said, fmt.Sprintf("%d %s", link.Code, link.Message))
		}
	}
	text := fmt.Sprintf("HTTP %d, %s", status, quote(p.cfg.Token.Hide(strings.Join(said, "; ")))) // again, since JSON can spell it otherwise
	switch {
	case codes[6003] || codes[6111]:
		return fail(KindProvider, "Cloudflare cannot read the token (%s): copy it again, alone; dns_cloudflare_token is an API token, not the Global API Key", text)
	case codes[9109] || codes[1000] || codes[9103] || codes[9106]:
		return fail(KindProvider, "Cloudflare does not accept the token, or not from here (%s): it is mistyped, expired or deleted, or its client IP filter leaves this host out", text)
	case codes[10000] || status == http.StatusForbidden || status == http.StatusUnauthorized:
		if method == http.MethodGet {
			return fail(KindProvider, "Cloudflare lets the token not read the zone (%s): give it the permissions Zone:Zone:Read and Zone:DNS:Edit for the zone", text)
		}
		return fail(KindProvider, "Cloudflare lets the token not change records (%s): give it the permission Zone:DNS:Edit for the zone", text)
	case status == http.StatusTooManyRequests || codes[10429] || codes[971]:
		return fail(KindProvider, "Cloudflare's API allows no more calls for now (%s): wellkey tries again", text)
	case status >= 500:
		return fail(KindProvider, "Cloudflare's API has trouble of its own (%s): wellkey tries again; https://www.cloudflarestatus.com says more", text)
	}
	return fail(KindProvider, "Cloudflare refused (%s)", text)
}
