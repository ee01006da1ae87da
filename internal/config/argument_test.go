package config_test

import (
	"strings"
	"testing"

	"wellkey/internal/config"
)

func TestCheckDomain(t *testing.T) {
	for _, row := range []struct{ text, domain, what, fix, warning string }{
		{"example.com", "example.com", "", "", ""},
		{"https://Example.com:8443/path", "example.com", "has a scheme, a path, a port and upper-case letters", "Write example.com", ""},
		{"example.com.", "example.com", "has a dot at the end", "Write example.com", ""},
		{"bücher.example", "xn--bcher-kva.example", "has letters beyond ASCII", "Write xn--bcher-kva.example", ""},
		{"github.io", "", "is a public suffix", "example.github.io", ""},
		{"localhost", "", "is known on this machine", "example.com", ""},
		{"192.0.2.1", "", "is an IP address", "host name", ""},
		{"", "", "holds no host name", "example.com", ""},
		{"my-tesla.example.com", "my-tesla.example.com", "", "", `holds "tesla"`},
		{"https://car.local", "car.local", "has a scheme", "Write car.local", "not in the public DNS"},
	} {
		got := config.CheckDomain(row.text)
		if got.Domain != row.domain || !strings.Contains(got.What, row.what) || !strings.Contains(got.Fix, row.fix) ||
			!strings.Contains(strings.Join(got.Warnings, " "), row.warning) ||
			(got.What == "") != (row.what == "") || (got.Warnings == nil) != (row.warning == "") {
			t.Errorf("CheckDomain(%q) = %+v, want %+v", row.text, got, row)
		}
	}
}

// A command that is given the domain works without any settings, and does not
// take what lies in the default places for that domain's.
func TestLoadForNeedsNoDomain(t *testing.T) {
	s, err := config.New(nil).LoadFor("other.example")
	if err != nil {
		t.Fatal(err)
	}
	if s.Domain != "" || s.DataDir != "" || s.KeyFile != "" || s.Application.CredentialsFile != "" {
		t.Errorf("domain %q, data_dir %q, key_file %q, credentials_file %q; want none", s.Domain, s.DataDir, s.KeyFile, s.Application.CredentialsFile)
	}
	if id, _, err := config.LoadCredentials(s); id != "" || err != nil {
		t.Errorf("credentials %q, %v; want none", id, err)
	}
}

func TestLoadForKeepsWhatIsNamed(t *testing.T) {
	s, err := config.New([]string{"WELLKEY_KEY_FILE=/k.pem", "WELLKEY_DATA_DIR=/data"}).LoadFor("other.example")
	if err != nil {
		t.Fatal(err)
	}
	if s.KeyFile != "/k.pem" || s.DataDir != "/data" || s.Application.CredentialsFile != "/data/credentials.yaml" {
		t.Errorf("key_file %q, data_dir %q, credentials_file %q; want those of the settings", s.KeyFile, s.DataDir, s.Application.CredentialsFile)
	}
	s, err = config.New([]string{"HOME=/home/user", "WELLKEY_DOMAIN=example.com"}).LoadFor("other.example")
	if err != nil {
		t.Fatal(err)
	}
	if s.Domain != "example.com" || s.KeyFile != "/home/user/.local/share/wellkey/key.pem" {
		t.Errorf("domain %q, key_file %q; want those of the settings", s.Domain, s.KeyFile)
	}
}

func TestLoadForTellsAllFaults(t *testing.T) {
	_, err := config.New([]string{"WELLKEY_REGIONS=us", "WELLKEY_PROBE_PORT=0"}).LoadFor("other.example")
	if err == nil || len(strings.Split(err.Error(), "\n")) != 2 {
		t.Errorf("LoadFor: %v, want both faults and nothing else", err)
	}
}

func TestIssuer(t *testing.T) {
	for directory, want := range map[string]string{
		"letsencrypt": "letsencrypt.org", "letsencrypt-staging": "letsencrypt.org",
		"zerossl": "sectigo.com", "google": "pki.goog", "https://ca.example/directory": "",
	} {
		s := must(t, inputs{env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_ACME_DIRECTORY=" + directory,
			"WELLKEY_ACME_EAB_KEY_ID=i", "WELLKEY_ACME_EAB_HMAC_KEY=c2VjcmV0"}})
		if got := s.ACME.Issuer(); got != want {
			t.Errorf("issuer of %s = %q, want %q", directory, got, want)
		}
	}
	if got := (config.Authority{Directory: ":"}).Issuer(); got != "" {
		t.Errorf("issuer of no URL = %q", got)
	}
}
