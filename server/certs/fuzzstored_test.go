package certs_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// items are a storage in memory, where what is put aside is gone.
type items struct {
	all   map[string][]byte
	aside []string // why
}

func (s *items) Lock(context.Context, string) error   { return nil }
func (s *items) Unlock(context.Context, string) error { return nil }

func (s *items) Store(_ context.Context, key string, value []byte) error {
	s.all[key] = bytes.Clone(value)
	return nil
}

func (s *items) Load(_ context.Context, key string) ([]byte, error) {
	if value, ok := s.all[key]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

func (s *items) Delete(_ context.Context, key string) error {
	maps.DeleteFunc(s.all, func(k string, _ []byte) bool { return k == key || strings.HasPrefix(k, key+"/") })
	return nil
}

func (s *items) Exists(_ context.Context, key string) bool { return s.all[key] != nil }

func (s *items) List(_ context.Context, prefix string, recursive bool) (keys []string, err error) {
	found := map[string]bool{}
	for key := range s.all {
		if rest, ok := strings.CutPrefix(key, prefix+"/"); ok {
			if name, _, _ := strings.Cut(rest, "/"); !recursive {
				rest = name
			}
			found[prefix+"/"+rest] = true
		}
	}
	for key := range found {
		keys = append(keys, key)
	}
	return keys, nil
}

func (s *items) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	_, err := s.Load(ctx, key)
	return certmagic.KeyInfo{Key: key, IsTerminal: err == nil}, err
}

func (s *items) Quarantine(ctx context.Context, key, reason string) error {
	s.aside = append(s.aside, reason)
	return s.Delete(ctx, key)
}

