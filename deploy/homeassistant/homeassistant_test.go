package homeassistant_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/admin"
	"wellkey/internal/testleak"
	"wellkey/internal/testprogram"
	"wellkey/internal/testworld"
	"wellkey/registrar"
)

func TestMain(m *testing.M) { testleak.Main(func() int { return testprogram.Main(m) }) }

// A manifest is what wellkey/config.yaml says. The decoder refuses what is not
// here; all of it is in the format that the Supervisor reads.
//
// Source: https://developers.home-assistant.io/docs/apps/configuration
type manifest struct {
	Name, Version, Slug, Description string
	Arch                             []string
	Startup, Boot                    string
	Init                             *bool
	Ports                            map[string]*int
	PortsDescription                 map[string]string `yaml:"ports_description"`
	Ingress                          bool
	IngressPort                      int    `yaml:"ingress_port"`
	IngressEntry                     string `yaml:"ingress_entry"`
	PanelIcon                        string `yaml:"panel_icon"`
	PanelTitle                       string `yaml:"panel_title"`
	PanelAdmin                       bool   `yaml:"panel_admin"`
	Watchdog                         string
	Timeout                          int
	Map                              []struct {
		Type     string
		ReadOnly *bool `yaml:"read_only"`
	}
	Backup        string
	BackupExclude []string `yaml:"backup_exclude"`
	Options       map[string]any
	Schema        map[string]string
}

func app(t *testing.T) manifest {
	t.Helper()
	var m manifest
	deploytest.ReadYAML(t, "wellkey/config.yaml", &m)
	return m
}

// The manifest has what the Supervisor demands, in the form that it demands.
func TestManifest(t *testing.T) {
	t.Parallel()
	m := app(t)
	form := map[string][2]string{ // value, and the pattern that it must match
		"name":         {m.Name, `^.+$`},
		"version":      {m.Version, `^[0-9]+\.[0-9]+\.[0-9]+(-[a-z0-9.]+)?$`},
		"slug":         {m.Slug, `^[-_.A-Za-z0-9]+$`},
		"description":  {m.Description, `^.+$`},
		"arch":         {strings.Join(m.Arch, " "), `^(aarch64|amd64)( (aarch64|amd64))*$`},
		"startup":      {m.Startup, `^(initialize|system|services|application|once)$`},
		"boot":         {m.Boot, `^(auto|manual|manual_only)$`},
		"backup":       {m.Backup, `^(hot|cold)$`},
		"watchdog":     {m.Watchdog, `^http://\[HOST\]:\[PORT:9090\]/healthz$`},
		"panel_icon":   {m.PanelIcon, `^mdi:[a-z-]+$`},
		"ingress_path": {m.IngressEntry, `^status$`},
	}
	for name, f := range form {
		if !regexp.MustCompile(f[1]).MatchString(f[0]) {
			t.Errorf("%s is %q, which does not match %s", name, f[0], f[1])
		}
	}
	if m.Init == nil || *m.Init {
		t.Error("init is not false, so that another program would stand between the Supervisor and wellkey")
	}
	if m.Timeout < 40 || m.Timeout > 300 {
		t.Errorf("timeout is %d", m.Timeout)
	}
	if !m.Ingress || m.IngressPort != 9090 {
		t.Errorf("ingress is %v at %d", m.Ingress, m.IngressPort)
	}
	for _, place := range m.Map {
		if place.Type != "ssl" || place.ReadOnly != nil && !*place.ReadOnly {
			t.Errorf("more than reading /ssl: %+v", place)
		}
	}
	for port, host := range m.Ports {
		if host != nil {
			t.Errorf("port %s is taken without asking", port)
		}
		if m.PortsDescription[port] == "" {
			t.Errorf("port %s is not described", port)
		}
	}
	if got := slices.Sorted(maps.Keys(m.Ports)); !slices.Equal(got, []string{"443/tcp", "80/tcp"}) {
		t.Errorf("the ports are %q", got)
	}
	if !slices.Equal(m.BackupExclude, []string{"state/locks/*"}) {
		t.Errorf("not in backups: %q, want the locks alone", m.BackupExclude)
	}

	var repository struct{ Name, Maintainer string }
	deploytest.ReadYAML(t, "repository.yaml", &repository)
	if repository.Name == "" {
		t.Error("the repository has no name")
	}
}

