package cli_test

import (
	"bytes"
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wellkey/internal/cli"
	"wellkey/internal/doctor"
	"wellkey/internal/testca"
	"wellkey/registrar/fleetapi"
)

// A said is what a command printed, and how it ended.
type said struct {
	code        int
	out, errors string
}

// command runs a command with the settings of the world, or with those of
// environ alone.
func (w *world) command(environ []string, args ...string) said {
	w.t.Helper()
	if environ == nil {
		environ = w.Environ("LOG_LEVEL=info")
	}
	var s said
	unhurried(args, func() string {
		var out, errors bytes.Buffer
		code := cli.Run(w.ctx, cli.Process{Args: args, Environ: environ, Stdout: &out, Stderr: &errors})
		s = said{code, out.String(), errors.String()}
		return s.out + s.errors
	})
	if strings.Contains(s.out+s.errors, "ta-secret.") {
		w.t.Errorf("the secret was printed:\n%s%s", s.out, s.errors)
	}
	w.canary.saw("wellkey "+strings.Join(args, " "), []byte(s.out+s.errors))
	return s
}

// unhurried runs a command, again where it says that somebody did not answer in time,
// if it is one that only looks: it waits for seconds, which a busy machine may take.
func unhurried(args []string, run func() (text string)) {
	tries := 1
	if len(args) > 0 && slices.Contains([]string{"doctor", "status", "healthcheck"}, args[0]) {
		tries = 5
	}
	for range tries {
		text := run()
		if !slices.ContainsFunc(late, func(words string) bool { return strings.Contains(text, words) }) {
			return
		}
	}
}

// late are the words with which commands say so.
var late = []string{"context deadline exceeded", "did not answer in time", "did not answer within", "no answer came in time", "nothing more came in time"}

// probing is an environment that says how to look, and nothing of a domain.
func (w *world) probing(more ...string) []string {
	environ := more
	for _, entry := range w.Environ() {
		if strings.HasPrefix(entry, "WELLKEY_PROBE_") {
			environ = append(environ, entry)
		}
	}
	return environ
}

// host serves body at the path of the key in place of wellkey, as any web server
// may, and redirects from plain HTTP.
func (w *world) host(body []byte) {
	w.t.Helper()
	w.publish(testca.LeafOptions{}, body)
}

func TestDoctorOfOurOwnHost(t *testing.T) {
	w := newRegistrable(t, withFiles)
	w.run()
	w.awaitRegistered()
	before := len(w.Tesla.Requests())
	s := w.command(nil, "doctor")
	if s.code != 0 || s.errors != "" {
		t.Fatalf("exit code %d, want 0; %s\n%s", s.code, s.errors, s.out)
	}
	want := []string{"Domain\n", "\nDNS\n", "\nAddress " + w.hostIP() + "\n", "\nKey\n", "\nClock\n",
		"\nTesla in na (North America and Asia-Pacific)\n", "\nTesla in eu (Europe, Middle East and Africa)\n",
		"\nok         All is well: " + w.Domain + " gives its key, and Tesla has it on record in na and eu.\n"}
	at := 0
	for _, text := range want {
		i := strings.Index(s.out[at:], text)
		if i < 0 {
			t.Fatalf("no %q in its place:\n%s", text, s.out)
		}
		at += i
	}
	if strings.ContainsAny(s.out, "\x1b\r") || strings.Contains(s.out, "✓") {
		t.Errorf("not plain in a pipe:\n%s", s.out)
	}
	for _, r := range w.Tesla.Requests()[before:] {
		if r.Operation == fleetapi.OpRegister {
			t.Error("the doctor registers")
		}
	}
}

// Without settings any host can be examined, here one that is not ours.
func TestDoctorOfAnyHost(t *testing.T) {
	w := newWorld(t, withFiles)
	_, key := newKey(t)
	w.host(key.PEM())
	s := w.command(w.probing(), "doctor", "--json", w.Domain)
	var report doctor.Report
	if err := json.Unmarshal([]byte(s.out), &report); err != nil {
		t.Fatalf("%v: %s%s", err, s.out, s.errors)
	}
	if s.code != 0 || report.Outcome != doctor.Well || report.Domain != w.Domain || !strings.Contains(s.out, key.Fingerprint()) {
		t.Errorf("exit code %d, want 0; %s", s.code, s.out)
	}
}

// What the settings know of one domain says nothing about another.
func TestDoctorKeepsDomainsApart(t *testing.T) {
	w := newRegistrable(t, withFiles)
	w.writeKey()
	_, key := newKey(t)
	w.host(key.PEM())
	s := w.command(w.Environ("DOMAIN=other.example.com"), "doctor", w.Domain)
	if s.code != 0 || !strings.Contains(s.out, "Tesla was not asked") || !strings.Contains(s.out, "No key file is set") {
		t.Errorf("exit code %d, want 0 and neither key nor credentials of the other domain:\n%s%s", s.code, s.out, s.errors)
	}
	if n := len(w.Tesla.Requests()); n != 0 {
		t.Errorf("Tesla was asked %d times", n)
	}
}

func TestDoctorExitCodes(t *testing.T) {
	w := newWorld(t, withFiles)
	w.DNS.Set("silent.example.com", "A "+w.hostIP())
	for _, row := range []struct {
		environ []string
		args    []string
		code    int
		says    string
	}{
		{w.probing(), []string{"nowhere.example.com"}, 1, "must be fixed; begin with dns_resolves"},
		{w.probing(), []string{"github.io"}, 1, "is a public suffix"},
		{w.probing(), []string{"https://Silent.example.com/"}, 1, "Write silent.example.com"},
		{w.probing(), []string{"silent.example.com"}, 3, "could not be decided from here"},
		{w.probing(), nil, 2, "domain: is not set"},
		{w.probing(), []string{"a.example", "b.example"}, 2, "takes one domain"},
		{w.probing("WELLKEY_REGIONS=us", "WELLKEY_TLS=maybe"), []string{"a.example"}, 2, `WELLKEY_TLS: "maybe"`},
		{w.probing(), []string{"--jsn", "a.example"}, 2, "Did you mean --json?"},
		{w.probing("WELLKEY_CLIENT_ID_FILE="+filepath.Join(w.dir, "id"), "WELLKEY_CLIENT_SECRET_FILE="+w.dir), []string{"a.example"}, 1, "WELLKEY_CLIENT_SECRET_FILE"},
	} {
		s := w.command(row.environ, append([]string{"doctor"}, row.args...)...)
		if s.code != row.code || !strings.Contains(s.out+s.errors, row.says) {
			t.Errorf("doctor %q: exit code %d, want %d and %q:\n%s%s", row.args, s.code, row.code, row.says, s.out, s.errors)
		}
	}
}

// A key file that does not fit is found, whatever is wrong with it.
func TestDoctorReadsTheKeyFile(t *testing.T) {
	w := newWorld(t, withFiles)
	_, key := newKey(t)
	w.host(key.PEM())
	w.writeKey()
	if s := w.command(nil, "doctor"); s.code != 1 || !strings.Contains(s.out, "begin with key_match") {
		t.Errorf("another key: exit code %d, want 1 and key_match:\n%s", s.code, s.out)
	}
	w.replace(w.keyFile(), []byte("hello"))
	if s := w.command(nil, "doctor"); s.code != 1 || !strings.Contains(s.out, "begin with key_local") {
		t.Errorf("no key: exit code %d, want 1 and key_local:\n%s", s.code, s.out)
	}
}

// hostIP is the address at which wellkey listens.
func (w *world) hostIP() string {
	host, _, err := net.SplitHostPort(w.HTTPSAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	return host
}
