package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A small program, where lines with "want" have what audit is to find there.
var planted = map[string]string{
	"go.mod": "module planted\n\ngo 1.26.0\n",
	"main.go": `package main

import (
	"crypto/tls"

	_ "planted/part"
)

func main() {
	use(&tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) // want G402
	use(&tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) // #nosec G402 -- for a test
	use(&tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) // #nosec G402 want G402, directive
	use(&tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) // #nosec -- want G402, directive
	use(nil) // #nosec G115 -- want nothing
}

func use(*tls.Config) {}
`,
	"part/part.go": `package part

import "math/rand/v2"

var N = rand.Int() // want G404
`,
	"workshop/workshop.go": `package workshop

import (
	"math/rand/v2"
	"net/http"
)

var N = rand.Int()

func Serve() error { return http.ListenAndServe("", nil) } // want G114
`,
	"workshop/workshop_test.go": `package workshop

import "net/http"

func serve() error { return http.ListenAndServe("", nil) }
`,
}

func TestAudit(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for name, text := range planted {
		plant(t, filepath.Join(dir, name), text)
		number := 0
		for line := range strings.Lines(text) {
			number++
			if _, words, ok := strings.Cut(line, "want "); ok {
				for _, word := range strings.Split(strings.TrimSpace(words), ", ") {
					want = append(want, filepath.ToSlash(name)+":"+strconv.Itoa(number)+" "+word)
				}
			}
		}
	}
	found, err := audit(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != len(want) {
		t.Errorf("found %d, want %d", len(found), len(want))
	}
	for _, w := range want {
		at, word, _ := strings.Cut(w, " ")
		if !slices.ContainsFunc(found, func(line string) bool { return strings.HasPrefix(line, at+": ") && strings.Contains(line, word) }) {
			t.Errorf("%s: %s was not found", at, word)
		}
	}
	if t.Failed() {
		t.Logf("found:\n%s", strings.Join(found, "\n"))
	}
}

// Where there is nothing to read, or what does not compile, nothing was looked at,
// which is not as good as nothing found.
func TestAuditOfNothing(t *testing.T) {
	if found, err := audit(t.TempDir()); err == nil {
		t.Errorf("an empty directory has %q", found)
	}
	dir := t.TempDir()
	plant(t, filepath.Join(dir, "go.mod"), "module planted\n\ngo 1.26.0\n")
	plant(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { nobody() }\n")
	found, err := audit(dir)
	if err != nil || !slices.Contains(found, "main.go:3: undefined: nobody") {
		t.Errorf("what does not compile has %q, %v", found, err)
	}
}

// A key is found wherever it lies, also where one of the same name is allowed in our
// tree; what is no key is not.
func TestSecretsAreFound(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	plant(t, filepath.Join(dir, "public.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	if out, err := secrets(dir); err != nil {
		t.Errorf("without a secret: %v\n%s", err, out)
	}
	const allowed = "keystore/testdata/good-sec1.pem"
	plant(t, filepath.Join(dir, allowed), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
	plant(t, filepath.Join(dir, "settings.yaml"), "aws_secret: AKIA"+"Z7Q2M5XN3RLPT4WV\n")
	out, err := secrets(dir)
	if err == nil {
		t.Errorf("a planted key was not found:\n%s", out)
	}
	for _, rule := range []string{"private-key", "aws-access-token"} {
		if !strings.Contains(out, rule) {
			t.Errorf("%s was not found:\n%s", rule, out)
		}
	}
}

// Each file that may hold a key is there: an allowance for what has gone would be one
// for whatever takes its name.
func TestAllowancesAreOfFiles(t *testing.T) {
	text, err := os.ReadFile("../../.gitleaks.toml")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`'''\^([^']*/[^']*|[^']*\\\.go)\$'''`).FindAllStringSubmatch(string(text), -1)
	if len(paths) < 20 {
		t.Fatalf("only %d paths: they were not understood", len(paths))
	}
	for _, m := range paths {
		if _, err := os.Stat(filepath.Join("../..", strings.ReplaceAll(m[1], `\.`, "."))); err != nil {
			t.Errorf(".gitleaks.toml: %v", err)
		}
	}
}

// secrets runs gitleaks on a directory, with the allowances of ours.
func secrets(dir string) (string, error) {
	out, err := exec.Command("go", "tool", "gitleaks", "dir", "--config", "../../.gitleaks.toml", "--no-banner", "--verbose", "--redact", dir).CombinedOutput()
	return string(out), err
}

func plant(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
