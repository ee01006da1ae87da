package keystore_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"testing"

	"wellkey/keystore"
)

func TestKeyForms(t *testing.T) {
	key := testKey(t)
	if got, want := key.PEM(), testdata(t, "good-spki.pem"); !bytes.Equal(got, want) || len(got) != 178 {
		t.Errorf("PEM: got %d bytes %q, want %q", len(got), got, want)
	}
	if key.Fingerprint() != testFingerprint || fmt.Sprint(key) != testFingerprint {
		t.Errorf("fingerprint: got %s and %v, want %s", key.Fingerprint(), key, testFingerprint)
	}
	block, _ := pem.Decode(key.PEM())
	sum := sha256.Sum256(block.Bytes)
	if hex.EncodeToString(sum[:]) != testFingerprint {
		t.Error("the fingerprint is not that of the SubjectPublicKeyInfo")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	point, err := public.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if public.(*ecdsa.PublicKey).Curve != elliptic.P256() || key.Hex() != hex.EncodeToString(point) || len(key.Hex()) != 130 {
		t.Errorf("hex: got %s, want %x", key.Hex(), point)
	}
}

func TestZeroKey(t *testing.T) {
	var none keystore.Key
	if !none.IsZero() || none.PEM() != nil || none.Hex() != "" || none.Fingerprint() != "" || none.String() != "" {
		t.Errorf("the zero key is not empty: %v %q %q", none, none.PEM(), none.Hex())
	}
	if testKey(t).IsZero() || testKey(t) == none {
		t.Error("a key is taken for none")
	}
}