// element matches the types that a schema may name, with a question mark where an
// option may be missing.
var element = regexp.MustCompile(`^(str|password|bool|email|url|port|int|float|device|list\(.+\)|match\(.+\))\??$`)

// Every option is a setting of wellkey, secrets are asked for as passwords, and the
// defaults fit the types.
func TestSchema(t *testing.T) {
	t.Parallel()
	m := app(t)
	settings := deploytest.Settings()
	for name, kind := range m.Schema {
		if !element.MatchString(kind) {
			t.Errorf("%s: %q is no type", name, kind)
		}
		if !slices.Contains(settings, "WELLKEY_"+strings.ToUpper(name)) {
			t.Errorf("%s is no setting of wellkey", name)
		}
		secret := strings.HasSuffix(name, "secret") || strings.HasSuffix(name, "hmac_key")
		if secret != strings.HasPrefix(kind, "password") {
			t.Errorf("%s is a %s", name, kind)
		}
		if value, given := m.Options[name]; given == strings.HasSuffix(kind, "?") {
			t.Errorf("%s has type %q and default %v: an option is either optional or has a default", name, kind, value)
		}
	}
	for name, value := range m.Options {
		kind, known := m.Schema[name]
		if !known {
			t.Errorf("%s has a default and no type", name)
		}
		if list, ok := strings.CutPrefix(kind, "list("); ok && !slices.Contains(strings.Split(strings.TrimSuffix(list, ")"), "|"), value.(string)) {
			t.Errorf("%s: the default %q is not in the list", name, value)
		}
	}
}

// container returns what the Dockerfile of the app sets, and the arguments that
// it starts the program with.
func container(t *testing.T) (environ, args []string) {
	t.Helper()
	text := strings.ReplaceAll(string(deploytest.ReadFile(t, "wellkey/Dockerfile")), "\\\n", " ")
	environ = regexp.MustCompile(`WELLKEY_[A-Z_]+=\S+`).FindAllString(text, -1)
	command := regexp.MustCompile(`(?m)^CMD (\[.*\])$`).FindStringSubmatch(text)
	if command == nil || json.Unmarshal([]byte(command[1]), &args) != nil || len(environ) < 4 {
		t.Fatalf("the Dockerfile was not understood: %q %q", environ, command)
	}
	return environ, args
}

// The options, as the Supervisor writes them, are the settings of the program: with
// the defaults alone it says that the domain is missing and does not start, with a
// domain it is content, whatever the secret is made of.
func TestOptions(t *testing.T) {
	t.Parallel()
	m := app(t)
	environ, args := container(t)
	for _, c := range []struct {
		name   string
		change map[string]any
		code   int
		want   string
	}{
		{"defaults", nil, 2, "domain: is not set"},
		{"domain", map[string]any{"domain": "keys.example.com"}, 0, "the settings are good: keys.example.com in [na eu]"},
		{"empty", map[string]any{"domain": "keys.example.com", "client_id": "", "client_secret": "", "acme_email": "", "key_file": ""}, 0, "the settings are good"},
		{"credentials", map[string]any{"domain": "keys.example.com", "regions": "eu", "client_id": "7a1c2d3e-4f50-4a61-8b72-93c4d5e6f708", "client_secret": `ta-secret.%"\{}:#'&*!|>/`}, 0, "in [eu]"},
		{"all", map[string]any{"domain": "keys.example.com", "accept_key": strings.Repeat("5a", 32), "acme_directory": "zerossl", "acme_eab_key_id": "kid-1",
			"acme_eab_hmac_key": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W", "acme_email": "ops@example.com", "key_file": "/ssl/key.pem"}, 0, "the settings are good"},
		{"behind a proxy", map[string]any{"domain": "keys.example.com", "tls": "off"}, 0, "the settings are good"},
		{"files", map[string]any{"domain": "keys.example.com", "tls": "files", "tls_cert_file": "/ssl/fullchain.pem", "tls_key_file": "/ssl/privkey.pem"}, 0, "the settings are good"},
		{"a wrong domain", map[string]any{"domain": "https://keys.example.com/"}, 2, "keys.example.com"},
	} {
		options := maps.Clone(m.Options)
		maps.Copy(options, c.change)
		var text bytes.Buffer
		writer := json.NewEncoder(&text) // the Supervisor's writer escapes no <, > and & either
		writer.SetEscapeHTML(false)
		writer.SetIndent("", "  ")
		if err := writer.Encode(options); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "options.json")
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		check := exec.Command(testprogram.Path(t), append(slices.Clone(args), "--check-config")...)
		check.Args[slices.Index(check.Args, "/data/options.json")] = file
		check.Env = environ
		out, _ := check.CombinedOutput() // the exit status is looked at below
		if code := check.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "warning") {
			t.Errorf("%s: exit status %d, want %d with %q and no warning:\n%s", c.name, code, c.code, c.want, out)
		}
	}
}

