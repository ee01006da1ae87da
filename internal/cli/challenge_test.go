package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/internal/config"
	"wellkey/registrar/reach"
)

// TestChallengeOfSettings: the doctor knows from the settings where the record must go
// that proves the domain.
func TestChallengeOfSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	accounts := filepath.Join(dir, "accounts.json")
	if err := os.WriteFile(accounts, []byte(`{"keys.example.com": {"fulldomain": "D420.auth.example.org.", "subdomain": "d420", "username": "u", "password": "p"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, "damaged.json")
	if err := os.WriteFile(damaged, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		environ []string
		want    reach.Challenge
	}{
		"ports":      {nil, reach.Challenge{Known: true}},
		"rfc2136":    {[]string{"WELLKEY_DNS_PROVIDER=rfc2136", "WELLKEY_DNS_RFC2136_SERVER=ns1.example.com", "WELLKEY_DNS_RFC2136_ZONE=example.net"}, reach.Challenge{Known: true, Provider: "rfc2136", Zone: "example.net"}},
		"cloudflare": {[]string{"WELLKEY_DNS_PROVIDER=cloudflare", "WELLKEY_DNS_CLOUDFLARE_TOKEN=v1_abcdefghijklmnopqrstuvwxyz0123456789ABCD"}, reach.Challenge{Known: true, Provider: "cloudflare"}},
		"acme-dns": {[]string{"WELLKEY_DNS_PROVIDER=acme-dns", "WELLKEY_DNS_ACMEDNS_URL=https://auth.example.org", "WELLKEY_DNS_ACMEDNS_ACCOUNT_FILE=" + accounts},
			reach.Challenge{Known: true, Provider: "acme-dns", Target: "d420.auth.example.org", Keeps: true}},
		"acme-dns, no account": {[]string{"WELLKEY_DNS_PROVIDER=acme-dns", "WELLKEY_DNS_ACMEDNS_URL=https://auth.example.org"}, reach.Challenge{Known: true, Provider: "acme-dns", Keeps: true}},
		"acme-dns, account lost, and none can be made": {[]string{"WELLKEY_DNS_PROVIDER=acme-dns", "WELLKEY_DNS_ACMEDNS_ACCOUNT_FILE=" + filepath.Join(dir, "none.json")},
			reach.Challenge{Known: true, Provider: "acme-dns", Keeps: true, Fault: "holds no acme-dns account for keys.example.com: add it"}},
		"acme-dns, damaged": {[]string{"WELLKEY_DNS_PROVIDER=acme-dns", "WELLKEY_DNS_ACMEDNS_URL=https://auth.example.org", "WELLKEY_DNS_ACMEDNS_ACCOUNT_FILE=" + damaged},
			reach.Challenge{Known: true, Provider: "acme-dns", Keeps: true, Fault: "is no JSON of the form"}},
		"acme-dns, not to be read": {[]string{"WELLKEY_DNS_PROVIDER=acme-dns", "WELLKEY_DNS_ACMEDNS_URL=https://auth.example.org", "WELLKEY_DNS_ACMEDNS_ACCOUNT_FILE=" + dir},
			reach.Challenge{Known: true, Provider: "acme-dns", Keeps: true, Fault: "reading dns_acmedns_account_file: "}},
		"acme-dns, another server": {[]string{"WELLKEY_DNS_PROVIDER=acme-dns", "WELLKEY_DNS_ACMEDNS_ACCOUNT_FILE=" + accounts},
			reach.Challenge{Known: true, Provider: "acme-dns", Target: "d420.auth.example.org", Keeps: true, Fault: "does not say its server_url"}},
	} {
		s, err := config.New(append([]string{"WELLKEY_DATA_DIR=" + dir, "WELLKEY_DOMAIN=keys.example.com"}, row.environ...)).LoadAll(true)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := challengeOf(s)
		if row.want.Fault != "" && strings.Contains(got.Fault, row.want.Fault) {
			got.Fault = row.want.Fault // it has the path, too
		}
		if got != row.want {
			t.Errorf("%s: got %+v, want %+v", name, got, row.want)
		}
	}
}
