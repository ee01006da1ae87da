package hardened_test

import (
	"context"
	"encoding/xml"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testnamespace"
	"wellkey/internal/testworld"
	"wellkey/server"
)

// casesOfH2Spec are all of its version 2.2.1, the strict ones as well.
const casesOfH2Spec = 146

// h2spec asks for the key and finds nothing amiss with HTTP/2 but what is accepted.
func TestH2Spec(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "h2spec")
	build := exec.Command("go", "build", "-buildvcs=false", "-modfile="+filepath.Join(deploytest.Root(t), "tools.mod"), "-o", program, "github.com/summerwind/h2spec/cmd/h2spec")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building h2spec: %v\n%s", err, out)
	}
	w := deploytest.Start(t, testworld.Config{Domain: "h2spec.example.com", Dir: dir, Files: true})
	start(t, w)
	host, port, err := net.SplitHostPort(w.HTTPSAddr)
	must(t, err)

	// It sends the name that it looks up, so that has to lead here.
	hosts, report := filepath.Join(dir, "hosts"), filepath.Join(dir, "report.xml")
	must(t, os.WriteFile(hosts, []byte(host+" "+w.Domain+"\n"), 0o644))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	scan := exec.CommandContext(ctx, "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts,
		program, "--host="+w.Domain, "--port="+port, "--path="+server.KeyPath, "--tls", "--insecure", "--strict", "--timeout=10", "--junit-report="+report)
	scan.SysProcAttr = testnamespace.Mounts()
	scan.WaitDelay = time.Second
	out, err := scan.CombinedOutput() // an error also where a case fails
	text, readErr := os.ReadFile(report)
	if readErr != nil {
		t.Fatalf("h2spec, with an /etc/hosts of its own, which wants root or namespaces of users: %v\n%s", err, out)
	}
	var suites struct {
		Suites []struct {
			Section string `xml:"package,attr"`
			Cases   []struct {
				Failure *string   `xml:"failure"`
				Error   *string   `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatalf("reading what h2spec says: %v\n%s", err, text)
	}
	tried := 0
	for _, s := range suites.Suites {
		for i, c := range s.Cases {
			name := fmt.Sprintf("%s/%d", s.Section, i+1)
			if c.Skipped == nil {
				tried++
			}
			if (c.Failure != nil || c.Error != nil) && !accepts("h2spec", name) {
				t.Errorf("%s fails", name)
			}
		}
	}
	if tried != casesOfH2Spec {
		t.Errorf("h2spec tried %d cases, want %d", tried, casesOfH2Spec)
	}
	if t.Failed() {
		t.Logf("h2spec says:\n%s", out)
	}
}