// Each option and port has its words, in every language.
func TestTranslations(t *testing.T) {
	t.Parallel()
	m := app(t)
	type words struct {
		Configuration map[string]struct{ Name, Description string }
		Network       map[string]string
	}
	for _, file := range []string{"en.yaml", "de.yaml"} {
		var w words
		deploytest.ReadYAML(t, filepath.Join("wellkey/translations", file), &w)
		if got, want := slices.Sorted(maps.Keys(w.Configuration)), slices.Sorted(maps.Keys(m.Schema)); !slices.Equal(got, want) {
			t.Errorf("%s has words for %q, want %q", file, got, want)
		}
		if got, want := slices.Sorted(maps.Keys(w.Network)), slices.Sorted(maps.Keys(m.Ports)); !slices.Equal(got, want) {
			t.Errorf("%s has words for the ports %q, want %q", file, got, want)
		}
		for name, word := range w.Configuration {
			if word.Name == "" || !strings.HasSuffix(word.Description, ".") {
				t.Errorf("%s: %s is called %q, %q", file, name, word.Name, word.Description)
			}
		}
	}
	var english words
	deploytest.ReadYAML(t, "wellkey/translations/en.yaml", &english)
	if !maps.Equal(english.Network, m.PortsDescription) {
		t.Errorf("the ports are described as %q and as %q", english.Network, m.PortsDescription)
	}
}

// The profile is one that AppArmor compiles, with the name by which the Supervisor
// finds it.
func TestAppArmor(t *testing.T) {
	t.Parallel()
	const file = "wellkey/apparmor.txt"
	out, err := exec.Command(parser(t), "--skip-kernel-load", "--skip-cache", "--warn=all", file).CombinedOutput()
	if err != nil {
		t.Errorf("apparmor_parser: %v\n%s", err, out)
	}
	text := string(deploytest.ReadFile(t, file))
	if found := regexp.MustCompile(`(?m)^profile (\S+) `).FindAllStringSubmatch(text, -1); len(found) != 1 || found[0][1] != app(t).Slug {
		t.Errorf("the profiles are %q, want one with the name of the app", found)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "file," || line == "network," || line == "capability," || regexp.MustCompile(`^/.* \S*x,$`).MatchString(line) {
			t.Errorf("the profile allows %q", line)
		}
	}
}

// A user of this app has neither a file for credentials nor a unit of systemd: the
// status says where they are given.
func TestCredentialsAreGivenInTheOptions(t *testing.T) {
	t.Parallel()
	w := deploytest.Start(t, testworld.Config{Domain: "keys.example.com", Files: true})
	file := filepath.Join(t.TempDir(), "data", "options.json")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(`{"domain": "`+w.Domain+`", "client_id": "", "client_secret": ""}`), 0o600); err != nil {
		t.Fatal(err)
	}
	deploytest.Serve(t, w, "CREDENTIALS_FILE", "CONFIG="+file)
	ctx, cancel := context.WithTimeout(t.Context(), deploytest.Patience)
	defer cancel()
	s, err := w.AwaitStatus(ctx, func(s admin.Status) bool {
		return len(s.Sites) == 1 && s.Sites[0].Registrations[0].State == registrar.WaitingForCredentials
	})
	if err != nil {
		t.Fatal(err)
	}
	if fix := s.Sites[0].Registrations[0].Fix; !strings.Contains(fix, "put its client id and secret under Configuration in Home Assistant; then restart the app.") {
		t.Errorf("the fix is %q", fix)
	}
}

