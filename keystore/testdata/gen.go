//go:build ignore

// Gen writes the key files of this directory: good-* are read, bad-* are refused.
// None of these keys is used anywhere. Run it from the keystore directory:
//
//	go run ./testdata/gen.go
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf16"
)

var (
	oidEC   = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidK256 = asn1.ObjectIdentifier{1, 3, 132, 0, 10}
)

type algorithm struct {
	OID        asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

type spki struct {
	Algorithm algorithm
	Key       asn1.BitString
}

type sec1 struct {
	Version    int
	Scalar     []byte
	Parameters asn1.RawValue  `asn1:"optional"` // with its explicit tag 0
	Public     asn1.BitString `asn1:"optional,explicit,tag:1"`
}

type pkcs8 struct {
	Version   int
	Algorithm algorithm
	Private   []byte
	Public    asn1.BitString `asn1:"optional,tag:1"`
}

func main() {
	key, other := p256("one"), p256("two")
	point := must(key.PublicKey.Bytes())
	scalar := must(key.Bytes())
	public := block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(key.Public())))
	private := block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key)))
	inPKCS8 := block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	parameters := block("EC PARAMETERS", der(oidP256))
	certificate := newCertificate(key)

	write("good-spki.pem", public)
	write("good-sec1.pem", private)
	write("good-pkcs8.pem", inPKCS8)
	write("good-ec-parameters.pem", parameters+private)
	write("good-crlf.pem", strings.ReplaceAll(public, "\n", "\r\n"))
	write("good-sec1-crlf.pem", strings.ReplaceAll(parameters+private, "\n", "\r\n"))
	write("good-cr.pem", strings.ReplaceAll(public, "\n", "\r"))
	write("good-bom.pem", "\ufeff"+public)
	write("good-white-space.pem", "\n \t\n"+public+"\n\n")
	write("good-indented.pem", "  "+strings.ReplaceAll(strings.TrimSuffix(public, "\n"), "\n", "\n  ")+"\n")
	write("good-no-final-newline.pem", strings.TrimSuffix(public, "\n"))
	write("good-long-line.pem", unwrap(public))
	write("good-short-lines.pem", strings.Replace(public, "MFkw", "MFkw\n", 1))
	write("good-everything.pem", "\ufeff\r\n"+strings.ReplaceAll(unwrap(public), "\n", " \r\n")+" ")
	write("good-sec1-without-public.pem", block("EC PRIVATE KEY", der(sec1{Version: 1, Scalar: scalar, Parameters: tagged(oidP256)})))
	write("good-pkcs8-v2.pem", block("PRIVATE KEY", der(pkcs8{
		Version: 1, Algorithm: algorithm{oidEC, raw(oidP256)}, Public: bits(point),
		Private: der(sec1{Version: 1, Scalar: scalar}),
	})))

	// What is no key in PEM at all.
	write("bad-empty.pem", "")
	write("bad-blank.pem", "\ufeff \r\n\n")
	write("bad-huge.pem", public+strings.Repeat("#", 5000))
	write("bad-huge-blank.pem", strings.Repeat("\n", 5000))
	write("bad-chain.pem", strings.Repeat(certificate, 10))
	write("bad-html.pem", "<!DOCTYPE html>\n<html><body>Log in</body></html>\n")
	write("bad-html-with-key.pem", "<pre>\n"+public+"</pre>\n")
	write("bad-json.pem", string(must(json.Marshal(map[string]string{"public_key": public}))))
	write("bad-utf16.pem", toUTF16(public))
	write("bad-utf16-private.pem", toUTF16(private))
	write("bad-public.der", string(decode(public)))
	write("bad-private.der", string(decode(private)))
	write("bad-pkcs8.der", string(decode(inPKCS8)))
	write("bad-certificate.der", string(decode(certificate)))
	write("bad-openssh.pem", block("OPENSSH PRIVATE KEY", []byte("openssh-key-v1\x00")))
	write("bad-openssh.pub", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY= me@example\n")
	write("bad-hex.txt", hex.EncodeToString(point)+"\n")

	// PEM that is damaged or more than one key.
	write("bad-one-line.pem", strings.ReplaceAll(public, "\n", " ")+"\n")
	write("bad-escaped.pem", strings.ReplaceAll(public, "\n", `\n`)+"\n")
	write("bad-yaml.yml", "key: "+public)
	write("bad-no-end.pem", strings.Split(public, "-----END")[0])
	write("bad-no-begin.pem", strings.SplitAfterN(public, "\n", 2)[1])
	write("bad-two-begins.pem", strings.Split(public, "-----END")[0]+public)
	write("bad-other-end.pem", strings.Replace(public, "END PUBLIC", "END OTHER", 1))
	write("bad-base64.pem", strings.Replace(public, "MF", "M*", 1))
	write("bad-padding-bits.pem", strings.Replace(public, "A==\n", "B==\n", 1))
	write("bad-no-body.pem", "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n")
	write("bad-text-before.pem", "My key:\n"+public)
	write("bad-text-after.pem", private+"that was my key\n")
	write("bad-headers.pem", strings.Replace(public, "KEY-----\n", "KEY-----\nComment: mine\n\n", 1))
	write("bad-two-keys.pem", public+block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(other.Public()))))
	write("bad-pair.pem", private+public)
	write("bad-key-and-certificate.pem", inPKCS8+certificate)
	write("bad-parameters-public.pem", parameters+public)
	write("bad-parameters.pem", parameters)
	write("bad-type.pem", block("DH PARAMETERS", []byte{0x30, 0}))
	write("bad-certificate.pem", certificate)
	write("bad-request.pem", newRequest(key))

	// Keys that vehicles do not know.
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	write("bad-rsa-public.pem", block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(rsaKey.Public()))))
	write("bad-rsa-public-pkcs1.pem", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)))
	write("bad-rsa-private.pem", block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(rsaKey))))
	write("bad-rsa-private-pkcs1.pem", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)))
	ed := ed25519.NewKeyFromSeed(seed("ed25519"))
	write("bad-ed25519.pem", block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(ed.Public()))))
	write("bad-ed25519-private.pem", block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ed))))
	write("bad-unknown-algorithm.pem", block("PUBLIC KEY", der(spki{algorithm{OID: asn1.ObjectIdentifier{1, 2, 3}}, bits(point)})))
	write("bad-dsa.pem", block("DSA PRIVATE KEY", der([]int{0, 1, 2})))
	for _, curve := range []elliptic.Curve{elliptic.P224(), elliptic.P384(), elliptic.P521()} {
		k := must(ecdsa.ParseRawPrivateKey(curve, append(make([]byte, (curve.Params().BitSize+7)/8-28), seed("curve")[:28]...)))
		name := strings.ReplaceAll(strings.ToLower(curve.Params().Name), "-", "")
		write("bad-"+name+".pem", block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(k.Public()))))
		if curve == elliptic.P384() {
			write("bad-p384-private.pem", block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(k))))
			write("bad-p384-parameters.pem", block("EC PARAMETERS", der(asn1.ObjectIdentifier{1, 3, 132, 0, 34}))+private)
		}
	}
	write("bad-secp256k1.pem", block("PUBLIC KEY", der(spki{algorithm{oidEC, raw(oidK256)}, bits(point)})))
	write("bad-unknown-curve.pem", block("PUBLIC KEY", der(spki{algorithm{oidEC, raw(asn1.ObjectIdentifier{1, 2, 3})}, bits(point)})))
	write("bad-no-curve.pem", block("PUBLIC KEY", der(spki{algorithm{OID: oidEC}, bits(point)})))
	write("bad-explicit.pem", block("PUBLIC KEY", der(spki{algorithm{oidEC, raw(explicit(point))}, bits(point)})))
	write("bad-explicit-private.pem", block("EC PARAMETERS", der(explicit(point)))+
		block("EC PRIVATE KEY", der(sec1{1, scalar, tagged(explicit(point)), bits(point)})))
	write("bad-encrypted.pem", block("ENCRYPTED PRIVATE KEY", []byte{0x30, 0}))
	write("bad-encrypted-headers.pem", strings.Replace(private, "KEY-----\n",
		"KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n", 1))

	// P-256 keys with something wrong inside.
	compressed := elliptic.MarshalCompressed(elliptic.P256(), key.X, key.Y)
	hybrid := append([]byte{6 | point[64]&1}, point[1:]...)
	off := bytes.Clone(point)
	off[64] ^= 1
	for name, p := range map[string][]byte{
		"compressed": compressed, "hybrid": hybrid, "off-curve": off, "infinity": {0}, "no-point": {},
	} {
		write("bad-"+name+".pem", block("PUBLIC KEY", der(spki{algorithm{oidEC, raw(oidP256)}, bits(p)})))
	}
	write("bad-compressed-private.pem", block("EC PRIVATE KEY", der(sec1{1, scalar, tagged(oidP256), bits(compressed)})))
	write("bad-halves.pem", block("EC PRIVATE KEY", der(sec1{1, scalar, tagged(oidP256), bits(must(other.PublicKey.Bytes()))})))
	write("bad-halves-pkcs8.pem", block("PRIVATE KEY", der(pkcs8{
		1, algorithm{oidEC, raw(oidP256)}, der(sec1{Version: 1, Scalar: scalar}), bits(must(other.PublicKey.Bytes())),
	})))
	write("bad-zero-scalar.pem", block("EC PRIVATE KEY", der(sec1{Version: 1, Scalar: make([]byte, 32), Parameters: tagged(oidP256)})))
	write("bad-long-scalar.pem", block("EC PRIVATE KEY", der(sec1{Version: 1, Scalar: append([]byte{1}, scalar...), Parameters: tagged(oidP256)})))
	write("bad-sec1-no-curve.pem", block("EC PRIVATE KEY", der(sec1{Version: 1, Scalar: scalar})))
	write("bad-sec1-version.pem", block("EC PRIVATE KEY", der(sec1{Version: 2, Scalar: scalar, Parameters: tagged(oidP256)})))
	write("bad-pkcs8-version.pem", block("PRIVATE KEY", der(pkcs8{
		Version: 2, Algorithm: algorithm{oidEC, raw(oidP256)}, Private: der(sec1{Version: 1, Scalar: scalar}),
	})))
	write("bad-pkcs8-inner-curve.pem", block("PRIVATE KEY", der(pkcs8{
		Algorithm: algorithm{oidEC, raw(oidP256)}, Private: der(sec1{Version: 1, Scalar: scalar, Parameters: tagged(oidK256)}),
	})))
	write("bad-unused-bits.pem", block("PUBLIC KEY", der(spki{algorithm{oidEC, raw(oidP256)}, asn1.BitString{Bytes: point, BitLength: 8*len(point) - 4}})))
	write("bad-primitive.pem", block("PUBLIC KEY", append([]byte{0x10}, decode(public)[1:]...)))
	write("bad-wrong-label.pem", block("PRIVATE KEY", decode(private)))
	write("bad-trailing-der.pem", block("PUBLIC KEY", append(decode(public), 0)))
}

