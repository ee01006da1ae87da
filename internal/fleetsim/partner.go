package fleetsim

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"

	"wellkey/registrar/fleetapi"
)

// timestamps is how Tesla writes times.
const timestamps = "2006-01-02T15:04:05.000Z"

func (s *Sim) serveRegister(region fleetapi.Region) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Domain string `json:"domain"`
		}
		body, readErr := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		parseErr := json.Unmarshal(body, &request)
		e := s.begin(w, r, fleetapi.OpRegister, region, request.Domain, "")
		defer e.end()
		app, ok := e.authorize()
		if !ok {
			return
		}
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch {
		case kind != "application/json":
			e.answer(fleetapi.Example{Status: http.StatusNotAcceptable})
		case readErr != nil || parseErr != nil || !validDomain(request.Domain):
			e.refuse(fleetapi.InvalidDomain)
		case !app.allows(request.Domain):
			e.refuse(fleetapi.RootDomainMismatch)
		default:
			s.register(e, app, request.Domain)
		}
	}
}

// register downloads the key, which the domain's server may take its time for,
// and so holds no lock; then it records it. Tesla names its refusals after
// validations of a record, so they are taken to come after the download.
func (s *Sim) register(e *exchange, app App, domain string) {
	s.mu.Lock()
	s.downloads++
	s.mu.Unlock()
	key, problem := s.download(e.r.Context(), domain)
	e.record.Download = cmp.Or(problem, "ok")
	if problem != "" {
		x := refusal(fleetapi.KeyTooLarge).Examples[0]
		x.Body = strings.ReplaceAll(x.Body, "error: too large", "error: "+problem)
		e.answer(x)
		return
	}
	account, code := s.record(app, e.record.Region, domain, key)
	if code != "" {
		e.refuse(code)
		return
	}
	e.json(http.StatusOK, map[string]any{"response": map[string]any{
		"account_id": account.AccountID, "domain": account.Domain, "name": account.Name, "description": "",
		"client_id": account.ClientID, "ca": nil, "created_at": account.CreatedAt, "updated_at": account.UpdatedAt,
		"enterprise_tier": account.EnterpriseTier, "issuer": nil, "csr": nil, "csr_updated_at": nil,
		"public_key": account.PublicKey, "public_key_hash": account.PublicKeyHash,
	}})
}

// record keeps the key, or returns why not. Which of two taken things Tesla
// names first is unknown.
func (s *Sim) record(app App, region fleetapi.Region, domain, key string) (fleetapi.Account, fleetapi.ReasonCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, a := range s.accounts {
		switch {
		case h.region != region || h.clientID == app.ClientID:
		case a.Domain == domain:
			return fleetapi.Account{}, fleetapi.DomainTaken
		}
	}
	for h, a := range s.accounts {
		if h.region == region && h.clientID != app.ClientID && strings.EqualFold(a.PublicKey, key) {
			return fleetapi.Account{}, fleetapi.KeyTaken
		}
	}
	now := s.clock().UTC().Format(timestamps)
	account, ok := s.accounts[holder{region, app.ClientID}]
	if !ok || account.AccountID == "" {
		account.AccountID = random(16)
	}
	if account.CreatedAt == "" {
		account.CreatedAt = now
	}
	sum := sha256.Sum256([]byte(key)) // Tesla's own algorithm is unknown
	account.Domain, account.Name, account.ClientID = domain, app.Name, app.ClientID
	account.EnterpriseTier, account.UpdatedAt = "pay_as_you_go", now
	account.PublicKey, account.PublicKeyHash = key, hex.EncodeToString(sum[:])
	s.accounts[holder{region, app.ClientID}] = account
	return account, ""
}

func (s *Sim) servePublicKey(region fleetapi.Region) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		domain := r.URL.Query().Get("domain")
		e := s.begin(w, r, fleetapi.OpPublicKey, region, domain, "")
		defer e.end()
		app, ok := e.authorize()
		if !ok {
			return
		}
		s.mu.Lock()
		account, registered := s.accounts[holder{region, app.ClientID}]
		s.mu.Unlock()
		_, known := s.Account(region, domain)
		switch {
		case domain == "":
			e.refuse(fleetapi.InternalError)
		case registered && account.Domain == domain:
			e.json(http.StatusOK, map[string]any{"response": map[string]any{"public_key": account.PublicKey}})
		case known:
			e.refuse(fleetapi.DomainOfAnotherApp)
		case registered:
			e.refuse(fleetapi.KeyNotFound)
		default:
			e.refuse(fleetapi.NotRegisteredInRegion)
		}
	}
}
