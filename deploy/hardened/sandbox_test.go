package hardened_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testworld"
)

// A whole life in the sandbox: the first start, an order at the CA, a registration,
// credentials and a key that are replaced by files of other inodes. What is beyond
// the settings is out of reach, and what is written is the owner's alone, though
// the program was started with umask 0.
func TestSandboxed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := deploytest.Start(t, testworld.Config{Domain: "sandbox.example.com", Dir: dir})
	keys := filepath.Join(dir, "keys")
	must(t, os.Mkdir(keys, 0o700))
	p := start(t, w, "KEY_FILE="+keys+"/key.pem", "LOG_LEVEL=debug")
	inForce := awaitLog(t, p, "sandbox is active")
	if inForce.Text("reads_bounded") != "true" || !strings.Contains(inForce.Text("writes"), keys) {
		t.Errorf("the log says %v", inForce.Fields)
	}
	for _, series := range []string{"no_new_privileges", "landlock_reads", "landlock_writes"} {
		visit, err := w.Admin(t.Context(), "/metrics")
		must(t, err)
		if want := `wellkey_sandbox_active{layer="` + series + `"} 1`; !strings.Contains(string(visit.Body), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	status := string(deploytest.ReadFile(t, fmt.Sprintf("/proc/%d/status", p.Pid())))
	for _, want := range []string{"Umask:\t0077", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, want) {
			t.Errorf("/proc/PID/status lacks %q", want)
		}
	}

	limits := string(deploytest.ReadFile(t, fmt.Sprintf("/proc/%d/limits", p.Pid())))
	if !regexp.MustCompile(`(?m)^Max core file size +[01] +[01] `).MatchString(limits) {
		t.Errorf("its memory may be dumped: %s", limits)
	}

	// The credentials come later, as a file that was renamed into its place.
	must(t, w.WriteCredentials())
	must(t, os.Rename(w.CredentialsFile, w.CredentialsFile+".new"))
	must(t, os.Rename(w.CredentialsFile+".new", w.CredentialsFile))
	awaitLog(t, p, "registered in every region")

	// So does the key, and the same one again is read without complaint.
	text := deploytest.ReadFile(t, keys+"/key.pem")
	must(t, os.WriteFile(keys+"/next", text, 0o600))
	must(t, os.Rename(keys+"/next", keys+"/key.pem"))
	must(t, p.Signal(syscall.SIGHUP))
	awaitLog(t, p, "reloaded")
	if log := p.Log.String(); strings.Contains(log, "permission denied") {
		t.Errorf("something that is needed is out of reach")
	}

	// A link that is made to lead elsewhere leads nowhere.
	outside := filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(outside, text, 0o600))
	must(t, os.Remove(keys+"/key.pem"))
	must(t, os.Symlink(outside, keys+"/key.pem"))
	must(t, p.Signal(syscall.SIGHUP))
	refused := awaitLog(t, p, "reload left the last good state in use")
	if !strings.Contains(refused.Text("error"), "permission denied") {
		t.Errorf("reading outside: %v", refused.Fields)
	}
	if _, err := w.AwaitFetch(t.Context()); err != nil {
		t.Errorf("the last good key is not served: %v", err)
	}
	private(t, w.DataDir)
}

// private wants everything below dir to be its owner's alone, but for what is
// public: the key's public half.
func private(t *testing.T, dir string) {
	t.Helper()
	seen := 0
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		seen++
		if info.Mode().Perm()&0o077 != 0 && entry.Name() != "restored-key.pem" {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	}))
	if seen < 5 {
		t.Errorf("%s holds %d files and directories, too few for a whole life", dir, seen)
	}
}

// Where it is switched off, or the operator's own program would be in it, too, there
// is none, and the log says why.
func TestNotSandboxed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		settings   []string
		reason     string
		privileges int // that it has given up new ones
	}{
		"switched off":            {[]string{"LANDLOCK=false"}, "the setting landlock is false", 1},
		"a program":               {[]string{"DNS_PROVIDER=exec", "DNS_EXEC_PROGRAM=/bin/true"}, "dns_exec_program", 0},
		"switched off, a program": {[]string{"LANDLOCK=false", "DNS_PROVIDER=exec", "DNS_EXEC_PROGRAM=/bin/true"}, "dns_exec_program", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := deploytest.Start(t, testworld.Config{Domain: strings.NewReplacer(" ", "-", ",", "").Replace(name) + ".example.com"})
			p := launch(t, w, tc.settings...)
			if e := awaitLog(t, p, "landlock does not restrict"); !strings.Contains(e.Text("reason"), tc.reason) {
				t.Errorf("the log says %v, want %q", e.Fields, tc.reason)
			}
			awaitLog(t, p, "listening")
			visit, err := w.Admin(t.Context(), "/metrics")
			must(t, err)
			for _, want := range []string{`wellkey_sandbox_active{layer="landlock_writes"} 0`, fmt.Sprintf(`wellkey_sandbox_active{layer="no_new_privileges"} %d`, tc.privileges)} {
				if !strings.Contains(string(visit.Body), want) {
					t.Errorf("/metrics lacks %s", want)
				}
			}
			status := string(deploytest.ReadFile(t, fmt.Sprintf("/proc/%d/status", p.Pid())))
			if want := "NoNewPrivs:\t1\n"; tc.privileges == 1 && !strings.Contains(status, want) { // a container may have it set for all
				t.Errorf("/proc/PID/status lacks %q", want)
			}
		})
	}
}
