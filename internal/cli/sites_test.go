package cli_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/testca"
	"wellkey/internal/testworld"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// several is a world whose wellkey hosts several sites, from files in a directory.
type several struct {
	*world
	dir string
}

func newSeveral(t *testing.T, domains ...string) *several {
	t.Helper()
	s := newSeveralOf(t, newWorld(t, withFiles), domains...)
	if err := s.SignFiles(testca.LeafOptions{}, domains...); err != nil {
		t.Fatal(err)
	}
	return s
}

func newSeveralOf(t *testing.T, w *world, domains ...string) *several {
	t.Helper()
	s := &several{w, filepath.Join(w.dir, "sites")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, domain := range domains {
		w.AddDomain(domain)
	}
	return s
}

// serve starts wellkey with the sites.
func (s *several) serve(more ...string) *testworld.Run {
	s.t.Helper()
	return s.run(append([]string{"DOMAIN", "CREDENTIALS_FILE", "SITES_DIR=" + s.dir}, more...)...)
}

// write replaces the file of a site as tools do.
func (s *several) write(domain, text string) {
	s.t.Helper()
	s.replace(filepath.Join(s.dir, domain+".yaml"), []byte(text))
}

// credentials are those of the application of a domain, for its file.
func credentials(domain string) string {
	return fmt.Sprintf("client_id: %q\nclient_secret: %q\n", domain, testworld.SecretOf(domain))
}

func site(s admin.Status, domain string) *admin.SiteView {
	for i := range s.Sites {
		if s.Sites[i].Domain == domain {
			return &s.Sites[i]
		}
	}
	return nil
}

// awaitState waits until a site has a state in both regions.
func (s *several) awaitState(domain string, state registrar.State) *admin.SiteView {
	s.t.Helper()
	status := s.await(domain+" "+string(state), func(status admin.Status) bool {
		v := site(status, domain)
		return v != nil && v.Registrations[0].State == state && v.Registrations[1].State == state
	})
	return site(status, domain)
}

func (s *several) awaitGone(domain string) {
	s.t.Helper()
	s.await(domain+" to be gone", func(status admin.Status) bool { return site(status, domain) == nil })
}

// keyOf fetches the key of a domain.
func (s *several) keyOf(domain string) keystore.Key {
	s.t.Helper()
	visit, err := s.FetchOf(s.ctx, domain)
	if err != nil || visit.Status != http.StatusOK {
		s.t.Fatalf("%s: status %d, error %v", domain, visit.Status, err)
	}
	parsed, err := keystore.Parse(visit.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return parsed.Key
}

// TestSites: sites are hosted and registered side by side, each with a key of its
// own, and come, change and go while wellkey runs.
func TestSites(t *testing.T) {
	t.Parallel()
	a, b, c := "a.sites.example.com", "b.sites.example.com", "c.sites.example.com"
	s := newSeveral(t, a, b, c)
	s.write(a, credentials(a))
	s.write(b, credentials(b))
	r := s.serve()
	start := s.awaitLine(r.Log, "wellkey starts", "sites_dir", s.dir)
	if _, one := start.Fields["domain"]; one || start.Fields["sites_listed"] != 2.0 {
		t.Errorf("the first line of the log says %v", start.Fields)
	}
	s.awaitState(a, registrar.Registered)
	s.awaitState(b, registrar.Registered)
	if s.keyOf(a) == s.keyOf(b) {
		t.Error("two sites have the same key")
	}
	for _, domain := range []string{a, b} {
		if account, ok := s.Tesla.Account(fleetapi.EU, domain); !ok || account.PublicKey != s.keyOf(domain).Hex() {
			t.Errorf("%s: Tesla has %+v", domain, account)
		}
	}
	// Another host is not served, though the certificate has its name.
	if visit, err := s.FetchOf(s.ctx, c); err != nil || visit.Status != http.StatusMisdirectedRequest {
		t.Errorf("an unknown host: status %d, error %v", visit.Status, err)
	}

	s.write(c, "") // a file of no words is a site, whose credentials come later
	s.awaitState(c, registrar.WaitingForCredentials)
	s.awaitLine(r.Log, "site added", "domain", c)
	key := s.keyOf(c)
	s.write(c, credentials(c))
	s.awaitState(c, registrar.Registered)
	if s.keyOf(c) != key {
		t.Error("a change of the site changed its key")
	}
	s.awaitLine(r.Log, "site changed", "domain", c)

	if err := os.Remove(filepath.Join(s.dir, b+".yaml")); err != nil {
		t.Fatal(err)
	}
	s.awaitGone(b)
	if visit, err := s.FetchOf(s.ctx, b); err != nil || visit.Status != http.StatusMisdirectedRequest {
		t.Errorf("a removed site: status %d, error %v", visit.Status, err)
	}
	if _, ok := s.Tesla.Account(fleetapi.EU, b); !ok {
		t.Error("the registration of a removed site is gone")
	}
}

// TestBadSites: a bad site is told and leaves the others alone; a key or an
// application that another site has is refused.
func TestBadSites(t *testing.T) {
	t.Parallel()
	a, b, c := "a.bad.example.com", "b.bad.example.com", "c.bad.example.com"
	s := newSeveral(t, a, b, c)
	text, key := newKey(t)
	path := filepath.Join(s.dir, "shared.pem")
	s.replace(path, text)
	s.write(a, credentials(a)+"key_file: "+path+"\n")
	s.write(b, "regions: moon\n")
	r := s.serve()
	s.awaitState(a, registrar.Registered)
	s.awaitLine(r.Log, "site is bad; the others are not affected", "site", b)
	status := s.await("the bad site", func(status admin.Status) bool { return len(status.BadSites) == 1 })
	if bad := status.BadSites[0]; bad.Name != b || !strings.Contains(bad.Error, `"moon" is no region`) {
		t.Errorf("bad sites are %+v", status.BadSites)
	}

	// The key of another site is refused, and so is its application.
	s.write(b, credentials(b)+"key_file: "+path+"\n")
	s.await("the refused key", func(status admin.Status) bool {
		return len(status.BadSites) == 1 && strings.Contains(status.BadSites[0].Error, "holds the key of "+a+" (fingerprint "+key.Fingerprint()+"), and Tesla takes a key for one domain only")
	})
	s.write(c, credentials(a))
	s.await("the refused application", func(status admin.Status) bool {
		v := site(status, c)
		return v != nil && strings.Contains(v.Registrations[0].Seen, "the application with this client id is that of "+a)
	})
	s.write(b, credentials(b))
	s.awaitState(b, registrar.Registered)
	s.awaitState(a, registrar.Registered)
	s.write(c, credentials(c))
	s.awaitState(c, registrar.Registered)
}

// TestSitesWithCertificates: each site gets a certificate of its own from the CA,
// also one that comes later, and one that goes is served no more.
func TestSitesWithCertificates(t *testing.T) {
	t.Parallel()
	a, b, c := "a.acme.example.com", "b.acme.example.com", "c.acme.example.com"
	s := newSeveralOf(t, newWorld(t), a, b, c)
	s.write(a, credentials(a))
	s.write(b, credentials(b))
	r := s.serve()
	for _, domain := range []string{a, b} {
		view := s.awaitState(domain, registrar.Registered)
		if got := view.Certificate; !got.Have || got.Attempts != 1 {
			t.Errorf("%s: the certificate is %+v", domain, got)
		}
		s.keyOf(domain) // by a certificate for its name
	}
	s.write(c, credentials(c))
	s.awaitState(c, registrar.Registered)
	s.awaitLine(r.Log, "certificate obtained", "domain", c)
	if err := os.Remove(filepath.Join(s.dir, b+".yaml")); err != nil {
		t.Fatal(err)
	}
	s.awaitGone(b)
	if _, err := s.FetchOf(s.ctx, b); err == nil {
		t.Error("there is a certificate for a site that is gone")
	}
	s.keyOf(a)
}
