package cli_test

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testworld"
	"wellkey/registrar"
)

// reloaded returns whether the last reload of a part went well, and when one last
// did.
func (w *world) reloaded(part string) (good string, at float64) {
	w.t.Helper()
	m := w.metrics()
	at, err := strconv.ParseFloat(m[`wellkey_config_last_reload_success_timestamp_seconds{part="`+part+`"}`], 64)
	if err != nil {
		w.t.Errorf("the last good reload of %s: %v", part, err)
	}
	return m[`wellkey_config_last_reload_successful{part="`+part+`"}`], at
}

// TestReloadMetrics: each part that is followed tells whether it is good, and when
// it was last read anew.
func TestReloadMetrics(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	key := w.writeKey()
	p := w.exec()
	w.awaitRegistered()
	parts := []string{admin.PartKey, admin.PartCredentials, admin.PartCertificate}
	before := map[string]float64{}
	for _, part := range parts {
		good, at := w.reloaded(part)
		if before[part] = at; good != "1" {
			t.Errorf("%s is %s at first, want 1", part, good)
		}
	}

	w.signal(p, syscall.SIGHUP) // nothing changed, and all is read anew
	w.awaitLine(p.Log, "reloaded")
	for _, part := range parts {
		good, at := w.reloaded(part)
		if good != "1" || at <= before[part] {
			t.Errorf("%s is %s at %f after SIGHUP, want 1 and later than %f", part, good, at, before[part])
		}
		before[part] = at
	}

	w.replace(w.keyFile(), []byte("no key\n"))
	w.replace(w.CertFile, []byte("no certificate\n"))
	w.replace(w.CredentialsFile, []byte("client_id: [\n"))
	w.signal(p, syscall.SIGHUP)
	w.awaitLine(p.Log, "reload left the last good state in use")
	for _, part := range parts {
		if good, at := w.reloaded(part); good != "0" || at != before[part] {
			t.Errorf("%s is %s at %f after a bad change, want 0 and still %f", part, good, at, before[part])
		}
	}
	w.wantServed(key)

	w.sign(testca.LeafOptions{})
	w.writeKey()
	w.writeCredentials()
	w.signal(p, syscall.SIGHUP)
	times := 0
	again := line("reloaded")
	if _, err := p.Log.Await(w.ctx, func(e testworld.Entry) bool {
		if again(e) {
			times++
		}
		return times == 2
	}); err != nil {
		t.Fatal(err)
	}
	w.awaitStates(registrar.Mismatch, registrar.Mismatch) // since it is another key
	for _, part := range parts {
		if good, at := w.reloaded(part); good != "1" || at <= before[part] {
			t.Errorf("%s is %s at %f after a good change, want 1 and later than %f", part, good, at, before[part])
		}
	}
}

// TestLogMetrics: what is logged is counted, by level.
func TestLogMetrics(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	r := w.run("LOG_LEVEL=info")
	w.awaitRegistered()
	w.replace(w.keyFile(), []byte("no key\n"))
	w.awaitLine(r.Log, "key file is bad, the last good key stays", "level", "error")
	m := w.metrics()
	for _, level := range []string{"debug", "info", "warn", "error"} {
		if got, want := m[`wellkey_log_messages_total{level="`+level+`"}`], strconv.Itoa(strings.Count(r.Log.String(), `{"level":"`+level+`"`)); got != want {
			t.Errorf("%s messages of level %s are counted, %s are in the log", got, level, want)
		}
	}
}

// TestOutsideEvidence: what the certificate authority and Tesla found is told
// beside our own look.
func TestOutsideEvidence(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	w.run()
	w.awaitRegistered()
	evidence := func() map[string]string {
		m := w.metrics()
		out := map[string]string{}
		for _, vantage := range []string{"loop", "acme", "tesla"} {
			labels := `{domain="` + w.Domain + `",vantage="` + vantage + `"}`
			if at := m["wellkey_probe_last_success_timestamp_seconds"+labels]; at == "" {
				t.Errorf("%s: no last success", vantage)
			}
			out[vantage] = m["wellkey_probe_success"+labels]
		}
		return out
	}
	if got := evidence(); got["loop"] != "1" || got["acme"] != "1" || got["tesla"] != "1" {
		t.Errorf("the evidence is %v", got)
	}
	if err := w.Check(w.ctx); err != nil {
		t.Error(err)
	}
}

// TestHealthcheckReady: alive is not ready; why not is told.
func TestHealthcheckReady(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.Tesla.Break(fleetsim.Reset, fleetsim.Limit{}) // so that no key may be made
	w.run()
	w.awaitStates(registrar.Unavailable, registrar.Unavailable)
	if got := w.command(nil, "healthcheck"); got.code != 0 {
		t.Errorf("alive: code %d, %s", got.code, got.errors)
	}
	if got := w.command(nil, "healthcheck", "--ready"); got.code != 1 || !strings.Contains(got.errors, "answers with status 503: no key for "+w.Domain+" yet") {
		t.Errorf("ready: code %d, %s", got.code, got.errors)
	}
}
