package dns01_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"wellkey/internal/secret"
	"wellkey/server/certs/dns01"
)

const canary = "Canary7f3a"

var challenge = dns01.Record{Domain: "example.test", Name: "_acme-challenge.example.test", Value: "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"}

// serve answers on loopback until the end of the test.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestHTTPReq(t *testing.T) {
	t.Parallel()
	var got []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		got = append(got, fmt.Sprintf("%s %s %s %s:%s %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"), user, password, body))
	})
	p := dns01.NewHTTPReq(dns01.HTTPReq{URL: server.URL + "/acme/", Username: "u", Password: secret.New(canary)})
	if err := p.Add(t.Context(), challenge); err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(t.Context(), challenge); err != nil {
		t.Fatal(err)
	}
	body := `{"fqdn":"_acme-challenge.example.test.","value":"` + challenge.Value + `"}`
	want := []string{"POST /acme/present application/json u:" + canary + " " + body, "POST /acme/cleanup application/json u:" + canary + " " + body}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHTTPReqRefuses(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		301: "answers /present with a redirect (301), which is not followed: set the address that it leads to",
		401: `does not accept us (401, "no \"zone\""): check dns_httpreq_username and dns_httpreq_password`,
		404: `has no /present (404, "no \"zone\""): the address must be that to which /present is added`,
		500: `did not do /present (500): it says "no \"zone\""`,
	} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "no \"zone\"\n") // the client has gone
		})
		err := dns01.NewHTTPReq(dns01.HTTPReq{URL: server.URL, Username: "u", Password: secret.New(canary)}).Add(t.Context(), challenge)
		checkError(t, err, dns01.KindProvider, want)
	}
	err := dns01.NewHTTPReq(dns01.HTTPReq{URL: "http://127.0.0.1:1"}).Add(t.Context(), challenge)
	checkError(t, err, dns01.KindProvider, "cannot be asked: check the address, and that it runs: asking 127.0.0.1:1: ")
}

// A fakeCloudflare has one zone, and behaves as the documentation of the API
// says.
type fakeCloudflare struct {
	mu      sync.Mutex
	records map[string]map[string]any // by id
	next    int
	refuse  func(*http.Request) (status int, body string) // nil = nobody
}

func (f *fakeCloudflare) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(status int, result any, errors ...map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"success": len(errors) == 0, "errors": append([]map[string]any{}, errors...), "messages": []any{}, "result": result}) // the client has gone
	}
	if f.refuse != nil {
		if status, body := f.refuse(r); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
			return
		}
	}
	if r.Header.Get("Authorization") != "Bearer "+canary {
		answer(403, nil, map[string]any{"code": 9109, "message": "Invalid access token"})
		return
	}
	const records = "/zones/z1/dns_records"
	switch path := r.URL.Path; {
	case r.Method == "GET" && path == "/zones":
		zones := []any{}
		if r.URL.Query().Get("name") == "example.test" {
			zones = append(zones, map[string]string{"id": "z1", "name": "example.test"})
		}
		answer(200, zones)
	case r.Method == "POST" && path == records:
		var record map[string]any
		_ = json.NewDecoder(r.Body).Decode(&record) // what is missing is seen by the test
		for _, other := range f.records {
			if other["name"] == record["name"] && other["content"] == record["content"] {
				answer(400, nil, map[string]any{"code": 81058, "message": "An identical record already exists."})
				return
			}
		}
		f.next++
		record["id"] = fmt.Sprint("r", f.next)
		f.records[record["id"].(string)] = record
		answer(200, record)
	case r.Method == "GET" && path == records:
		found := []any{}
		for _, record := range f.records {
			if record["name"] == r.URL.Query().Get("name") && record["type"] == r.URL.Query().Get("type") {
				found = append(found, record)
			}
		}
		answer(200, found)
	case r.Method == "DELETE" && strings.HasPrefix(path, records+"/"):
		delete(f.records, strings.TrimPrefix(path, records+"/"))
		answer(200, map[string]string{})
	default:
		answer(404, nil, map[string]any{"code": 7000, "message": "No route for that URI"})
	}
}

