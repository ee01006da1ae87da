package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"wellkey/server/certs"
)

// generous is a CA that has one account, whatever key asks for it.
type generous struct{ key struct{ N, X, Y string } }

const generousAccount = "https://ca.example/account/1"

func (g *generous) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := `{"newNonce":"https://ca.example/nonce","newAccount":"https://ca.example/account","newOrder":"https://ca.example/order"}`
	if r.Method == http.MethodPost {
		answer = `{"status":"valid"}`
		var body, head struct {
			Protected string
			JWK       struct{ N, X, Y string }
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return nil, err
		}
		protected, err := base64.RawURLEncoding.DecodeString(body.Protected)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(protected, &head); err != nil {
			return nil, err
		}
		g.key = head.JWK
	}
	header := http.Header{"Replay-Nonce": {"nonce"}, "Location": {generousAccount}, "Content-Type": {"application/json"}}
	return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

// FuzzAccount starts on anything in place of the ACME account and its key. Either the
// account is the one that the CA has for that key, and stored so, or both are put aside
// and certmagic makes the next; another look changes nothing, and nothing of the key is
// told.
func FuzzAccount(f *testing.F) {
	const domain, directory = "a.example", "https://ca.example/directory"
	ca := (&certmagic.ACMEIssuer{CA: directory}).IssuerKey()
	folder := "acme/" + keys.Safe(ca) + "/users/default"
	words := []string{"$LOCATION", generousAccount}
	encode := func(name string, key any, err error) {
		if err != nil {
			f.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			f.Fatal(err)
		}
		words = append(words, name, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	}
	for name, curve := range map[string]elliptic.Curve{"$P224": elliptic.P224(), "$P256": elliptic.P256(), "$P384": elliptic.P384(), "$P521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		encode(name, key, err)
	}
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	encode("$RSA", large, err)
	weak, err := weakKey()
	encode("$WEAK", weak, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	encode("$ED", ed, err)
	expand := strings.NewReplacer(words...)
	const private = "PRIVATE KEY-----\n"
	for _, key := range []string{"", "\x00", "$P224", "$P256", "$P384", "$P521", "$RSA", "$ED", "$WEAK", "x$P256", "-----BEGIN " + private + "AAAA\n-----END " + private, "-----BEGIN \x1b[2J " + private + "-----END \x1b[2J " + private} {
		for _, registration := range []string{"", "null", "[", "\x00", `{"status":"valid","location":"$LOCATION"}`, `{"status":"revoked","location":"$LOCATION"}`, `{"status":"valid","location":"\u001b[2J"}`} {
			f.Add(registration, key)
		}
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, registration, key string) {
		s := &items{all: map[string][]byte{}}
		if registration != "" {
			s.all[folder+"/default.json"] = []byte(expand.Replace(registration))
		}
		if key != "" {
			s.all[folder+"/default.key"] = []byte(expand.Replace(key))
		}
		m, err := certs.New(certs.Config{Storage: s, Directory: directory, TLSAddr: func() string { return "" }, Common: certs.Common{Now: func() time.Time { return now }}})
		if err != nil {
			t.Fatal(err)
		}
		m.Add(domain)
		at := new(generous)
		if err := m.MendAccount(t.Context(), domain, at); err != nil {
			t.Fatalf("it stays as it is: %v", err)
		}
		mended, aside := maps.Clone(s.all), len(s.aside)
		if len(mended) > 0 {
			var known acme.Account
			if err := json.Unmarshal(mended[folder+"/default.json"], &known); err != nil || known.Location != generousAccount || known.Status != acme.StatusValid {
				t.Fatalf("%v: the account is %+v", err, known)
			}
			signer, err := certmagic.PEMDecodePrivateKey(mended[folder+"/default.key"])
			if err != nil {
				t.Fatal(err)
			}
			was := *at
			if err := m.MendAccount(t.Context(), domain, at); err != nil || at.key != was.key || !at.has(signer.Public()) {
				t.Fatalf("%v: the CA was asked for %+v", err, at.key)
			}
		} else if err := m.MendAccount(t.Context(), domain, at); err != nil {
			t.Fatal(err)
		}
		if len(s.aside) != aside || !maps.EqualFunc(s.all, mended, bytes.Equal) {
			t.Fatalf("the second look finds another state; aside are %q", s.aside)
		}
		for _, text := range s.aside {
			if strings.Contains(text, "PRIVATE") || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("it says %q", text)
			}
		}
	})
}

// weakKey makes a key of 512 bits, which crypto/rsa neither makes nor signs with.
func weakKey() (*rsa.PrivateKey, error) {
	e := big.NewInt(65537)
	for {
		p, err := rand.Prime(rand.Reader, 256)
		q, err2 := rand.Prime(rand.Reader, 256)
		if err := errors.Join(err, err2); err != nil {
			return nil, err
		}
		one := big.NewInt(1)
		d := new(big.Int).ModInverse(e, new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)))
		if d != nil && p.Cmp(q) != 0 {
			return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: d, Primes: []*big.Int{p, q}}, nil
		}
	}
}

// has reports whether the CA was last asked with this key.
func (g *generous) has(key any) bool {
	number := func(text string) string {
		data, _ := base64.RawURLEncoding.DecodeString(text) // what is none is another number
		return fmt.Sprintf("%x", data)
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		return number(g.key.N) == fmt.Sprintf("%x", key.N.Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4, X, Y
		return err == nil && "04"+number(g.key.X)+number(g.key.Y) == fmt.Sprintf("%x", point)
	}
	return false
}
