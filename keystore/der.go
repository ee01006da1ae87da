package keystore

import (
	"bytes"
	"crypto/ecdh"
	"encoding/asn1"
)

const (
	causeRSAPublic  = "holds an RSA public key, and vehicles know P-256 only"
	causeRSAPrivate = "holds an RSA private key, and vehicles know P-256 only"

	oidEC   = "1.2.840.10045.2.1"
	oidP256 = "1.2.840.10045.3.1.7"
)

// otherCurves names the curves that turn up in key files (RFC 5480, SEC 2,
// RFC 5639, GB/T 32918).
var otherCurves = map[string]string{
	"1.2.840.10045.3.1.1":   "P-192 (prime192v1)",
	"1.3.132.0.33":          "P-224 (secp224r1)",
	"1.3.132.0.34":          "P-384 (secp384r1)",
	"1.3.132.0.35":          "P-521 (secp521r1)",
	"1.3.132.0.10":          "secp256k1",
	"1.3.36.3.3.2.8.1.1.7":  "brainpoolP256r1",
	"1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
	"1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
	"1.2.156.10197.1.301":   "SM2",
}

// otherAlgorithms names the algorithms that turn up in key files (RFC 3279,
// RFC 8410).
var otherAlgorithms = map[string]string{
	"1.2.840.10040.4.1":  "a DSA key",
	"1.2.840.113549.1.3": "a Diffie-Hellman key",
	"1.3.101.110":        "an X25519 key",
	"1.3.101.111":        "an X448 key",
	"1.3.101.112":        "an Ed25519 key",
	"1.3.101.113":        "an Ed448 key",
}

// parseSPKI reads a SubjectPublicKeyInfo.
func parseSPKI(der []byte) (Key, *ParseError) {
	outer := cursor{rest: der}
	body := cursor{rest: outer.next(asn1.ClassUniversal, asn1.TagSequence)}
	algorithm := body.next(asn1.ClassUniversal, asn1.TagSequence)
	bits := body.next(asn1.ClassUniversal, asn1.TagBitString)
	if !outer.done() || !body.done() {
		return Key{}, refuse(ReasonMalformed)
	}
	if refusal := checkAlgorithm(algorithm, causeRSAPublic); refusal != nil {
		return Key{}, refusal
	}
	key, refusal := keyOfBits(bits)
	if refusal == nil && !bytes.Equal(key.spki(), der) {
		refusal = refuse(ReasonMalformed) // Nothing else encodes this key.
	}
	return key, refusal
}

// parseSEC1 reads an ECPrivateKey and gives its public half. Inside PKCS #8 the
// curve is named outside.
func parseSEC1(der []byte, curveKnown bool) (Key, *ParseError) {
	outer := cursor{rest: der}
	body := cursor{rest: outer.next(asn1.ClassUniversal, asn1.TagSequence)}
	version := body.next(asn1.ClassUniversal, asn1.TagInteger)
	scalar := body.next(asn1.ClassUniversal, asn1.TagOctetString)
	parameters, named := body.optional(asn1.ClassContextSpecific, 0)
	wrapped, whole := body.optional(asn1.ClassContextSpecific, 1)
	if !outer.done() || !body.done() || !bytes.Equal(version, []byte{1}) {
		return Key{}, refuse(ReasonMalformed)
	}
	if named || !curveKnown {
		if refusal := checkCurve(parameters); refusal != nil {
			return Key{}, refusal
		}
	}
	key, refusal := publicHalf(scalar)
	if refusal != nil || !whole {
		return key, refusal
	}
	inner := cursor{rest: wrapped}
	bits := inner.next(asn1.ClassUniversal, asn1.TagBitString)
	if !inner.done() {
		return Key{}, refuse(ReasonMalformed)
	}
	return sameHalf(key, bits)
}

// parsePKCS8 reads a OneAsymmetricKey and gives its public half.
func parsePKCS8(der []byte) (Key, *ParseError) {
	outer := cursor{rest: der}
	body := cursor{rest: outer.next(asn1.ClassUniversal, asn1.TagSequence)}
	version := body.next(asn1.ClassUniversal, asn1.TagInteger)
	algorithm := body.next(asn1.ClassUniversal, asn1.TagSequence)
	private := body.next(asn1.ClassUniversal, asn1.TagOctetString)
	_, _ = body.optional(asn1.ClassContextSpecific, 0) // attributes, which say nothing about the key
	bits, whole := body.optional(asn1.ClassContextSpecific, 1)
	if !outer.done() || !body.done() || len(version) != 1 || version[0] > 1 {
		return Key{}, refuse(ReasonMalformed)
	}
	if refusal := checkAlgorithm(algorithm, causeRSAPrivate); refusal != nil {
		return Key{}, refusal
	}
	key, refusal := parseSEC1(private, true)
	if refusal != nil || !whole {
		return key, refusal
	}
	return sameHalf(key, bits)
}

