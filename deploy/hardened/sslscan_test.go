package hardened_test

import (
	"encoding/xml"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testworld"
)

// sslscan finds TLS 1.2 and 1.3, the suites of Mozilla's guideline for a certificate
// with an ECDSA key, and its curves; and neither compression nor renegotiation that
// a client could ask for.
func TestSSLScan(t *testing.T) {
	t.Parallel()
	w := deploytest.Start(t, testworld.Config{Domain: "sslscan.example.com", Files: true})
	start(t, w)
	out, err := exec.Command("sslscan", "--no-colour", "--xml=-", "--sni-name="+w.Domain, w.HTTPSAddr).Output()
	if err != nil {
		t.Fatalf("sslscan (of the Debian package of that name): %v\n%s", err, out)
	}
	var report struct {
		Test struct {
			Protocols []struct {
				Type    string `xml:"type,attr"`
				Version string `xml:"version,attr"`
				Enabled int    `xml:"enabled,attr"`
			} `xml:"protocol"`
			Renegotiation struct {
				Supported int `xml:"supported,attr"`
				Secure    int `xml:"secure,attr"`
			} `xml:"renegotiation"`
			Compression struct {
				Supported int `xml:"supported,attr"`
			} `xml:"compression"`
			Heartbleed []struct {
				Vulnerable int `xml:"vulnerable,attr"`
			} `xml:"heartbleed"`
			Ciphers []struct {
				Version string `xml:"sslversion,attr"`
				Name    string `xml:"cipher,attr"`
			} `xml:"cipher"`
			Groups []struct {
				Name string `xml:"name,attr"`
			} `xml:"group"`
		} `xml:"ssltest"`
	}
	if err := xml.Unmarshal(out, &report); err != nil {
		t.Fatalf("reading what sslscan says: %v\n%s", err, out)
	}
	var versions, suites, curves []string
	for _, p := range report.Test.Protocols {
		if p.Enabled != 0 {
			versions = append(versions, p.Type+p.Version)
		}
	}
	for _, c := range report.Test.Ciphers {
		suites = append(suites, c.Version+" "+c.Name)
	}
	for _, g := range report.Test.Groups {
		curves = append(curves, g.Name)
	}
	for what, pair := range map[string][2][]string{
		"versions": {versions, {"tls1.2", "tls1.3"}},
		"suites": {suites, {
			"TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305",
			"TLSv1.3 TLS_AES_128_GCM_SHA256", "TLSv1.3 TLS_AES_256_GCM_SHA384", "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256"}},
		"curves": {unique(curves), {"secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)", "x25519"}},
	} {
		got, want := unique(pair[0]), pair[1]
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", what, got, want)
		}
	}
	if report.Test.Compression.Supported != 0 || report.Test.Renegotiation.Supported != 0 && report.Test.Renegotiation.Secure == 0 {
		t.Errorf("compression %+v, renegotiation %+v", report.Test.Compression, report.Test.Renegotiation)
	}
	for _, h := range report.Test.Heartbleed {
		if h.Vulnerable != 0 {
			t.Error("heartbleed")
		}
	}
	if strings.Contains(string(out), "<error>") {
		t.Errorf("sslscan did not get through: %s", out)
	}
}

// unique sorts names, and takes each once.
func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
