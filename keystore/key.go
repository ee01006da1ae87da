package keystore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
)

// pointSize is the length of an uncompressed P-256 point (SEC 1, section
// 2.3.3): the byte 0x04 and two coordinates of 32 bytes.
const pointSize = 65

// A Key is the P-256 public key of one domain. It is an immutable value, safe
// to copy and to compare with ==; the zero Key stands for "no key". Every other
// Key holds a point on the curve.
type Key struct {
	point [pointSize]byte
}

// IsZero reports whether k is the zero Key, "no key".
func (k Key) IsZero() bool { return k == Key{} }

// PEM returns the canonical form of k, which is the only form that is ever
// served: one "PUBLIC KEY" block (RFC 7468, section 13) with a named curve, an
// uncompressed point, LF line ends and a final newline; 178 bytes. The zero Key
// gives nil.
func (k Key) PEM() []byte {
	if k.IsZero() {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.spki()})
}

// Hex returns the uncompressed point as 130 lower-case hexadecimal characters,
// the form in which the Fleet API answers with a registered key. The zero Key
// gives "".
func (k Key) Hex() string {
	if k.IsZero() {
		return ""
	}
	return hex.EncodeToString(k.point[:])
}

// Fingerprint returns the SHA-256 digest of the key's SubjectPublicKeyInfo as
// 64 lower-case hexadecimal characters: what
// "openssl pkey -pubin -outform DER | sha256sum" prints. The zero Key gives "".
func (k Key) Fingerprint() string {
	if k.IsZero() {
		return ""
	}
	sum := sha256.Sum256(k.spki())
	return hex.EncodeToString(sum[:])
}

// String returns the fingerprint, so that a key that is printed by accident is
// still readable.
func (k Key) String() string { return k.Fingerprint() }

func (k Key) spki() []byte {
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.point[:])
	if err != nil {
		panic("keystore: a Key holds a point that is not on the curve: " + err.Error())
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		panic("keystore: marshaling a P-256 key: " + err.Error())
	}
	return der
}

// keyOf returns the Key of pub. It refuses every curve but P-256 and every
// point that is not on it.
func keyOf(pub *ecdsa.PublicKey) (Key, error) {
	if pub.Curve != elliptic.P256() {
		return Key{}, errors.New("curve is " + pub.Curve.Params().Name + ", not P-256")
	}
	point, err := pub.Bytes()
	if err != nil {
		return Key{}, err
	}
	var k Key
	copy(k.point[:], point)
	return k, nil
}