func TestCloudflare(t *testing.T) {
	t.Parallel()
	fake := &fakeCloudflare{records: map[string]map[string]any{}}
	p := dns01.NewCloudflare(dns01.Cloudflare{Token: secret.New(canary), URL: serve(t, fake.ServeHTTP).URL})
	other := challenge
	other.Value = "other"
	for _, r := range []dns01.Record{challenge, challenge, other} { // the second as after a crash
		if err := p.Add(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if r := fake.records["r1"]; len(fake.records) != 2 || r["type"] != "TXT" || r["name"] != challenge.Name || r["content"] != `"`+challenge.Value+`"` || r["ttl"] != 60.0 {
		t.Errorf("got %v", fake.records)
	}
	for range 2 {
		if err := p.Remove(t.Context(), challenge); err != nil {
			t.Fatal(err)
		}
	}
	if len(fake.records) != 1 || fake.records["r2"] == nil {
		t.Errorf("got %v, want the other record alone", fake.records)
	}
	err := p.Add(t.Context(), dns01.Record{Name: "_acme-challenge.example.org", Value: "v"})
	checkError(t, err, dns01.KindZone, "Cloudflare shows the token no zone that _acme-challenge.example.org is in: give the token the permission Zone:Zone:Read")
	err = dns01.NewCloudflare(dns01.Cloudflare{Token: secret.New("Canary7f3a2"), URL: serve(t, fake.ServeHTTP).URL}).Add(t.Context(), challenge)
	checkError(t, err, dns01.KindProvider, `Cloudflare does not accept the token, or not from here (HTTP 403, "9109 Invalid access token"): it is mistyped`)
}

func TestCloudflareRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		method string
		status int
		body   string
		want   string
	}{
		{"GET", 400, `{"success":false,"errors":[{"code":6003,"message":"Invalid request headers","error_chain":[{"code":6111,"message":"Invalid format for Authorization header"}]}]}`,
			`Cloudflare cannot read the token (HTTP 400, "6003 Invalid request headers; 6111 Invalid format for Authorization header"): copy it again, alone; dns_cloudflare_token is an API token, not the Global API Key`},
		{"GET", 403, `{"success":false,"errors":[{"code":9109,"message":"Cannot use the access token from location: 192.0.2.1"}]}`, "its client IP filter leaves this host out"},
		{"GET", 403, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`, "Cloudflare lets the token not read the zone"},
		{"POST", 403, `{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}`,
			`Cloudflare lets the token not change records (HTTP 403, "10000 Authentication error"): give it the permission Zone:DNS:Edit for the zone`},
		{"POST", 429, `{"success":false,"errors":[{"code":10429,"message":"Rate limited"}]}`, "Cloudflare's API allows no more calls for now"},
		{"POST", 502, `{"success":false,"errors":[]}`, "Cloudflare's API has trouble of its own"},
		{"POST", 502, `<html>`, `Cloudflare's API answered 502 with something else than JSON: "<html>"`},
		{"POST", 400, `{"success":false,"errors":[{"code":1004,"message":"DNS Validation Error"}]}`, `Cloudflare refused (HTTP 400, "1004 DNS Validation Error")`},
		{"GET", 200, `{"success":true,"result":7}`, "Cloudflare's API gave a result that cannot be read"},
	} {
		fake := &fakeCloudflare{records: map[string]map[string]any{}, refuse: func(r *http.Request) (int, string) {
			if r.Method != test.method {
				return 0, ""
			}
			return test.status, test.body
		}}
		err := dns01.NewCloudflare(dns01.Cloudflare{Token: secret.New(canary), URL: serve(t, fake.ServeHTTP).URL}).Add(t.Context(), challenge)
		checkError(t, err, dns01.KindProvider, test.want)
	}
	err := dns01.NewCloudflare(dns01.Cloudflare{Token: secret.New(canary), URL: "http://127.0.0.1:1"}).Add(t.Context(), challenge)
	checkError(t, err, dns01.KindProvider, "Cloudflare's API cannot be asked: check that this host may connect to it on port 443")
}

// A fakeACMEDNS gives accounts and takes values, as acme-dns does.
type fakeACMEDNS struct {
	mu     sync.Mutex
	closed bool
	given  int
	values []string
}

func (f *fakeACMEDNS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "POST /register":
		if f.closed {
			http.NotFound(w, r)
			return
		}
		f.given++
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"allowfrom":[],"fulldomain":"sub1.auth.test","password":"`+canary+`","subdomain":"sub1","username":"u1"}`)
	case "POST /update":
		var body struct{ Subdomain, Txt string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		switch {
		case r.Header.Get("X-Api-User") != "u1" || r.Header.Get("X-Api-Key") != canary:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"forbidden"}`)
		case body.Subdomain != "sub1" || len(body.Txt) != 43:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"bad_txt"}`)
		default:
			f.values = append(f.values, body.Txt)
			_, _ = io.WriteString(w, `{"txt":"`+body.Txt+`"}`)
		}
	default:
		http.NotFound(w, r)
	}
}

func TestACMEDNSRegistersOnce(t *testing.T) {
	t.Parallel()
	fake := &fakeACMEDNS{}
	file := filepath.Join(t.TempDir(), "data", "acme-dns.json")
	cfg := dns01.ACMEDNS{URL: serve(t, fake.ServeHTTP).URL, AccountFile: file}
	for range 2 { // the second as after a restart
		err := dns01.NewACMEDNS(cfg).Add(t.Context(), challenge)
		checkError(t, err, dns01.KindDelegation, "the CNAME that delegates the challenges to acme-dns is not there: make this record, once, and wellkey goes on by itself: _acme-challenge.example.test. CNAME sub1.auth.test.")
	}
	elsewhere := challenge
	elsewhere.Name = "old.auth.test"
	checkError(t, dns01.NewACMEDNS(cfg).Add(t.Context(), elsewhere), dns01.KindDelegation, "leads to old.auth.test: make this record")
	delegated := challenge
	delegated.Name = "Sub1.auth.test"
	p := dns01.NewACMEDNS(cfg)
	if err := p.Add(t.Context(), delegated); err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(t.Context(), delegated); err != nil {
		t.Fatal(err)
	}
	if fake.given != 1 || !slices.Equal(fake.values, []string{challenge.Value}) {
		t.Errorf("got %d accounts and %q, want 1 and the value", fake.given, fake.values)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the account file: got %v, %v, want mode 0600", info, err)
	}
}

func TestACMEDNSAccounts(t *testing.T) {
	t.Parallel()
	fake := &fakeACMEDNS{closed: true}
	server := serve(t, fake.ServeHTTP).URL
	account := func(fields string) string { return `{"other.test": {"x": [1]}, "example.test": {` + fields + `}}` }
	const good = `"fulldomain":"sub1.auth.test","subdomain":"sub1","username":"u1","password":"` + canary + `"`
	record := challenge
	record.Name = "sub1.auth.test"
	for name, test := range map[string]struct {
		file, url, want string
		kind            dns01.Kind
	}{
		"as others have it": {account(good + `,"allowfrom":[],"server_url":"` + server + `/"`), "", "", ""},
		"without server":    {account(good), server, "", ""},
		"no server at all":  {account(good), "", "does not say its server_url: add it, or set dns_acmedns_url", dns01.KindProvider},
		"two servers":       {account(good + `,"server_url":"https://a.test"`), server, `is one of "https://a.test", and dns_acmedns_url is ` + server + ": make them agree", dns01.KindProvider},
		"half":              {account(`"fulldomain":"sub1.auth.test","username":"u1"`), server, "lacks subdomain, password: copy it again, whole", dns01.KindProvider},
		"forgotten":         {account(strings.Replace(good, "u1", "u2", 1)), server, `(401, "{\"error\":\"forbidden\"}"): the server has forgotten it`, dns01.KindProvider},
		"bad subdomain":     {account(strings.Replace(good, `"sub1"`, `"sub"`, 1)), server, `(400, "{\"error\":\"bad_txt\"}"): check that its subdomain is whole`, dns01.KindProvider},
		"other domain":      {`{"other.test": {}}`, "", "holds no acme-dns account for example.test: add it, or set dns_acmedns_url", dns01.KindProvider},
		"closed":            {`{}`, server, `acme-dns gives no account (404, "404 page not found"): where registration is closed, put one into dns_acmedns_account_file`, dns01.KindProvider},
		"no JSON":           {canary, server, "of dns_acmedns_account_file is no JSON of the form", dns01.KindProvider},
		"nobody there":      {account(good), "http://127.0.0.1:1", "the acme-dns server cannot be asked: check dns_acmedns_url", dns01.KindProvider},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "accounts.json")
			if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			err := dns01.NewACMEDNS(dns01.ACMEDNS{URL: test.url, AccountFile: file}).Add(t.Context(), record)
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkError(t, err, test.kind, test.want)
		})
	}
}

// What is in the file for others outlives a registration.
func TestACMEDNSKeepsOthers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "accounts.json")
	if err := os.WriteFile(file, []byte(`{"other.test": {"x": [1]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	fake := &fakeACMEDNS{}
	_ = dns01.NewACMEDNS(dns01.ACMEDNS{URL: serve(t, fake.ServeHTTP).URL, AccountFile: file}).Add(t.Context(), challenge) // lacks the CNAME
	var got map[string]map[string]any
	data, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(data, &got)
	}
	if err != nil || got["other.test"]["x"] == nil || got["example.test"]["password"] != canary {
		t.Errorf("got %s, %v", data, err)
	}
}

