package cli_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/testnet"
)

// A dnsService keeps the records of the world's zone, for whoever has the password.
type dnsService struct {
	w        *world
	password string

	mu    sync.Mutex
	calls []string
}

func (d *dnsService) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var body struct{ FQDN, Value string }
	_, password, _ := r.BasicAuth()
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || password != d.password {
		http.Error(rw, "who are you?", http.StatusUnauthorized)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, r.URL.Path+" "+body.FQDN)
	if r.URL.Path == "/present" {
		d.w.DNS.Set(body.FQDN, "TXT "+body.Value)
	} else {
		d.w.DNS.Remove(body.FQDN)
	}
}

// The whole program obtains its certificate by a record, with a secret from a file
// that nobody is shown; and a wrong secret is said in words.
func TestCertificateByDNS(t *testing.T) {
	t.Parallel()
	const password = "Canary+of/the&dns"
	w := newRegistrable(t)
	w.canary.forbid("the password of the DNS service", password)
	service := &dnsService{w: w, password: password}
	listener := testnet.Listen(t, "127.0.0.1:0")
	testnet.Serve(t, listener, nil, service)
	file := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings := []string{"DNS_PROVIDER=httpreq", "DNS_HTTPREQ_URL=http://" + listener.Addr().String(), "DNS_HTTPREQ_USERNAME=wellkey",
		"DNS_HTTPREQ_PASSWORD_FILE=" + file, "DNS_PROPAGATION_DELAY=0s"}

	write("wrong+" + password + "\n")
	run := w.run(settings...)
	status := w.await("a failed attempt", func(s admin.Status) bool { return s.Sites[0].Certificate.LastError != nil })
	if last := status.Sites[0].Certificate.LastError; last.Reason != "dns_provider" || !strings.Contains(last.Text, "check dns_httpreq_username and dns_httpreq_password") {
		t.Errorf("got %+v", last)
	}
	w.look()
	run.Stop()
	if err := os.RemoveAll(filepath.Join(w.DataDir, "state")); err != nil { // and with it the pause after a failure
		t.Fatal(err)
	}

	write(password + "\n")
	w.run(settings...)
	w.awaitRegistered()
	w.look()
	service.mu.Lock()
	defer service.mu.Unlock()
	if want := []string{"/present _acme-challenge." + w.Domain + ".", "/cleanup _acme-challenge." + w.Domain + "."}; !slices.Equal(service.calls, want) {
		t.Errorf("got %q, want %q", service.calls, want)
	}
}
