package keystore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ParsePoint reads a public key as the Fleet API answers with it: the
// uncompressed point in hexadecimal, in either case. The point or the
// SubjectPublicKeyInfo in base64, and a public key in PEM, are read as well, in
// case Tesla changes its mind. White space around is ignored. Like [Parse] it
// refuses with a [*ParseError] that holds no content of s.
func ParsePoint(s string) (Key, error) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, beginMark) {
		parsed, err := Parse([]byte(s))
		if err == nil && parsed.Private {
			return Key{}, &ParseError{
				Reason: ReasonBlockType, Private: true,
				Cause: "holds a private key where a public key belongs",
				Fix:   fixExport,
			}
		}
		return parsed.Key, err
	}
	key, refusal := parsePoint(s)
	if refusal != nil {
		return Key{}, refusal
	}
	return key, nil
}

func parsePoint(s string) (Key, *ParseError) {
	if s == "" {
		return Key{}, refuse(ReasonEmpty)
	}
	if len(s) > MaxSize {
		return Key{}, refuse(ReasonTooLarge)
	}
	data, err := hex.DecodeString(s)
	if err != nil {
		// Either alphabet, with or without padding.
		plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
		data, err = base64.RawStdEncoding.DecodeString(plain)
	}
	switch {
	case err != nil:
		return Key{}, &ParseError{
			Reason: ReasonNotPEM,
			Cause:  "is not a P-256 key: neither hexadecimal, nor base64, nor PEM",
			Fix:    "the point of a public key is expected, 130 hexadecimal characters that begin with 04",
		}
	case isDER(data):
		return parseSPKI(data)
	}
	return keyOfPoint(data)
}

// NormalizeFingerprint returns the fingerprint that a user typed or pasted in the
// form of [Key.Fingerprint]. Upper case, colons, white space and the prefix
// "SHA256:" are tolerated.
func NormalizeFingerprint(s string) (string, error) {
	s = strings.ToLower(strings.Join(strings.Fields(s), ""))
	s = strings.TrimPrefix(s, "sha256:")
	s = strings.ReplaceAll(s, ":", "")
	if len(s) != hex.EncodedLen(sha256.Size) {
		return "", fmt.Errorf("a fingerprint has 64 hexadecimal characters, and this has %d", len(s))
	}
	if _, err := hex.DecodeString(s); err != nil {
		return "", errors.New("a fingerprint has hexadecimal characters only, and this has others")
	}
	return s, nil
}
