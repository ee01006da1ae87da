package cli_test

import (
	"strings"
	"testing"

	"wellkey/internal/admin"
	"wellkey/registrar"
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
	if s := w.command(nil, "renew", "--now"); s.code != 3 || !strings.Contains(s.out, "Nothing has picked it up") {
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

// TestRenewOneSite: of several domains, the one that is named gets another
// certificate, and the others keep theirs.
func TestRenewOneSite(t *testing.T) {
	t.Parallel()
	a, b := "a.renew.example.com", "b.renew.example.com"
	s := newSeveralOf(t, newWorld(t), a, b)
	s.write(a, credentials(a))
	s.write(b, credentials(b))
	s.serve()
	before := map[string]string{}
	for _, domain := range []string{a, b} {
		before[domain] = s.awaitState(domain, registrar.Registered).Certificate.Serial
	}
	environ := s.Environ("DOMAIN", "CREDENTIALS_FILE", "SITES_DIR="+s.dir)
	if got := s.command(environ, "renew", "--now", "--domain", a); got.code != 0 || !strings.Contains(got.out, "The wellkey that serves "+a+" orders a certificate now") {
		t.Errorf("got %+v", got)
	}
	status := s.await("another certificate", func(status admin.Status) bool {
		v := site(status, a)
		return v.Certificate.Have && v.Certificate.Serial != before[a]
	})
	if now := site(status, b).Certificate.Serial; now != before[b] {
		t.Errorf("the certificate of the other site changed from %s to %s", before[b], now)
	}
}