// FuzzStored starts on anything in place of a certificate, its key, its metadata, and
// the next certificate that was being stored. What is served belongs to the domain and
// to its key, has a chain that holds, and is renewed with a third of its life left at
// the latest. A good pair is not lost, and one look mends all: the next finds the same
// and changes nothing, and neither does one that may only look. Nothing of a key is told.
func FuzzStored(f *testing.F) {
	const domain, directory = "a.example", "https://ca.example/directory"
	ca := (&certmagic.ACMEIssuer{CA: directory}).IssuerKey()
	signer, err := testca.NewSigner()
	if err != nil {
		f.Fatal(err)
	}
	now := time.Now()
	words := []string{"$CA", ca}
	var secrets []string
	for name, options := range map[string]testca.LeafOptions{
		"OURS": {}, "NEWER": {NotBefore: now.Add(-time.Minute)}, "PAST": {NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)}, "ALONE": {Incomplete: true}, "OTHER": {},
	} {
		of := domain
		if name == "OTHER" {
			of = "b.example"
		}
		leaf, err := signer.Issue(options, of)
		if err != nil {
			f.Fatal(err)
		}
		encode := base64.StdEncoding.EncodeToString
		words = append(words, "$"+name+"64", `"cert":"`+encode(leaf.CertPEM)+`","key":"`+encode(leaf.KeyPEM)+`"`, "$"+name+"CERT", string(leaf.CertPEM), "$"+name+"KEY", string(leaf.KeyPEM))
		secrets = append(secrets, strings.Split(string(leaf.KeyPEM), "\n")[1])
	}
	expand := strings.NewReplacer(words...)
	for _, next := range []string{"", "{", "null", `{"issuer":"$CA"}`, `{"issuer":"$CA",$OURS64}`, `{"issuer":"$CA",$NEWER64,"meta":"e30="}`, `{"issuer":"x",$NEWER64}`, `{"issuer":"$CA",$OTHER64}`, `{"issuer":"$CA",$PAST64}`, `{"issuer":"$CA",$ALONE64}`} {
		f.Add("$OURSCERT", "$OURSKEY", `{"sans":["a.example"],"issuer_data":{"ca":"`+directory+`"}}`, next)
		f.Add("$PASTCERT", "$PASTKEY", "", next)
		f.Add("", "", "{}", next)
	}
	for _, meta := range []string{
		"null", "[", `{"sans":["b.example"]}`, `{"sans":["a.example"],"issuer_data":7}`, `{"sans":["a.example"],"issuer_data":{"renewal_info":{"_selectedTime":"9999-12-31T23:59:59Z","suggestedWindow":{"start":"9999-01-01T00:00:00Z","end":"0001-01-01T00:00:00Z"}}}}`,
		`{"sans":["a.example"],"issuer_data":{"renewal_info":{"_selectedTime":"0001-01-01T00:00:01Z","_retryAfter":"9999-12-31T23:59:59Z"}}}`,
	} {
		f.Add("$NEWERCERT", "$NEWERKEY", meta, "")
	}
	for _, pair := range [][2]string{
		{"$OURSCERT", "$NEWERKEY"}, {"$OURSKEY", "$OURSCERT"}, {"$OURSCERT$OURSKEY", "$OURSCERT$OURSKEY"}, {"$OTHERCERT", "$OTHERKEY"}, {"$ALONECERT", "$ALONEKEY"},
		{"$ALONECERT$OTHERCERT", "$ALONEKEY"}, {"-----BEGIN \x1b[2J-----\n-----END \x1b[2J-----\n", "\x00"}, {"-----BEGIN \t-----\n-----END \t-----\n", "$OURSKEY"}, {"$OURSCERT-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "$OURSKEY"},
	} {
		f.Add(pair[0], pair[1], "", "")
	}
	f.Fuzz(func(t *testing.T, cert, key, meta, next string) {
		stored := map[string][]byte{}
		put := func(key, value string) {
			if value != "" {
				stored[key] = []byte(expand.Replace(value))
			}
		}
		put(keys.SiteCert(ca, domain), cert)
		put(keys.SitePrivateKey(ca, domain), key)
		put(keys.SiteMeta(ca, domain), meta)
		put(keys.CertsSitePrefix(ca, domain)+"/"+domain+".next", next)
		core, said := observer.New(zapcore.DebugLevel)
		look := func(s *items, shared bool) *x509.Certificate {
			m, err := certs.New(certs.Config{Storage: s, Shared: shared, Directory: directory, TLSAddr: func() string { return "" }, Common: certs.Common{Logger: zap.New(core), Now: func() time.Time { return now }}})
			if err != nil {
				t.Fatal(err)
			}
			m.Add(domain)
			pair, renewal, err := m.Stored(t.Context(), domain)
			if err != nil {
				t.Fatal(err)
			}
			if pair == nil {
				return nil
			}
			leaf := pair.Leaf
			if public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); leaf.VerifyHostname(domain) != nil || !ok || !public.Equal(pair.PrivateKey.(crypto.Signer).Public()) {
				t.Fatalf("serves a certificate for %q", leaf.DNSNames)
			}
			if latest := leaf.NotAfter.Add(-leaf.NotAfter.Sub(leaf.NotBefore) / 3); renewal.After(latest.Add(time.Second)) {
				t.Fatalf("is renewed at %v, and not after %v", renewal, latest)
			}
			if !shared && leaf.CheckSignatureFrom(parse(t, pair.Certificate[min(1, len(pair.Certificate)-1)])) != nil {
				t.Fatal("serves a certificate without its chain")
			}
			return leaf
		}
		looked := &items{all: maps.Clone(stored)}
		look(looked, true)
		if len(looked.aside) > 0 || !maps.EqualFunc(looked.all, stored, bytes.Equal) {
			t.Fatalf("who may only look has changed it; aside are %q", looked.aside)
		}
		s := &items{all: maps.Clone(stored)}
		served := look(s, false)
		if good, err := certs.Pair(stored[keys.SiteCert(ca, domain)], stored[keys.SitePrivateKey(ca, domain)], domain); err == nil && (served == nil || served.NotBefore.Before(good.Leaf.NotBefore)) {
			t.Fatalf("a good pair is lost; served is %v", served)
		}
		mended, aside := maps.Clone(s.all), len(s.aside)
		again := look(s, false)
		if (again == nil) != (served == nil) || served != nil && !again.Equal(served) || len(s.aside) != aside || !maps.EqualFunc(s.all, mended, bytes.Equal) {
			t.Fatalf("the second look finds another state; aside are %q", s.aside)
		}
		for _, entry := range said.All() {
			fields, err := json.Marshal(entry.ContextMap())
			if err != nil {
				t.Fatal(err)
			}
			s.aside = append(s.aside, entry.Message+" "+string(fields))
		}
		for _, text := range s.aside {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Fatalf("it tells of a key: %q", text)
				}
			}
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("it says %q", text)
			}
		}
	})
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