// TestNothingIsRepeated: a server that repeats the request, as some do when they
// fail, does not bring its secret into a failure, whichever way it is written.
func TestNothingIsRepeated(t *testing.T) {
	t.Parallel()
	const hard = canary + `+"/&` // which JSON and forms write in other ways
	account := filepath.Join(t.TempDir(), "accounts.json")
	text, err := json.Marshal(map[string]any{"example.test": map[string]string{"fulldomain": "sub1.auth.test", "subdomain": "sub1", "username": "u1", "password": hard}})
	if err == nil {
		err = os.WriteFile(account, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	delegated := challenge
	delegated.Name = "sub1.auth.test"
	for form, write := range map[string]func(string) string{
		"plain":   func(s string) string { return s },
		"JSON":    func(s string) string { quoted, _ := json.Marshal(map[string]string{"sent": s}); return string(quoted) },
		"escaped": url.QueryEscape,
	} {
		for _, status := range []int{200, 400, 401, 403, 404, 429, 500} {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				for _, name := range []string{"Authorization", "X-Api-Key"} {
					_, _ = io.WriteString(w, write(r.Header.Get(name))) // the client has gone
				}
			}).URL
			for name, err := range map[string]error{
				"cloudflare": dns01.NewCloudflare(dns01.Cloudflare{Token: secret.New(hard), URL: server}).Add(t.Context(), challenge),
				"httpreq":    dns01.NewHTTPReq(dns01.HTTPReq{URL: server, Username: "u", Password: secret.New(hard)}).Add(t.Context(), challenge),
				"acmedns":    dns01.NewACMEDNS(dns01.ACMEDNS{URL: server, AccountFile: account}).Add(t.Context(), delegated),
			} {
				if err == nil && status == 200 && name != "cloudflare" {
					continue
				}
				if err == nil {
					t.Errorf("%s, %s, %d: no error", name, form, status)
					continue
				}
				encoded := base64.StdEncoding.EncodeToString([]byte("u:" + hard))
				for _, part := range []string{canary, encoded, url.QueryEscape(encoded)} {
					if strings.Contains(err.Error(), part) {
						t.Errorf("%s, %s, %d: the secret is shown: %v", name, form, status, err)
					}
				}
			}
		}
	}
}
