package main_test

import (
	"bytes"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wellkey/internal/cli"
)

// Every command of docs/operating.md exists: those of wellkey with their flags, units
// of systemd by their files, services of Compose by theirs. Those that back up and
// restore are run by TestBackup of internal/cli. Others there are none.
func TestOperatingCommands(t *testing.T) {
	doc := read(t, "docs/operating.md")
	var commands []string
	for _, block := range blocks(doc, "sh") {
		commands = append(commands, strings.Split(strings.TrimSpace(block), "\n")...)
	}
	for _, m := range regexp.MustCompile("`((?:wellkey|wellkey-as-service|docker|kubectl|systemctl) [^`]+)`").FindAllStringSubmatch(doc, -1) {
		commands = append(commands, m[1])
	}
	seen := map[string]bool{}
	for _, command := range commands {
		words := strings.Fields(command)
		seen[words[0]] = true
		switch words[0] {
		case "wellkey", "wellkey-as-service":
			helps(t, command, words[1:])
		case "docker", "kubectl":
			if at := slices.Index(words, "/wellkey"); at >= 0 {
				helps(t, command, words[at+1:])
			}
			if at := slices.IndexFunc(words, func(w string) bool { return w == "exec" || w == "cp" }); words[0] == "docker" && at >= 0 {
				service, _, _ := strings.Cut(words[at+1], ":")
				if !strings.Contains(read(t, "deploy/compose/compose.yaml"), "\n  "+service+":\n") {
					t.Errorf("%s: Compose knows no service %q", command, service)
				}
			}
		case "systemctl":
			for _, unit := range words[1:] {
				if strings.Contains(unit, ".") {
					read(t, "deploy/systemd/"+unit)
				}
			}
		case "tar", "install", "apt":
		default:
			t.Errorf("%s: nobody checks such a command", command)
		}
	}
	for _, program := range []string{"wellkey", "wellkey-as-service", "docker", "kubectl", "systemctl", "tar"} {
		if !seen[program] {
			t.Errorf("no example of %s was found", program)
		}
	}
	for _, unit := range regexp.MustCompile(`wellkey[a-z-]*\.(?:service|socket)`).FindAllString(doc, -1) {
		read(t, "deploy/systemd/"+unit)
	}
}

// Every example of a command's own help is a command that exists, with its flags; in a
// container it is named by its path, since the image has no other.
func TestExamplesOfHelp(t *testing.T) {
	said := func(args ...string) string {
		var out bytes.Buffer
		cli.Run(context.Background(), cli.Process{Args: args, Environ: []string{"HOME=/nonexistent"}, Stdout: &out, Stderr: &out})
		return out.String()
	}
	names := regexp.MustCompile(`(?m)^  ([a-z]+)  `)
	_, list, _ := strings.Cut(said("--help"), "Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	examples := 0
	for _, m := range names.FindAllStringSubmatch(list, -1) {
		_, lines, _ := strings.Cut(said(m[1], "--help"), "Examples:\n")
		lines, _, _ = strings.Cut(lines, "\n\n")
		for line := range strings.Lines(lines) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " >")
			words := strings.Fields(line)
			at := 0
			if len(words) > 0 && words[0] == "docker" {
				at = slices.Index(words, "/wellkey")
			}
			if at < 0 || len(words) < at+2 || at == 0 && words[0] != "wellkey" {
				t.Errorf("%s --help: %q runs nothing", m[1], line)
				continue
			}
			helps(t, line, words[at+1:])
			examples++
		}
	}
	if examples < 20 {
		t.Errorf("only %d examples were found", examples)
	}
}

// helps checks that a command of wellkey exists, with its flags.
func helps(t *testing.T, command string, args []string) {
	t.Helper()
	var out bytes.Buffer
	args = append(slices.Clone(args), "--help")
	code := cli.Run(context.Background(), cli.Process{Args: args, Environ: []string{"HOME=/nonexistent"}, Stdout: &out, Stderr: &out})
	if code != 0 || !strings.Contains(out.String(), "wellkey "+args[0]) {
		t.Errorf("%s: exit status %d\n%s", command, code, out.String())
	}
}

// The exit statuses and the seconds that the document names are those of the code, and
// all that stops wellkey, as it is shipped, gives it so many.
func TestOperatingNumbers(t *testing.T) {
	doc := read(t, "docs/operating.md")
	for in, want := range map[string]string{
		"server/server.go":                         "s.config.DrainTimeout = writeTimeout",
		"server/listener.go":                       "writeTimeout = 10 * time.Second",
		"server/certs/attempt.go":                  "finalizeGrace = 25 * time.Second",
		"deploy/systemd/wellkey.service":           "TimeoutStopSec=40\n",
		"deploy/compose/compose.yaml":              "stop_grace_period: 40s ",
		"deploy/kubernetes/wellkey/values.yaml":    "\nterminationGracePeriodSeconds: 40\n",
		"deploy/homeassistant/wellkey/config.yaml": "\ntimeout: 40\n",
	} {
		if !strings.Contains(read(t, in), want) {
			t.Errorf("%s does not say %q any more: look at docs/operating.md, too", in, want)
		}
	}
	for _, said := range []string{"10 s at most", "25 s at most", "Give it 40 s"} {
		if !strings.Contains(doc, said) {
			t.Errorf("the document does not say %q", said)
		}
	}
}

// What the manual page lists of the data directory, and what the storage makes in it,
// is in the table of the document.
func TestOperatingFiles(t *testing.T) {
	doc := read(t, "docs/operating.md")
	files := map[string]bool{}
	_, list, _ := strings.Cut(read(t, "main.go"), "The data directory (data_dir) holds\n")
	list, _, _ = strings.Cut(list, "\npackage")
	for _, m := range regexp.MustCompile(`(?m)^//\t(\S+) `).FindAllStringSubmatch(list, -1) {
		if m[1] != "state/" { // the table has what is in it
			files[m[1]] = true
		}
	}
	if len(files) < 5 {
		t.Fatalf("the manual page lists only %v", files)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if !strings.Contains(doc, "`"+file+"`") {
			t.Errorf("%s is not in the document", file)
		}
	}
}

// A release's package is installed by its name, and one that is made here from dist/.
func TestOperatingPackage(t *testing.T) {
	if !strings.Contains(read(t, "docs/operating.md"), "apt install ./wellkey_VERSION_amd64.deb") ||
		!strings.Contains(read(t, "docs/deploy.md"), "`make release`, then `apt install ./dist/wellkey_*_amd64.deb`") ||
		!strings.Contains(read(t, "deploy/release/debian/build"), `"$out/wellkey_${version}_$arch.deb"`) {
		t.Error("the package has another name")
	}
}
