package cli_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// TestAdminWebConfig: with TLS and passwords on the admin listener, strangers are
// kept out, Prometheus gets in, the commands on this machine still work, and a bad
// change keeps the last good state.
func TestAdminWebConfig(t *testing.T) {
	t.Parallel()
	const password = "correct horse battery staple"
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	w := newRegistrable(t, withFiles)
	w.canary.forbid("the password", password)
	w.canary.forbid("the hash of the password", string(hash))
	path := filepath.Join(w.dir, "web.yml")
	w.replace(path, []byte(fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\nbasic_auth_users:\n  prometheus: %s\n", w.CertFile, w.CertKeyFile, hash)))
	setting := "ADMIN_WEB_CONFIG=" + path
	r := w.run(setting)
	w.awaitLine(r.Log, "web configuration in use", "tls", "true", "users", "1")
	w.awaitLine(r.Log, "registered in every region; owners can pair their cars")

	metrics := w.scrapeAs("prometheus", password)
	if !strings.Contains(metrics, `wellkey_config_last_reload_successful{part="admin_web"} 1`) {
		t.Error("the metrics say nothing of the web configuration")
	}
	if got := w.scrapeAs("prometheus", "wrong"); got != "401" {
		t.Errorf("a wrong password gets %.100s", got)
	}

	for _, row := range []struct {
		args []string
		more []string
		code int
		want string
	}{
		{[]string{"healthcheck"}, []string{setting}, 0, ""},
		{[]string{"healthcheck", "--ready"}, []string{setting}, 0, ""},
		{[]string{"status", "--json"}, []string{setting}, 0, w.Domain},
		{[]string{"status"}, []string{setting}, 0, w.Domain},
		{[]string{"healthcheck"}, nil, 1, "admin_web_config"}, // it speaks plain HTTP
		{[]string{"status"}, []string{"ADMIN_WEB_CONFIG=" + path + "x"}, 2, "WELLKEY_ADMIN_WEB_CONFIG: there is no file"},
	} {
		got := w.command(w.Environ(row.more...), row.args...)
		if out := got.out + got.errors; got.code != row.code || !strings.Contains(out, row.want) {
			t.Errorf("%q with %q: code %d, want %d, with %q in: %s", row.args, row.more, got.code, row.code, row.want, out)
		}
	}

	w.replace(path, []byte("basic_auth_users:\n  prometheus: none\n"))
	w.awaitLine(r.Log, "changed web configuration is not usable; the last good one stays in use", "level", "error")
	if metrics := w.scrapeAs("prometheus", password); !strings.Contains(metrics, `wellkey_config_last_reload_successful{part="admin_web"} 0`) {
		t.Errorf("after a bad change: %.100s", metrics)
	}
}

// scrapeAs gets the metrics over TLS as a user; or the status, if it is not 200.
func (w *world) scrapeAs(user, password string) string {
	w.t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.Roots(), ServerName: w.Domain}, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "https://"+w.AdminAddr+"/metrics", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.canary.saw("/metrics over TLS", body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprint(resp.StatusCode)
	}
	return string(body)
}
