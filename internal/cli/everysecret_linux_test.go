package cli_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"wellkey/internal/testnet"
	"wellkey/internal/teststore"
	"wellkey/internal/testworld"
)

// TestEverySecretAtOnce gives a wellkey the secrets that it can have at once, and
// has it do at debug level all that it does with them. The canary of the world looks
// at what comes of it: logs, pages, metrics, how the process was called, the files,
// the shared store, and what every command prints, also where a secret is wrong or
// in the wrong place.
func TestEverySecretAtOnce(t *testing.T) {
	t.Parallel()
	const (
		storePassword = "Canary-of-the-store.7f3a"
		wrongPassword = "Canary-of-another-store.7f3a"
		dnsPassword   = "Canary+of/the&dns:7f3a"
		adminPassword = "Canary of the admin listener 7f3a"
		eabKey        = "Y2FuYXJ5LW9mLXRoZS1maXJzdC1hdXRob3JpdHktN2YzYS1hbmQtbW9yZQ"
	)
	store := teststore.StartRedis(t, "--requirepass", storePassword)
	w := newRegistrable(t, func(c *testworld.Config) { c.EAB = map[string]string{"kid-1": eabKey} })
	service := &dnsService{w: w, password: dnsPassword}
	listener := testnet.Listen(t, "127.0.0.1:0")
	testnet.Serve(t, listener, nil, service)
	hash, err := bcrypt.GenerateFromPassword([]byte(adminPassword), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	seal := make([]byte, 32)
	_, _ = rand.Read(seal) // never fails
	private, _ := newKey(t)
	secrets := map[string]string{
		"the password of the store": storePassword, "the wrong password of the store": wrongPassword, "the password of the DNS service": dnsPassword,
		"the password of the admin listener": adminPassword, "its hash": string(hash), "the key of the account binding": eabKey, "the sealing key": base64.StdEncoding.EncodeToString(seal),
	}
	for what, text := range secrets {
		for _, s := range spellings(what, text) {
			w.canary.forbid(s.what, s.text)
		}
	}
	for _, line := range privateKeys("the domain", private) {
		w.canary.forbid(line.what, line.text)
	}
	file := func(name, text string) string {
		path := filepath.Join(w.dir, name)
		w.replace(path, []byte(text))
		return path
	}
	sealFile, storage := file("seal", secrets["the sealing key"]+"\n"), file("storage", "redis://:"+storePassword+"@"+store.Addr+"/0\n")
	settings := []string{
		"KEY_FILE=" + file("domain.pem", string(private)), "STORAGE_FILE=" + storage, "STORAGE_KEY_FILE=" + sealFile,
		"DNS_PROVIDER=httpreq", "DNS_HTTPREQ_URL=http://" + listener.Addr().String(), "DNS_HTTPREQ_USERNAME=wellkey",
		"DNS_HTTPREQ_PASSWORD_FILE=" + file("dns", dnsPassword+"\n"), "DNS_PROPAGATION_DELAY=0s",
		"ADMIN_WEB_CONFIG=" + file("web.yml", "basic_auth_users:\n  prometheus: "+string(hash)+"\n"),
		"ACME_EAB_KEY_ID=kid-1", "ACME_EAB_HMAC_KEY_FILE=" + file("eab", eabKey+"\n"),
	}
	p := w.exec(settings...)
	w.awaitLine(p.Log, "registered in every region; owners can pair their cars")

	w.goOn()
	w.seeCall(p.Pid())
	w.seeAs("prometheus", adminPassword, "/metrics")
	w.seeAs("prometheus", adminPassword, "/status")
	w.seeAs("prometheus", wrongPassword, "/status")
	w.seeRedis(store.Addr, storePassword)
	const whatever = -1
	for _, row := range []struct {
		args []string
		more []string // settings
		code int
	}{
		{[]string{"status"}, nil, 0},
		{[]string{"status", "--json"}, nil, 0},
		{[]string{"healthcheck", "--ready"}, nil, 0},
		{[]string{"serve", "--check-config"}, nil, 0},
		{[]string{"serve", "--help"}, nil, 0},
		{[]string{"--help"}, nil, 0},
		{[]string{"version"}, nil, 0},
		{[]string{"doctor"}, nil, whatever},
		{[]string{"doctor", "--json"}, nil, whatever},
		{[]string{"register"}, nil, whatever},
		{[]string{"register", "--json"}, nil, whatever},
		{[]string{"rotate", "--status"}, nil, whatever},
		{[]string{"renew"}, nil, 2},
		{[]string{"sites", "list"}, nil, whatever},
		{[]string{"sites", "check"}, nil, whatever},
		{[]string{"migrate", storage, filepath.Join(w.dir, "copy"), "--storage-key-file", sealFile}, nil, 0},
		{[]string{"migrate", "redis://:" + storePassword + "@" + store.Addr + "/0", filepath.Join(w.dir, "copy")}, nil, 2},

		// A store that cannot be used, by what is in a file, a URL and a setting.
		{[]string{"doctor"}, []string{"STORAGE_FILE=" + file("wrong", "redis://:"+wrongPassword+"@"+store.Addr+"/0")}, 1},
		{[]string{"doctor"}, []string{"STORAGE_FILE", "STORAGE=redis://user:" + wrongPassword + "@127.0.0.1:1/0"}, whatever},
		{[]string{"doctor"}, []string{"STORAGE_FILE", "STORAGE=postgres://user:" + wrongPassword + "@127.0.0.1:1/d?sslmode=disable"}, whatever},
		{[]string{"doctor"}, []string{"STORAGE_FILE", "STORAGE=postgres://user@127.0.0.1:1/d", "STORAGE_PASSWORD=" + wrongPassword}, whatever},
		{[]string{"serve"}, []string{"STORAGE_FILE", "STORAGE=redis://user:" + wrongPassword + "@127.0.0.1:none/0"}, 2},
		{[]string{"serve"}, []string{"STORAGE_FILE", "STORAGE=" + wrongPassword}, 2},
		{[]string{"serve"}, []string{"STORAGE_KEY_FILE=" + file("no-seal", wrongPassword)}, 2},
		// Secrets in the wrong place.
		{[]string{"serve"}, []string{"DNS_HTTPREQ_URL=https://wellkey:" + wrongPassword + "@dns.example"}, 2},
		{[]string{"serve"}, []string{"ACME_EAB_KEY_ID=" + eabKey, "ACME_EAB_HMAC_KEY_FILE"}, 2},
		{[]string{"serve"}, []string{"ACME_EAB_HMAC_KEY_FILE=" + file("bad-eab", eabKey+"!")}, 2},
		{[]string{"serve", "--acme-eab-hmac-key", eabKey}, nil, 2},
		{[]string{"serve"}, []string{"DNS_HTTPREQ_PASSWORD_FILE", "DNS_HTTPREQ_PASSWORD=" + wrongPassword + "\t"}, 2},
		{[]string{"serve"}, []string{"ADMIN_WEB_CONFIG=" + file("bad-web.yml", "basic_auth_users: {prometheus: "+wrongPassword+"}\n")}, 2},
		{[]string{"serve", "--storage-password", wrongPassword}, nil, 2},
	} {
		got := w.command(w.Environ(append(append([]string{"LOG_LEVEL=debug"}, settings...), row.more...)...), row.args...)
		if said := len(got.out) + len(got.errors); said == 0 && row.args[0] != "healthcheck" || got.code != row.code && row.code != whatever {
			t.Errorf("%q with %q: code %d, want %d; it said %s%s", row.args, row.more, got.code, row.code, got.out, got.errors)
		}
	}
	// A password of a proxy that is not encoded, of which net/http takes a part for a host.
	for _, proxy := range []string{"http://user:pa%ss" + wrongPassword, "http://user:p@" + wrongPassword + "/word"} {
		for _, variable := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
			for _, command := range []string{"serve", "doctor", "register"} {
				got := w.command(append(w.Environ(settings...), variable+"="+proxy+"@proxy.example:3128"), command)
				if got.code != 2 || !strings.Contains(got.errors, variable) {
					t.Errorf("%s with a bad %s: code %d; it said %s%s", command, variable, got.code, got.out, got.errors)
				}
			}
		}
	}
	w.seeDeath(p)
}

