package release_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
)

// The Debian package installs into an empty root and its program runs there; what
// the operator wrote into its settings survives the next one, and what wellkey wrote
// survives everything.
func testPackage(t *testing.T, deb string) {
	field := func(name string) string { return strings.TrimSpace(run(t, "dpkg-deb", "-f", deb, name)) }
	if got := field("Version"); got != "1.2.3~rc.1-1" {
		t.Errorf("its version is %q, want one that comes before 1.2.3", got)
	}
	if got := field("Architecture"); got != "amd64" {
		t.Errorf("its architecture is %q", got)
	}

	// What runs as root on other people's machines is what lies here.
	control := t.TempDir()
	run(t, "dpkg-deb", "-e", deb, control)
	for _, script := range []string{"preinst", "postinst", "prerm", "postrm"} {
		want, err := os.ReadFile(filepath.Join("debian", script))
		got, missing := os.ReadFile(filepath.Join(control, script))
		if (err == nil) != (missing == nil) || string(got) != string(want) {
			t.Errorf("%s in the package is %q", script, got)
		}
	}
	for _, name := range []string{"Depends", "Maintainer", "Section"} {
		if want := name + ": " + field(name) + "\n"; !strings.Contains(string(deploytest.ReadFile(t, "debian/control")), want) {
			t.Errorf("debian/control does not say %q", want)
		}
	}
	if got := string(deploytest.ReadFile(t, filepath.Join(control, "conffiles"))); got != "/etc/wellkey/wellkey.yaml\n" {
		t.Errorf("its conffiles are %q", got)
	}

	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/private/wellkey"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("var/lib/dpkg/status", "")
	dpkg := func(args ...string) string {
		// Maintainer scripts run without chroot, since there is no shell in the
		// root, and are told so (DPKG_ROOT): they leave this machine's systemd alone.
		return run(t, "dpkg", append([]string{"--root=" + root, "--log=/dev/null", "--force-script-chrootless", "--force-depends", "--force-confold", "--force-not-root"}, args...)...)
	}
	dpkg("--install", deb)
	runs(t, filepath.Join(root, "usr/bin/wellkey"))

	key, settings := "var/lib/private/wellkey/key.pem", "etc/wellkey/wellkey.yaml"
	if shipped := deploytest.ReadFile(t, "../systemd/wellkey.yaml"); string(shipped) != string(deploytest.ReadFile(t, filepath.Join(root, settings))) {
		t.Error("the settings are not those of deploy/systemd")
	}
	for _, page := range []string{"share/man/man1/wellkey.1.gz", "share/doc/wellkey/changelog.Debian.gz",
		"share/bash-completion/completions/wellkey", "lib/systemd/system/wellkey.service", "lib/systemd/system/wellkey-http.socket"} {
		if len(deploytest.ReadFile(t, filepath.Join(root, "usr", page))) == 0 {
			t.Errorf("%s is empty", page)
		}
	}
	if got, want := deploytest.ReadFile(t, filepath.Join(root, "usr/share/doc/wellkey/copyright")), deploytest.ReadFile(t, "debian/copyright"); string(got) != string(want) {
		t.Errorf("its copyright is %q", got)
	}
	write(settings, "domain: keys.example.net\n")
	write(key, "the only copy")
	dpkg("--install", deb)
	if got := string(deploytest.ReadFile(t, filepath.Join(root, settings))); got != "domain: keys.example.net\n" {
		t.Errorf("the next installation replaced the settings by %q", got)
	}
	if said := dpkg("--purge", "wellkey"); !strings.Contains(said, "/var/lib/private/wellkey stays") {
		t.Errorf("the removal does not say that the key stays: %s", said)
	}
	if got := string(deploytest.ReadFile(t, filepath.Join(root, key))); got != "the only copy" {
		t.Errorf("after a purge the key is %q", got)
	}
	for _, gone := range []string{"usr/bin/wellkey", settings} {
		if _, err := os.Stat(filepath.Join(root, gone)); err == nil {
			t.Errorf("%s is left after a purge", gone)
		}
	}
}
