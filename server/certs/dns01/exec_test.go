package dns01_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wellkey/server/certs/dns01"
)

// script writes a program for one test.
func script(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExec(t *testing.T) {
	t.Setenv("WELLKEY_CLIENT_SECRET", canary)
	out := filepath.Join(t.TempDir(), "out")
	path := script(t, "#!/bin/sh\nprintf '%s|' \"$#\" \"$@\" >>"+out+"\nenv >>"+out+"\n", 0o755)
	p := dns01.NewExec(dns01.Exec{Program: path})
	record := challenge
	record.Value = "-n $(id);'"
	if err := p.Add(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if err := p.Remove(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := string(data)
	for _, want := range []string{"3|present|_acme-challenge.example.test.|-n $(id);'|", "3|cleanup|_acme-challenge.example.test.|-n $(id);'|", "PATH="} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if strings.Contains(got, canary) || strings.Contains(got, "WELLKEY") {
		t.Errorf("the program sees our secrets: %q", got)
	}
}

func TestExecFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ program, want string }{
		"no zone":         {script(t, "#!/bin/sh\necho no such zone >&2\nexit 3\n", 0o755), `failed after present (exit status 3): it printed "no such zone"`},
		"silent":          {script(t, "#!/bin/sh\nexit 1\n", 0o755), "failed after present (exit status 1): it printed nothing"},
		"hangs":           {script(t, "#!/bin/sh\necho asking\nsleep 600 & wait\n", 0o755), `did not end within its time after present, so it was killed: it printed "asking"`},
		"no program":      {"/no/such/program", `the program "/no/such/program" of dns_exec_program cannot be started: it, or the interpreter in its first line, does not exist`},
		"no interpreter":  {script(t, "#!/no/such/shell\n", 0o755), "or the interpreter in its first line, does not exist"},
		"not executable":  {script(t, "#!/bin/sh\n", 0o644), "make it executable for the user that wellkey runs as (chmod 755)"},
		"no program text": {script(t, "just text\n", 0o755), "of dns_exec_program cannot be run: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if name == "hangs" {
				timeout = 3 * time.Second // a shell is to begin and to print within it
			}
			began := time.Now()
			err := dns01.NewExec(dns01.Exec{Program: test.program, Timeout: timeout}).Add(t.Context(), challenge)
			checkError(t, err, dns01.KindProvider, test.want)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	t.Run("talks without end", func(t *testing.T) {
		err := dns01.NewExec(dns01.Exec{Program: script(t, "#!/bin/sh\nhead -c 10000000 /dev/zero\nexit 1\n", 0o755)}).Add(t.Context(), challenge)
		if err == nil || len(err.Error()) > 2000 {
			t.Errorf("got %.3000v", err)
		}
	})
}
