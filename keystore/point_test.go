package keystore_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"wellkey/keystore"
)

func TestParsePoint(t *testing.T) {
	key := testKey(t)
	point, err := hex.DecodeString(key.Hex())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(key.PEM())
	for name, s := range map[string]string{
		"hex":             key.Hex(),
		"upper case":      strings.ToUpper(key.Hex()),
		"white space":     " " + key.Hex() + "\r\n",
		"base64":          base64.StdEncoding.EncodeToString(point),
		"base64 for URLs": base64.RawURLEncoding.EncodeToString(point),
		"base64 of SPKI":  base64.StdEncoding.EncodeToString(block.Bytes),
		"PEM":             string(key.PEM()),
		"PEM with CRLF":   string(testdata(t, "good-crlf.pem")),
	} {
		if got, err := keystore.ParsePoint(s); err != nil || got != key {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

func TestParsePointRefuses(t *testing.T) {
	key := testKey(t)
	for _, test := range []struct {
		name, s string
		reason  keystore.Reason
		private bool
	}{
		{"nothing", " \n", keystore.ReasonEmpty, false},
		{"huge", strings.Repeat("04", 3000), keystore.ReasonTooLarge, false},
		{"words", "no such partner!", keystore.ReasonNotPEM, false},
		{"short", key.Hex()[:128], keystore.ReasonMalformed, false},
		{"long", key.Hex() + "00", keystore.ReasonMalformed, false},
		{"compressed", "02" + key.Hex()[2:66], keystore.ReasonCompressedPoint, false},
		{"off the curve", key.Hex()[:128] + "00", keystore.ReasonNotOnCurve, false},
		{"all zero", strings.Repeat("00", 65), keystore.ReasonMalformed, false},
		{"RSA in PEM", string(testdata(t, "bad-rsa-public.pem")), keystore.ReasonRSA, false},
		{"RSA in base64", base64.StdEncoding.EncodeToString(pemBytes(t, "bad-rsa-public.pem")), keystore.ReasonRSA, false},
		{"private key", string(testdata(t, "good-sec1.pem")), keystore.ReasonBlockType, true},
	} {
		got, err := keystore.ParsePoint(test.s)
		var refusal *keystore.ParseError
		if !errors.As(err, &refusal) || refusal.Reason != test.reason || refusal.Private != test.private || !got.IsZero() {
			t.Errorf("%s: got %v, %v, want %s", test.name, got, err, test.reason)
		}
	}
}

func TestParsePointErrorText(t *testing.T) {
	for s, want := range map[string]string{
		"words!": "is not a P-256 key: neither hexadecimal, nor base64, nor PEM; the point of a public key is expected, 130 hexadecimal characters that begin with 04",
		string(testdata(t, "good-sec1.pem")): "holds a private key where a public key belongs;" +
			" write the public key again with `openssl ec -in private-key.pem -pubout -out public-key.pem`",
	} {
		if _, err := keystore.ParsePoint(s); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestNormalizeFingerprint(t *testing.T) {
	upper := strings.ToUpper(testFingerprint)
	var colons []string
	for i := 0; i < len(upper); i += 2 {
		colons = append(colons, upper[i:i+2])
	}
	for _, s := range []string{
		testFingerprint, upper, "SHA256:" + testFingerprint, "sha256: " + upper, strings.Join(colons, ":"),
		strings.Join(colons, " "), "SHA256:" + strings.Join(colons, ":") + "\n",
	} {
		if got, err := keystore.NormalizeFingerprint(s); err != nil || got != testFingerprint {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"":                                "a fingerprint has 64 hexadecimal characters, and this has 0",
		testFingerprint[1:]:               "a fingerprint has 64 hexadecimal characters, and this has 63",
		"SHA256:" + testFingerprint + "0": "a fingerprint has 64 hexadecimal characters, and this has 65",
		"x" + testFingerprint[1:]:         "a fingerprint has hexadecimal characters only, and this has others",
	} {
		if got, err := keystore.NormalizeFingerprint(s); err == nil || err.Error() != want || got != "" {
			t.Errorf("%q: got %q, %v, want %s", s, got, err, want)
		}
	}
}

func pemBytes(t *testing.T, name string) []byte {
	t.Helper()
	block, _ := pem.Decode(testdata(t, name))
	if block == nil {
		t.Fatalf("%s holds no PEM block", name)
	}
	return block.Bytes
}
