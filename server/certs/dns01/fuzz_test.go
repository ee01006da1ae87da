package dns01_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"wellkey/internal/secret"
	"wellkey/server/certs/dns01"
)

// FuzzAccounts reads any file of acme-dns accounts. Each domain has an account with
// which a CNAME can be made and a server asked, or none yet, or there is one line that
// can be shown and has no password. An account that is added changes no other.
func FuzzAccounts(f *testing.F) {
	const account = `{"fulldomain":"d420.auth.example","subdomain":"d420","username":"u","password":"CANARY"}`
	for _, text := range []string{
		"", "{", "null", "[]", "\x00", "{}", `{"a.example":null}`, `{"a.example":7}`, `{"a.example":` + account + `}`, `{"a.example":` + account + `,"b.example":{"x":1e999},"":[{"a":"\ud800"}]}`,
		`{"a.example":{"fulldomain":"\u001b[2J\n","subdomain":"s","username":"u","password":"CANARY","server_url":"http://auth.example/"}}`, `{"a.example":` + account + `,"a.example":"CANARY"}`, `{"A.example":` + account + `}`,
		`{"a.example":{"fulldomain":"CANARY","fulldomain":"a..b","subdomain":"s","username":"u","password":"CANARY","server_url":"\u202e"}}`, `{"a.example":{"fulldomain":["CANARY"],"password":{"CANARY":"CANARY"}}}`, `{"a.example":"CANARY`,
		strings.Replace(`{"a.example":`+account+`}`, "d420.auth.example", strings.Repeat("a.", 124)+"bc.def", 1),
	} {
		f.Add(text, "https://auth.example")
		f.Add(text, "")
	}
	path := filepath.Join(f.TempDir(), "accounts.json")
	f.Fuzz(func(t *testing.T, text, server string) {
		if server != "" {
			server = "https://auth.example" // what is set was looked at before
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		target, err := dns01.ACMEDNSTarget(dns01.ACMEDNS{URL: server, AccountFile: path}, "a.example")
		if err != nil {
			var said map[string]struct {
				Server string `json:"server_url"`
			}
			_ = json.Unmarshal([]byte(text), &said) // what could be read
			if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || len(text) > 1000 ||
				strings.Contains(text, "CANARY") && !strings.Contains(said["a.example"].Server, "CANARY") {
				t.Fatalf("it says %q", text)
			}
			return
		}
		if target != "" && (len(target) > 253 || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.Contains(target, "..") || strings.HasPrefix(target, ".")) {
			t.Fatalf("the CNAME is to lead to %q", target)
		}
		before := entries(t, path)
		if err := dns01.AddAccount(path, "c.example"); err != nil {
			t.Fatal(err)
		}
		after := entries(t, path)
		if len(after) == 0 || after["c.example"] == nil {
			t.Fatalf("the account is not there, but %v", after)
		}
		for name, was := range before {
			if name != "c.example" && !reflect.DeepEqual(after[name], was) {
				t.Fatalf("of %q, %v has become %v", name, was, after[name])
			}
		}
	})
}

// parrot answers every request with the same.
type parrot struct {
	status int
	body   string
}

func (p parrot) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: p.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

// FuzzProviders has the API of each provider answer anything. A record passes for made
// only where the answer says so; else there is one line that can be shown, and has no
// token or password, whatever is repeated of them.
func FuzzProviders(f *testing.F) {
	const canary = "CANARY-8c5f1e" // also a user's password, and an account's
	for _, body := range []string{
		"", "null", "{", "[]", "\x00\x1b[2J\u202e", `{"success":true}`, `{"success":true,"result":null}`, `{"success":true,"result":7}`, `{"success":true,"result":[]}`, `{"success":true,"result":[{"id":"../..?a#b","content":"\"value\""}]}`, `{"success":true,"result":[{"id":""}]}`,
		`{"success":false,"errors":[{"code":81057}]}`, `{"errors":[{"code":6003,"message":"` + canary + `","error_chain":[{"code":6111,"message":"\u001b]0;CANARY-8c5f1\u0065"}]}]}`, `{"success":"` + canary + `"}`, canary, "Basic " + canary,
		`{"fulldomain":"x.auth.example","subdomain":"x","username":"u","password":"p"}`, `{"fulldomain":"\u001b[2J","subdomain":"x","username":"u","password":"p"}`,
	} {
		for _, status := range []int{200, 201, 308, 400, 401, 403, 404, 429, 500} {
			f.Add(status, body)
		}
	}
	full, empty := filepath.Join(f.TempDir(), "full.json"), filepath.Join(f.TempDir(), "empty.json")
	if err := os.WriteFile(full, []byte(`{"a.example":{"fulldomain":"f.auth.example","subdomain":"f","username":"u","password":"`+canary+`"}}`), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return // net/http takes no other for an answer
		}
		if err := os.Remove(empty); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for i, p := range []dns01.Provider{
			dns01.NewCloudflare(dns01.Cloudflare{Token: secret.New(canary)}), dns01.NewHTTPReq(dns01.HTTPReq{URL: "https://dns.example", Username: "u", Password: secret.New(canary)}),
			dns01.NewACMEDNS(dns01.ACMEDNS{URL: "https://auth.example", AccountFile: full}),
			dns01.NewACMEDNS(dns01.ACMEDNS{URL: "https://auth.example", AccountFile: empty}), // it was told nothing that it could repeat
		} {
			dns01.Through(p, parrot{status, body})
			r := dns01.Record{Domain: "a.example", Name: "f.auth.example", Value: "value"}
			added, removed := p.Add(t.Context(), r), p.Remove(t.Context(), r)
			var said struct {
				Success bool
				Errors  []struct{ Code int }
			}
			_ = json.Unmarshal([]byte(body), &said) // what can be read
			if is2xx := status < 300; added == nil && !is2xx && !said.Success && (len(said.Errors) == 0 || said.Errors[0].Code != 81057 && said.Errors[0].Code != 81058) {
				t.Fatalf("%T takes %d for done: %q", p, status, body)
			}
			for _, err := range []error{added, removed} {
				if err == nil {
					continue
				}
				var known *dns01.Error
				if text := err.Error(); !errors.As(err, &known) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || i < 3 && strings.Contains(text, canary) || len(text) > 1500 {
					t.Fatalf("%T says %q", p, text)
				}
			}
		}
	})
}

// entries returns what the file at path says, of all domains.
func entries(t *testing.T, path string) (all map[string]any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}
