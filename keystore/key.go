package keystore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
)

// pointSize is the length of an uncompressed P-256 point (SEC 1, section
// 2.3.3): the byte 0x04 and two coordinates of 32 bytes.
const pointSize = 65

// spkiPrefix is what stands before the point in the SubjectPublicKeyInfo of
// every P-256 key (RFC 5480): the lengths, id-ecPublicKey, prime256v1, and a bit
// string with no unused bits.
const spkiPrefix = "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"

// A Key is the P-256 public key of one domain. It is an immutable value, safe
// to copy and to compare with ==; the zero Key stands for "no key". Every other
// Key holds a point on the curve.
type Key struct {
	point [pointSize]byte
}

// IsZero reports whether k is the zero Key, "no key".
func (k Key) IsZero() bool { return k == Key{} }

// Hash spreads keys evenly, for tables: the coordinates of a key are random.
func (k Key) Hash() uint64 { return binary.BigEndian.Uint64(k.point[1:]) }

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

func (k Key) spki() []byte { return append([]byte(spkiPrefix), k.point[:]...) }

// keyOfPoint returns the Key of a SEC 1 point.
func keyOfPoint(point []byte) (Key, *ParseError) {
	if len(point) == 1+(pointSize-1)/2 && (point[0] == 2 || point[0] == 3) {
		return Key{}, refuse(ReasonCompressedPoint)
	}
	if len(point) != pointSize || point[0] != 4 {
		return Key{}, refuse(ReasonMalformed)
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err != nil {
		return Key{}, refuse(ReasonNotOnCurve)
	}
	return Key{point: [pointSize]byte(point)}, nil
}