// checkAlgorithm refuses every AlgorithmIdentifier but EC on P-256.
func checkAlgorithm(identifier []byte, causeRSA string) *ParseError {
	c := cursor{rest: identifier}
	switch oid := c.oid(); oid {
	case oidEC:
		return checkCurve(c.rest)
	case "":
		return refuse(ReasonMalformed)
	case "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10": // rsaEncryption, RSASSA-PSS
		return refuseAs(ReasonRSA, causeRSA)
	default:
		if name := otherAlgorithms[oid]; name != "" {
			return refuseAs(ReasonAlgorithm, "holds "+name+", and vehicles know P-256 only")
		}
		return refuse(ReasonAlgorithm)
	}
}

// checkCurve refuses all ECParameters but the name of P-256.
func checkCurve(parameters []byte) *ParseError {
	c := cursor{rest: parameters}
	if _, explicit := c.optional(asn1.ClassUniversal, asn1.TagSequence); explicit {
		return refuse(ReasonExplicitParameters)
	}
	switch oid := c.oid(); {
	case !c.done():
		return refuse(ReasonMalformed)
	case oid == oidP256:
		return nil
	case otherCurves[oid] != "":
		return refuseAs(ReasonCurve, "holds an EC key on the curve "+otherCurves[oid]+", and vehicles know P-256 only")
	}
	return refuse(ReasonCurve)
}

// publicHalf returns the key whose private half is scalar.
func publicHalf(scalar []byte) (Key, *ParseError) {
	var full [32]byte // Old versions of openssl leave out leading zeros.
	defer clear(full[:])
	if len(scalar) > len(full) {
		return Key{}, refuse(ReasonMalformed)
	}
	copy(full[len(full)-len(scalar):], scalar)
	private, err := ecdh.P256().NewPrivateKey(full[:])
	if err != nil {
		return Key{}, refuse(ReasonMalformed) // zero, or beyond the order of the group
	}
	return keyOfPoint(private.PublicKey().Bytes())
}

// sameHalf returns key if bits is the same public key.
func sameHalf(key Key, bits []byte) (Key, *ParseError) {
	beside, refusal := keyOfBits(bits)
	if refusal == nil && beside != key {
		refusal = refuse(ReasonHalvesDiffer)
	}
	return beside, refusal
}

// keyOfBits returns the key in the content of a bit string.
func keyOfBits(bits []byte) (Key, *ParseError) {
	if len(bits) == 0 || bits[0] != 0 { // the count of unused bits
		return Key{}, refuse(ReasonMalformed)
	}
	return keyOfPoint(bits[1:])
}

// isDER reports whether data is one or more DER sequences, or the start of one.
func isDER(data []byte) bool {
	return len(data) > 2 && data[0] == 0x30 && (data[1] >= 0x80 || len(data) == int(data[1])+2)
}

// isPrivateDER reports whether data looks like a private key in DER: unlike
// public keys and certificates these begin with a version number.
func isPrivateDER(data []byte) bool {
	if !isDER(data) {
		return false
	}
	header := 2
	if data[1] > 0x80 {
		header += int(data[1] & 0x7f)
	}
	return len(data) > header && data[header] == asn1.TagInteger
}

// A cursor walks over DER without copying, so that wiping the input wipes all.
// After a step that finds something else it stays bad.
type cursor struct {
	rest []byte
	bad  bool
}

// next returns the content of the next element, which must have that tag.
func (c *cursor) next(class, tag int) []byte {
	content, ok := c.optional(class, tag)
	c.bad = c.bad || !ok
	return content
}

// optional returns the content of the next element if it has that tag.
func (c *cursor) optional(class, tag int) ([]byte, bool) {
	var raw asn1.RawValue
	rest, err := asn1.Unmarshal(c.rest, &raw)
	if c.bad || err != nil || raw.Class != class || raw.Tag != tag {
		return nil, false
	}
	c.rest = rest
	return raw.Bytes, true
}

// oid returns the object identifier that comes next, in dots; "" if none does.
func (c *cursor) oid() string {
	var oid asn1.ObjectIdentifier
	rest, err := asn1.Unmarshal(c.rest, &oid)
	if c.bad || err != nil {
		c.bad = true
		return ""
	}
	c.rest = rest
	return oid.String()
}

// done reports whether all was as expected and nothing is left.
func (c *cursor) done() bool { return !c.bad && len(c.rest) == 0 }
