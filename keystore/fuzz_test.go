package keystore_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"regexp"
	"slices"
	"testing"

	"wellkey/keystore"
)

// content is what could be part of a key: long enough to give something away,
// and longer than any word in an error.
var content = regexp.MustCompile(`[A-Za-z0-9+/=]{20,}`)

// FuzzParse: whatever the input, nothing that leaves Parse holds a private key or
// anything else of the input, and what is accepted is a point of P-256 in its
// canonical 178 bytes.
func FuzzParse(f *testing.F) {
	for _, name := range slices.Concat(files(f, "good-*"), files(f, "bad-*")) {
		f.Add(testdata(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		parsed, err := keystore.Parse(data)
		if !bytes.Equal(data, before) {
			t.Fatal("Parse has changed its input")
		}
		if err != nil {
			checkRefusal(t, data, err)
			return
		}
		canonical := parsed.Key.PEM()
		if len(canonical) != 178 || bytes.Contains(canonical, []byte("PRIVATE")) {
			t.Fatalf("got %d bytes: %q", len(canonical), canonical)
		}
		block, rest := pem.Decode(canonical)
		if block == nil || block.Type != "PUBLIC KEY" || len(block.Headers) > 0 || len(rest) > 0 {
			t.Fatalf("not one PEM block: %q", canonical)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes) // which checks that the point is on the curve
		if err != nil {
			t.Fatal(err)
		}
		if ec, ok := public.(*ecdsa.PublicKey); !ok || ec.Curve != elliptic.P256() {
			t.Fatalf("got a %T", public)
		}
		if plain := parsed.Form == keystore.FormSPKI && len(parsed.Quirks) == 0; plain != bytes.Equal(data, canonical) {
			t.Fatalf("canonical: %v, but quirks are %v", !plain, parsed.Quirks)
		}
		again, err := keystore.Parse(canonical)
		if err != nil || again.Key != parsed.Key || again.Private || len(again.Quirks) > 0 {
			t.Fatalf("its own output: got %+v, %v", again, err)
		}
		if point, err := keystore.ParsePoint(parsed.Key.Hex()); err != nil || point != parsed.Key {
			t.Fatalf("its own point: got %v, %v", point, err)
		}
	})
}

func checkRefusal(t *testing.T, data []byte, err error) {
	t.Helper()
	var refusal *keystore.ParseError
	if !errors.As(err, &refusal) {
		t.Fatalf("got a %T", err)
	}
	if _, known := keystore.Refusals()[refusal.Reason]; !known || refusal.Cause == "" || refusal.Fix == "" {
		t.Fatalf("got %+v", refusal)
	}
	text := []byte(err.Error())
	if bytes.Contains(text, []byte("PRIVATE")) {
		t.Fatalf("got %s", text)
	}
	for _, run := range content.FindAll(data, -1) {
		if bytes.Contains(text, run) {
			t.Fatalf("the error repeats input: %s", text)
		}
	}
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) && !refusal.Private {
		t.Fatal("a private key goes unnoticed")
	}
}

// FuzzParsePoint: the same for what Tesla or a user gives.
func FuzzParsePoint(f *testing.F) {
	f.Add(testKey(f).Hex())
	for _, name := range slices.Concat(files(f, "good-*"), files(f, "bad-*")) {
		f.Add(string(testdata(f, name)))
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := keystore.ParsePoint(s)
		if err != nil {
			var refusal *keystore.ParseError
			if !errors.As(err, &refusal) || !key.IsZero() {
				t.Fatalf("got %v, %T", key, err)
			}
			return
		}
		if again, err := keystore.Parse(key.PEM()); err != nil || again.Key != key {
			t.Fatalf("its own output: got %+v, %v", again, err)
		}
	})
}