// The commands that the documentation shows exist, and are told where the options are.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	docs := string(deploytest.ReadFile(t, "wellkey/DOCS.md"))
	commands := regexp.MustCompile("/wellkey ((?:renew|status|rotate)[^\n`]*)").FindAllStringSubmatch(docs, -1)
	if len(commands) != 3 {
		t.Fatalf("the commands are %q", commands)
	}
	for _, m := range commands {
		args := strings.Fields(m[1])
		if out, err := exec.Command(testprogram.Path(t), append(args, "--help")...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", m[0], err, out)
		}
		if args[0] != "status" && !strings.HasSuffix(m[1], "--config /data/options.json") {
			t.Errorf("%s: nobody tells it the domain", m[0])
		}
	}
}

// What the store shows is there.
func TestPresentation(t *testing.T) {
	t.Parallel()
	icon, err := png.DecodeConfig(bytes.NewReader(deploytest.ReadFile(t, "wellkey/icon.png")))
	if err != nil || icon.Width != 128 || icon.Height != 128 {
		t.Errorf("icon.png is %d by %d, error %v; want 128 by 128", icon.Width, icon.Height, err)
	}
	docs := string(deploytest.ReadFile(t, "wellkey/DOCS.md"))
	for _, name := range []string{"wellkey_VERSION_homeassistant.tar.gz", "443", "80", "Tesla Fleet"} {
		if !strings.Contains(docs, name) {
			t.Errorf("DOCS.md does not speak of %s", name)
		}
	}
	for _, file := range []string{"README.md", "CHANGELOG.md"} {
		if !bytes.HasPrefix(deploytest.ReadFile(t, filepath.Join("wellkey", file)), []byte("# ")) {
			t.Errorf("%s has no title", file)
		}
	}
}

// What a release packs is a folder that the Supervisor can build: both programs under
// the names that the Dockerfile asks for, the roots, and the version of the release.
// .ci/image builds it.
func TestBundle(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	for _, program := range []string{"amd64", "arm64"} {
		if err := os.WriteFile(filepath.Join(work, program), []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	bundle := exec.Command(filepath.Join("deploy/homeassistant", "bundle"), work, "1.2.3-rc.1")
	bundle.Dir = deploytest.Root(t)
	if out, err := bundle.CombinedOutput(); err != nil {
		t.Fatalf("bundle: %v\n%s", err, out)
	}
	var m manifest
	folder := filepath.Join(work, "homeassistant/wellkey")
	deploytest.ReadYAML(t, filepath.Join(folder, "config.yaml"), &m)
	if m.Version != "1.2.3-rc.1" {
		t.Errorf("the version is %q", m.Version)
	}
	programs := map[string]string{"amd64": "amd64", "aarch64": "arm64"}
	for _, arch := range m.Arch {
		if got := string(deploytest.ReadFile(t, filepath.Join(folder, "wellkey-"+arch))); got != programs[arch] {
			t.Errorf("for %s there is the program %q", arch, got)
		}
	}
	for _, name := range regexp.MustCompile(`(?m)^COPY (?:--\S+ )*(\S+) `).FindAllStringSubmatch(string(deploytest.ReadFile(t, filepath.Join(folder, "Dockerfile"))), -1) {
		if _, err := os.Stat(filepath.Join(folder, strings.ReplaceAll(name[1], "${BUILD_ARCH}", "aarch64"))); err != nil {
			t.Errorf("the Dockerfile copies what is not there: %v", err)
		}
	}
}

// parser returns where AppArmor's parser is, which not every PATH has.
func parser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"apparmor_parser", "/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no apparmor_parser: install the Debian package apparmor")
	return ""
}
