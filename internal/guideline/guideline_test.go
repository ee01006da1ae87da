package guideline_test

import (
	"crypto/tls"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/guideline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What was there before does not stay, and what Go holds to be insecure is not
// among what is wanted. The listeners' own tests try every suite and curve.
func TestApply(t *testing.T) {
	config := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, CurvePreferences: []tls.CurveID{tls.CurveP521}}
	guideline.Apply(config)
	if config.MinVersion != tls.VersionTLS12 || config.MaxVersion != tls.VersionTLS13 {
		t.Errorf("versions %x to %x", config.MinVersion, config.MaxVersion)
	}
	secure := map[uint16]bool{}
	for _, suite := range tls.CipherSuites() {
		secure[suite.ID] = true
	}
	if len(config.CipherSuites) != 6 {
		t.Errorf("%d suites, want 6", len(config.CipherSuites))
	}
	for _, id := range config.CipherSuites {
		if !secure[id] {
			t.Errorf("%s is insecure", tls.CipherSuiteName(id))
		}
	}
	if config.CurvePreferences[0] != tls.X25519MLKEM768 || len(config.CurvePreferences) != 4 {
		t.Errorf("curves %v", config.CurvePreferences)
	}
}
