package dns01_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"

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
