package hardened_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testworld"
	"wellkey/server"
)

// testssl.sh finds nothing that is worse than OK or INFO: protocols, suites, forward
// secrecy, the certificate, HTTP headers, and all the vulnerabilities that it knows.
func TestTestSSL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := deploytest.Start(t, testworld.Config{Domain: "testssl.example.com", Dir: dir, Files: true})
	start(t, w)
	host, port, err := net.SplitHostPort(w.HTTPSAddr)
	must(t, err)
	roots, report := filepath.Join(dir, "roots.pem"), filepath.Join(dir, "report.json")
	must(t, os.WriteFile(roots, w.RootsPEM(), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	// With --fast it would leave ciphers out that the local OpenSSL does not have.
	scan := exec.CommandContext(ctx, "testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", host,
		"--add-ca", roots, "--jsonfile", report,
		"--protocols", "--standard", "--pfs", "--server-preference", "--server-defaults", "--headers", "--vulnerable", w.Domain+":"+port+server.KeyPath)
	scan.Env = append(os.Environ(), "NO_ENGINE=true") // else it wants one for GOST, which nobody offers
	scan.WaitDelay = time.Second
	out, err := scan.CombinedOutput()
	text, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("testssl (of the Debian package testssl.sh): %v\n%s", err, out)
	}
	var findings []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(text, &findings); err != nil {
		t.Fatalf("reading what testssl says: %v\n%s", err, text)
	}
	seen := map[string]bool{}
	for _, f := range findings {
		seen[f.ID] = true
		if f.Severity != "OK" && f.Severity != "INFO" && !accepts("testssl.sh", f.ID) {
			t.Errorf("%s: %s: %s", f.Severity, f.ID, f.Finding)
		}
	}
	// Names differ between 3.0, which Debian has, and later ones.
	for _, ids := range [][]string{{"TLS1_3"}, {"cipherlist_AVERAGE", "cipherlist_OBSOLETED"}, {"PFS", "FS"}, {"cipher_order"}, {"cert_trust", "cert_chain_of_trust"},
		{"HSTS_time"}, {"heartbleed"}, {"ROBOT"}, {"LUCKY13"}, {"RC4"}} {
		if !seen[ids[0]] && !seen[ids[len(ids)-1]] {
			t.Errorf("testssl did not look at %s:\n%s", ids[0], out)
		}
	}
	if t.Failed() {
		t.Logf("testssl says:\n%s", out)
	}
}
