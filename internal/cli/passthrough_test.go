package cli_test

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/internal/testhost"
)

// TestPassthroughInTrouble: who asks how it stands is told that a server behind
// passthrough is down, since when, and what to do; and that it is back.
func TestPassthroughInTrouble(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	target, err := testhost.Addr()
	if err != nil {
		t.Fatal(err)
	}
	telemetry := "telemetry." + w.Domain
	settings := w.Environ("LOG_LEVEL=info", "PASSTHROUGH="+telemetry+"="+target)
	w.run("PASSTHROUGH=" + telemetry + "=" + target)
	w.awaitRegistered()
	visit := func() {
		conn, err := tls.Dial("tcp", w.HTTPSAddr, &tls.Config{ServerName: telemetry, InsecureSkipVerify: true})
		if err == nil {
			_ = conn.Close()
		}
	}
	if s := w.command(settings, "status"); s.code != 0 || !strings.Contains(s.out, "Nobody has asked for "+telemetry+" yet") {
		t.Errorf("before anybody came: exit code %d:\n%s%s", s.code, s.out, s.errors)
	}

	visit()
	w.await("the trouble", func(s admin.Status) bool { return s.Passthrough[0].Trouble != nil })
	s := w.command(settings, "status")
	told := strings.Join(strings.Fields(s.out), " ")
	for _, text := range []string{target + " could not be reached, so connections for " + telemetry + " were closed", "First failed ", "connection refused", "Nothing listens there", "Start it, or correct passthrough"} {
		if !strings.Contains(told, text) {
			t.Errorf("the status does not say %q:\n%s", text, s.out)
		}
	}
	if s.code != 0 { // the key is registered everywhere, and served
		t.Errorf("exit code %d, want 0", s.code)
	}
	found := w.passedFinding(settings)
	if found.Status != finding.Warn || found.On != telemetry || !strings.HasPrefix(found.Seen, target+" cannot be reached from here: ") || !strings.HasPrefix(found.Fix, "Start it") {
		t.Errorf("the doctor finds %+v", found)
	}
	if s := w.command(settings, "doctor"); !strings.Contains(s.out, "For "+telemetry+": "+target) {
		t.Errorf("the doctor says:\n%s", s.out)
	}

	l, err := net.Listen("tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	visit()
	w.await("its end", func(s admin.Status) bool { return s.Passthrough[0].Trouble == nil })
	if found := w.passedFinding(settings); found.Status != finding.OK {
		t.Errorf("the doctor finds %+v", found)
	}
}

// passedFinding is what the doctor finds of the one target of passthrough.
func (w *world) passedFinding(settings []string) finding.Finding {
	w.t.Helper()
	s := w.command(settings, "doctor", "--json")
	var report doctor.Report
	if err := json.Unmarshal([]byte(s.out), &report); err != nil {
		w.t.Fatalf("%v: %s%s", err, s.out, s.errors)
	}
	for _, g := range report.Groups {
		if g.Name == doctor.NamePassthrough && len(g.Findings) == 1 {
			return g.Findings[0]
		}
	}
	w.t.Fatalf("the doctor says nothing of passthrough: %s", s.out)
	return finding.Finding{}
}