func seed(name string) []byte {
	sum := sha256.Sum256([]byte("wellkey testdata " + name))
	return sum[:]
}

func p256(name string) *ecdsa.PrivateKey {
	return must(ecdsa.ParseRawPrivateKey(elliptic.P256(), seed(name)))
}

// explicit spells P-256 out (SEC 1, section C.2).
func explicit(point []byte) any {
	curve := elliptic.P256().Params()
	type field struct {
		OID   asn1.ObjectIdentifier
		Prime *big.Int
	}
	type coefficients struct{ A, B []byte }
	return struct {
		Version  int
		Field    field
		Curve    coefficients
		Base     []byte
		Order    *big.Int
		Cofactor int
	}{
		1,
		field{asn1.ObjectIdentifier{1, 2, 840, 10045, 1, 1}, curve.P},
		coefficients{new(big.Int).Sub(curve.P, big.NewInt(3)).Bytes(), curve.B.Bytes()},
		append(append([]byte{4}, curve.Gx.Bytes()...), curve.Gy.Bytes()...),
		curve.N,
		1,
	}
}

func newCertificate(key crypto.Signer) string {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "key.example"}, DNSNames: []string{"key.example"},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC),
	}
	return block("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)))
}

func newRequest(key crypto.Signer) string {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "key.example"}}
	return block("CERTIFICATE REQUEST", must(x509.CreateCertificateRequest(rand.Reader, template, key)))
}

func toUTF16(s string) string {
	out := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(s)) {
		out = append(out, byte(unit), byte(unit>>8))
	}
	return string(out)
}

// unwrap puts all base64 of a block into one line.
func unwrap(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := len(lines) - 1
	return lines[0] + "\n" + strings.Join(lines[1:last], "") + "\n" + lines[last] + "\n"
}

func der(v any) []byte        { return must(asn1.Marshal(v)) }
func raw(v any) asn1.RawValue { return asn1.RawValue{FullBytes: der(v)} }
func tagged(v any) asn1.RawValue {
	return asn1.RawValue{Class: 2, Tag: 0, IsCompound: true, Bytes: der(v)}
}
func bits(point []byte) asn1.BitString {
	return asn1.BitString{Bytes: point, BitLength: 8 * len(point)}
}

func block(label string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: content}))
}

func decode(text string) []byte {
	b, _ := pem.Decode([]byte(text))
	return b.Bytes
}

func write(name, content string) {
	if err := os.WriteFile(filepath.Join("testdata", name), []byte(content), 0o644); err != nil {
		panic(fmt.Sprint("writing: ", err))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
