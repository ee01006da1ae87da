package cli_test

import (
	"strings"
	"testing"

	"wellkey/internal/admin"
)

// TestRenewNow: a running wellkey takes up what was asked for; where none runs,
// the command says so, and the next start takes it up.
func TestRenewNow(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	run := w.run()
	first := w.awaitRegistered().Sites[0].Certificate.Serial
	renewed := func(before string) string {
		t.Helper()
		return w.await("another certificate", func(s admin.Status) bool {
			return s.Sites[0].Certificate.Have && s.Sites[0].Certificate.Serial != before
		}).Sites[0].Certificate.Serial
	}
	if s := w.command(nil, "renew", "--now"); s.code != 0 || !strings.Contains(s.out, "orders a certificate now") {
		t.Errorf("with a wellkey that runs: got %+v", s)
	}
	second := renewed(first)
	run.Stop()
	if s := w.command(nil, "renew", "--now"); s.code != 3 || !strings.Contains(s.out, "Nobody has taken it up") {
		t.Errorf("with none that runs: got %+v", s)
	}
	w.run()
	renewed(second)
	if n := w.CA.Orders(); n != 3 {
		t.Errorf("%d orders, want 3", n)
	}
}

func TestRenewRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]struct {
		environ []string
		args    []string
		want    string
	}{
		"without --now": {nil, []string{"renew"}, "give --now"},
		"without ACME":  {[]string{"WELLKEY_DOMAIN=example.com", "WELLKEY_TLS=off", "HOME=" + t.TempDir()}, []string{"renew", "--now"}, "tls is off, so wellkey orders no certificates"},
	} {
		if s := w.command(test.environ, test.args...); s.code != 2 || !strings.Contains(strings.Join(strings.Fields(s.errors), " "), test.want) {
			t.Errorf("%s: got %+v, want %q", name, s, test.want)
		}
	}
}
