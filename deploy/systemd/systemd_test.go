package systemd_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/config"
	"wellkey/internal/testleak"
	"wellkey/internal/testprogram"
)

func TestMain(m *testing.M) { testleak.Main(func() int { return testprogram.Main(m) }) }

// units are the files that systemd reads.
var units = []string{"wellkey.service", "wellkey-http.socket", "wellkey-https.socket"}

// A unit holds the values of a unit file by "Section.Name", in their order.
type unit map[string][]string

func readUnit(t *testing.T, path string) unit {
	t.Helper()
	u, section := unit{}, ""
	lines := bufio.NewScanner(bytes.NewReader(deploytest.ReadFile(t, path)))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if name, ok := strings.CutPrefix(line, "["); ok {
			section = strings.TrimSuffix(name, "]")
		} else if name, value, ok := strings.Cut(line, "="); ok && line[0] != '#' {
			u[section+"."+name] = append(u[section+"."+name], value)
		}
	}
	return u
}

// one returns the value of a setting that stands there once.
func (u unit) one(t *testing.T, name string) string {
	t.Helper()
	if len(u[name]) != 1 {
		t.Fatalf("%s is set %d times, want once", name, len(u[name]))
	}
	return u[name][0]
}

// installed copies the units into a directory, with the program at a path where it
// is, and returns the directory.
func installed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range units {
		text := bytes.ReplaceAll(deploytest.ReadFile(t, name), []byte("/usr/bin/wellkey"), []byte(testprogram.Path(t)))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// systemd itself finds nothing wrong with the units, unknown names included.
func TestVerify(t *testing.T) {
	t.Parallel()
	verify := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, units...)...)
	verify.Dir = installed(t)
	for i := range units {
		verify.Args[3+i] = "./" + units[i]
	}
	out, err := verify.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "wellkey") { // others are about units of this machine
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
	if err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// What systemd counts as exposed is what a server cannot do without: 1.5 of 10 at
// most.
func TestSecurity(t *testing.T) {
	t.Parallel()
	audit := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", "./wellkey.service")
	audit.Dir = installed(t)
	if out, err := audit.CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// The service and its sockets name each other, and the sockets are called as the
// listeners are.
func TestUnitsFitTogether(t *testing.T) {
	t.Parallel()
	service := readUnit(t, "wellkey.service")
	sockets := strings.Fields(service.one(t, "Service.Sockets"))
	for _, name := range []string{"Unit.Wants", "Install.Also"} {
		if got := strings.Fields(service.one(t, name)); !slices.Equal(got, sockets) {
			t.Errorf("%s is %q, want the sockets %q", name, got, sockets)
		}
	}
	for _, listener := range []struct{ name, port string }{{"http", "80"}, {"https", "443"}} {
		file := "wellkey-" + listener.name + ".socket"
		socket := readUnit(t, file)
		if !slices.Contains(sockets, file) {
			t.Errorf("the service does not name %s", file)
		}
		for name, want := range map[string]string{"FileDescriptorName": listener.name, "ListenStream": listener.port, "Service": "wellkey.service"} {
			if got := socket.one(t, "Socket."+name); got != want {
				t.Errorf("%s: %s is %q, want %q", file, name, got, want)
			}
		}
	}
	for name, want := range map[string]string{
		"Type": "notify", "RestartPreventExitStatus": "2", "DynamicUser": "yes",
		"StateDirectory": "wellkey", "StateDirectoryMode": "0700", "TimeoutStopSec": "40", "CapabilityBoundingSet": "",
	} {
		if got := service.one(t, "Service."+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// settingOff matches a setting that is written as an example, behind a #.
var settingOff = regexp.MustCompile(`(?m)^#([a-z_]+: )`)

// The command of the unit, run with the example of the settings, refuses to start
// until a domain is set, and with every setting in it uncommented it is content.
func TestExecStart(t *testing.T) {
	t.Parallel()
	service := readUnit(t, "wellkey.service")
	command := strings.Fields(service.one(t, "Service.ExecStart"))
	if command[0] != "/usr/bin/wellkey" || !slices.Contains(command, "/etc/wellkey/wellkey.yaml") {
		t.Fatalf("ExecStart is %q, want the program with its settings", command)
	}
	example := deploytest.ReadFile(t, "wellkey.yaml")
	for _, c := range []struct {
		name, want string
		settings   []byte
		code       int
	}{
		{"as shipped", "domain: is not set", example, 2},
		{"filled in", "the settings are good: example.com in [na eu]", settingOff.ReplaceAll(example, []byte("$1")), 0},
	} {
		settings := filepath.Join(t.TempDir(), "wellkey.yaml")
		if err := os.WriteFile(settings, c.settings, 0o644); err != nil {
			t.Fatal(err)
		}
		args := append(slices.Clone(command[1:]), "--check-config")
		args[slices.Index(args, "/etc/wellkey/wellkey.yaml")] = settings
		check := exec.Command(testprogram.Path(t), args...)
		check.Env = []string{"STATE_DIRECTORY=/var/lib/" + service.one(t, "Service.StateDirectory")}
		out, _ := check.CombinedOutput() // the exit status is looked at below
		if code := check.ProcessState.ExitCode(); code != c.code || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "warning") {
			t.Errorf("%s: exit status %d, want %d with %q and no warning:\n%s", c.name, code, c.code, c.want, out)
		}
	}
}

// The credential of the unit is found by the program, what it falls back to counts
// as none yet, and the example that the settings show is one.
func TestCredentials(t *testing.T) {
	t.Parallel()
	service := readUnit(t, "wellkey.service")
	name, path, _ := strings.Cut(service.one(t, "Service.LoadCredential"), ":")
	example := string(deploytest.ReadFile(t, "wellkey.yaml"))
	if !strings.Contains(example, " "+path+" ") {
		t.Errorf("the settings do not say that %s is the file", path)
	}
	fallback, ok := strings.CutPrefix(service.one(t, "Service.SetCredential"), name+":")
	if !ok {
		t.Error("there is no fallback for the credential, so that without the file nothing would start")
	}
	var lines strings.Builder
	for _, m := range regexp.MustCompile(`(?m)^#\t(.*\n)`).FindAllStringSubmatch(example, -1) {
		lines.WriteString(m[1])
	}
	for _, c := range []struct {
		text string
		want string
	}{{fallback, ""}, {lines.String(), "7a1c2d3e-4f50-4a61-8b72-93c4d5e6f708"}} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(c.text), 0o400); err != nil {
			t.Fatal(err)
		}
		settings, err := config.New([]string{"WELLKEY_DOMAIN=example.com", "STATE_DIRECTORY=" + t.TempDir(), "CREDENTIALS_DIRECTORY=" + dir}).Load()
		if err != nil {
			t.Fatal(err)
		}
		if id, _, err := config.LoadCredentials(settings); err != nil || id != c.want {
			t.Errorf("from %q: client id %q, error %v, want %q", c.text, id, err, c.want)
		}
	}
}

// A command by hand is what the service is: the same user, directory, credentials
// and settings. systemd-run itself wants a systemd that runs; what it is told is
// looked at here.
func TestAsService(t *testing.T) {
	t.Parallel()
	service := readUnit(t, "wellkey.service")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "systemd-run"), []byte("#!/bin/sh\nprintf '%s\\n' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	const name = "wellkey-as-service"
	script := exec.Command("./"+name, "rotate", "--status", "two words")
	script.Env = []string{"PATH=" + dir}
	out, err := script.Output()
	if err != nil {
		t.Fatal(err)
	}
	told := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, property := range []string{"DynamicUser", "User", "StateDirectory", "StateDirectoryMode", "UMask", "LoadCredential", "SetCredential"} {
		if want := "--property=" + property + "=" + service.one(t, "Service."+property); !slices.Contains(told, want) {
			t.Errorf("systemd-run is not told %q but %q", want, told)
		}
	}
	command := strings.Fields(service.one(t, "Service.ExecStart"))
	if want := "--setenv=WELLKEY_CONFIG=" + command[len(command)-1]; !slices.Contains(told, want) {
		t.Errorf("systemd-run is not told %q but %q", want, told)
	}
	if want := []string{command[0], "rotate", "--status", "two words"}; !slices.Equal(told[len(told)-4:], want) {
		t.Errorf("it runs %q, want %q", told[len(told)-4:], want)
	}
}
