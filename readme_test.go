package main_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wellkey/internal/cli"
	"wellkey/internal/config"
)

var update = flag.Bool("update", false, "write the tables of settings into docs/settings.md")

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The tables of settings are made from the one in the code:
// go test . -run TestSettings -update
func TestSettings(t *testing.T) {
	const begin, end = "<!-- settings -->\n", "<!-- /settings -->"
	const path = "docs/settings.md"
	text := read(t, path)
	before, rest, ok1 := strings.Cut(text, begin)
	table, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("the marks around the tables of settings are gone")
	}
	want := config.MarkdownTable()
	if table == want {
		return
	}
	if !*update {
		t.Fatal("the tables of settings are not those of internal/config; run this test with -update")
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// blocks returns the code blocks of a language, with continued lines joined.
func blocks(text, language string) []string {
	var found []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		found = append(found, strings.ReplaceAll(m[1], "\\\n", " "))
	}
	return found
}

// lines returns the lines of all shell examples that begin with prefix, without
// comments.
func lines(t *testing.T, prefix string) []string {
	t.Helper()
	var found []string
	for _, block := range blocks(read(t, "README.md"), "sh") {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); strings.HasPrefix(line, prefix) {
				found = append(found, line)
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no example begins with %q", prefix)
	}
	return found
}

// The README sells four steps in a minute; what is longer than a few lines belongs
// into docs/.
func TestReadmeIsShort(t *testing.T) {
	text := read(t, "README.md")
	if lines, words := strings.Count(text, "\n"), len(strings.Fields(text)); lines > 140 || words > 1400 {
		t.Errorf("%d lines and %d words, want 140 and 1,400 at most", lines, words)
	}
}

// Every command of an example exists, with the flags that it shows.
func TestReadmeCommands(t *testing.T) {
	for _, line := range lines(t, "wellkey ") {
		args := append(strings.Fields(line)[1:], "--help")
		var out bytes.Buffer
		code := cli.Run(context.Background(), cli.Process{Args: args, Environ: []string{"HOME=/nonexistent"}, Stdout: &out, Stderr: &out})
		if code != 0 || !strings.Contains(out.String(), "Usage:") || !strings.Contains(out.String(), "wellkey "+args[0]) {
			t.Errorf("%s --help: exit status %d\n%s", line, code, out.String())
		}
	}
}

// The targets of make exist.
func TestReadmeMake(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, line := range lines(t, "make ") {
		if target := strings.Fields(line)[1]; !strings.Contains(makefile, "\n"+target+":") {
			t.Errorf("%s: the Makefile has no such target", line)
		}
	}
}

// The quick start leads to a compose file that is there, gives it the variable that
// it asks for, and puts the credentials where it mounts them. What the file says is
// tested beside it; .ci/newcomer does all of this.
func TestReadmeCompose(t *testing.T) {
	dir, ok := strings.CutPrefix(lines(t, "cd deploy")[0], "cd ")
	if !ok {
		t.Fatal("the quick start goes nowhere")
	}
	compose := read(t, dir+"/compose.yaml")
	variable := regexp.MustCompile(`^echo ([A-Z]+)=(\S+) > \.env$`).FindStringSubmatch(lines(t, "echo ")[0])
	if variable == nil || !strings.Contains(compose, "WELLKEY_DOMAIN: ${"+variable[1]+":?") {
		t.Errorf("the quick start sets %q, which is not what %s/compose.yaml asks for", variable, dir)
	}
	for _, line := range lines(t, "docker compose exec ") {
		service, command, _ := strings.Cut(strings.TrimPrefix(line, "docker compose exec "), " /")
		if !strings.Contains(compose, "\n  "+service+":\n") || !strings.HasPrefix(command, "wellkey ") {
			t.Errorf("%s: there is no such service, or no such program in it", line)
		}
	}
	if want := "`" + dir + "/secrets/credentials.yaml`"; !strings.Contains(read(t, "README.md"), want) || !strings.Contains(compose, "- ./secrets:/run/secrets:ro") {
		t.Errorf("the credentials belong into %s", want)
	}
}

// The credentials of the example are what wellkey reads.
func TestReadmeCredentials(t *testing.T) {
	path := t.TempDir() + "/credentials.yaml"
	example := blocks(read(t, "README.md"), "yaml")
	if len(example) != 1 {
		t.Fatalf("%d examples in YAML, want the one of the credentials", len(example))
	}
	if err := os.WriteFile(path, []byte(example[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := config.New([]string{"WELLKEY_DOMAIN=example.com", "WELLKEY_DATA_DIR=" + t.TempDir(), "WELLKEY_CREDENTIALS_FILE=" + path}).Load()
	if err != nil {
		t.Fatal(err)
	}
	if id, key, err := config.LoadCredentials(settings); err != nil || id == "" || key.IsZero() {
		t.Errorf("read %q, a secret: %v, error %v", id, !key.IsZero(), err)
	}
}

// Links of the documents lead to files that exist, and one that names a test to the
// file that has it.
func TestDocumentLinks(t *testing.T) {
	docs, err := filepath.Glob("docs/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatalf("%d documents, error %v", len(docs), err)
	}
	tests := 0
	for _, path := range append(docs, "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md") {
		for _, m := range regexp.MustCompile("(?:\\[`(Test\\w+)`)?\\]\\(([^)#]+)").FindAllStringSubmatch(read(t, path), -1) {
			test, link := m[1], m[2]
			if strings.Contains(link, "://") {
				continue
			}
			target := filepath.Join(filepath.Dir(path), link)
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, link, err)
			} else if test != "" {
				tests++
				if !strings.Contains(read(t, target), "\nfunc "+test+"(t *testing.T)") {
					t.Errorf("%s says that %s is in %s", path, test, link)
				}
			}
		}
	}
	if tests < 10 {
		t.Errorf("%d links name tests: they were not understood", tests)
	}
}

// The settings of each shape are accepted, as they stand.
func TestShapes(t *testing.T) {
	text := read(t, "docs/shapes.md")
	examples := blocks(text, "yaml")
	if len(examples) < 8 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		path := t.TempDir() + "/wellkey.yaml"
		if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
			t.Fatal(err)
		}
		// The image sets the ports for everybody.
		settings, err := config.New([]string{"WELLKEY_CONFIG=" + path, "WELLKEY_DATA_DIR=/data", "WELLKEY_HTTPS_ADDR=:8443"}).Load()
		if err != nil {
			t.Errorf("%s\n%v", example, err)
		} else if len(settings.Warnings) > 0 {
			t.Errorf("%s\nwarns: %q", example, settings.Warnings)
		}
	}
	for _, name := range regexp.MustCompile("`([a-z]+_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		if !strings.Contains(config.MarkdownTable(), "`"+name[1]+"`") {
			t.Errorf("there is no setting %s", name[1])
		}
	}
}
