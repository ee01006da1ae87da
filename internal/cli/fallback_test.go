package cli_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
	"wellkey/server/certs"
)

// TestFallbackAuthority: the first authority has been down for days; the second,
// which wants an account of its own, gives the certificate, and Tesla registers by
// it. Whoever asks is told whose it is.
func TestFallbackAuthority(t *testing.T) {
	t.Parallel()
	const kid, mac = "kid-2", "c2Vjb25kLWNhbmFyeS1rZXktb2YtdGhlLWZhbGxiYWNrLWF1dGhvcml0eQ"
	names, err := testdns.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = names.Close() })
	second, err := testca.Start(testca.Config{DNS: names.Addr(), EAB: map[string]string{kid: mac}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() })
	w := newRegistrable(t, func(c *testworld.Config) { c.FormerRoots = second.RootsPEM() })
	w.canary.forbid("the HMAC key", mac)
	names.Set(w.Domain, "A "+w.hostIP())
	second.SetPorts(port(t, w.HTTPAddr), port(t, w.HTTPSAddr))
	roots := filepath.Join(w.dir, "both-roots.pem")
	w.replace(roots, append(w.CA.APIRootsPEM(), second.APIRootsPEM()...))
	w.CA.Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	})

	settings := []string{"ACME_ROOTS=" + roots, "ACME_FALLBACK_DIRECTORY=" + second.Directory(),
		"ACME_FALLBACK_EAB_KEY_ID=" + kid, "ACME_FALLBACK_EAB_HMAC_KEY=" + mac}
	first := w.run(settings...)
	s := w.await("the end of a failed attempt", func(s admin.Status) bool {
		c := s.Sites[0].Certificate
		return c.LastError != nil && !c.NextAttempt.IsZero()
	})
	c := s.Sites[0].Certificate
	if len(c.Authorities) != 2 || c.Authorities[1].Directory != second.Directory() || c.FallbackAt.Sub(s.At) < 23*time.Hour {
		t.Errorf("after the first failure: got %+v, want the fallback in a day", c)
	}
	if code := first.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	w.backdateTrouble(48 * time.Hour)

	w.run(settings...)
	c = w.awaitRegistered().Sites[0].Certificate
	if c.Role != certs.Fallback || c.WhyFallback == nil || c.WhyFallback.Reason != certs.ReasonServer {
		t.Errorf("got a certificate of the %s because of %+v, want the fallback's, since the first was down", c.Role, c.WhyFallback)
	}
	if err := w.Check(w.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		t.Error(err)
	}
	if said := w.command(nil, "status"); !strings.Contains(said.out, "(the fallback authority)") {
		t.Errorf("wellkey status does not say whose certificate it is:\n%s", said.out)
	}
	if got := w.metrics()[`wellkey_tls_certificate_authority{authority="fallback",domain="`+w.Domain+`"}`]; got != "1" {
		t.Errorf("the metric of the authority is %q, want 1", got)
	}
}

func port(t *testing.T, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// backdateTrouble makes the records of orders say that all has failed for longer.
func (w *world) backdateTrouble(by time.Duration) {
	w.t.Helper()
	records, err := filepath.Glob(filepath.Join(w.DataDir, "state", "issuance", "*", w.Domain+".json*"))
	if err != nil || len(records) == 0 {
		w.t.Fatalf("records of orders: %q, %v", records, err)
	}
	for _, path := range records {
		data, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		var rec map[string]any
		if err := json.Unmarshal(data, &rec); err != nil {
			w.t.Fatal(err)
		}
		if rec["trouble"] == nil {
			continue // the fallback's
		}
		rec["trouble"] = time.Now().Add(-by)
		if data, err = json.Marshal(rec); err != nil {
			w.t.Fatal(err)
		}
		w.replace(path, data)
	}
}