// seeDeath ends a process as an operator does who wants to know where it stands: it
// tells of all its goroutines.
func (w *world) seeDeath(p *testworld.Process) {
	w.t.Helper()
	if err := p.Signal(syscall.SIGQUIT); err != nil {
		w.t.Fatal(err)
	}
	if code := p.Wait(); code == 0 || !strings.Contains(p.Log.String(), "SIGQUIT: quit") || !strings.Contains(p.Log.String(), "goroutine ") {
		w.t.Errorf("it ended with %d, and has told nothing of itself", code)
	}
}

// seeCall lets the canary see the arguments and the environment of a process.
func (w *world) seeCall(pid int) {
	w.t.Helper()
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil || !bytes.Contains(environ, []byte("WELLKEY_DOMAIN=")) {
		w.t.Errorf("the process has the environment %q, %v", environ, err)
	}
	w.canary.saw("the environment of the process", environ)
	call, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(call, []byte("serve")) {
		w.t.Errorf("the process was called %q, %v", call, err)
	}
	w.canary.saw("the arguments of the process", call)
}

// seeAs lets the canary see what a user is shown.
func (w *world) seeAs(user, password, path string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://"+w.AdminAddr+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || len(body) == 0 {
		w.t.Errorf("%s: got %q, %v", path, body, err)
	}
	w.canary.saw("GET "+path, body)
}

// seeRedis lets the canary see all that a Redis has of us, where private keys are
// sealed, too.
func (w *world) seeRedis(addr, password string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "AUTH %s\r\nHGETALL {wellkey}:items\r\nQUIT\r\n", password)
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(all), "certificates/") {
		w.t.Errorf("the store has %d bytes, %v, without a certificate", len(all), err)
	}
	if bytes.Contains(all, []byte("PRIVATE KEY")) {
		w.t.Error("the store has a private key that is not sealed")
	}
	w.canary.saw("the store", all)
}
