package fleetsim

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"wellkey/registrar/fleetapi"
)

// maxKey is the largest key that is taken. Tesla's limit is unknown, but an RSA
// key of 2048 bits, with 451 bytes of PEM, is too large for it.
const maxKey = 450

func newKeyClient(c Config) *http.Client {
	return &http.Client{
		Timeout:       20 * time.Second, // Tesla's is unknown; a register call has 30
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:       c.Dial,
			TLSClientConfig:   &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives: true,
		},
	}
}

// download fetches the key of domain and returns it as hex, or what Tesla would
// write after "error: ". Of those texts only "too large" and "403 forbidden"
// were ever seen; the others are ours.
func (s *Sim) download(ctx context.Context, domain string) (key, problem string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+domain+fleetapi.KeyPath, nil)
	if err != nil {
		return "", "invalid address"
	}
	req.Header.Set("User-Agent", "fleetsim") // Tesla's is unknown
	resp, err := s.keys.Do(req)
	if err != nil {
		return "", downloadProblem(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Sprintf("%d %s", resp.StatusCode, strings.ToLower(http.StatusText(resp.StatusCode)))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKey+1))
	switch {
	case err != nil:
		return "", downloadProblem(err)
	case len(body) > maxKey:
		return "", "too large"
	}
	block, _ := pem.Decode(body)
	if block == nil || block.Type != "PUBLIC KEY" {
		return "", "not a public key"
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := parsed.(*ecdsa.PublicKey)
	if err != nil || !ok || public.Curve != elliptic.P256() {
		return "", "not a secp256r1 key"
	}
	point, err := public.Bytes()
	if err != nil {
		return "", "not a secp256r1 key"
	}
	return hex.EncodeToString(point), ""
}

func downloadProblem(err error) string {
	var verify *tls.CertificateVerificationError
	var deadline interface{ Timeout() bool }
	switch {
	case errors.As(err, &verify):
		return "certificate verify failed"
	case errors.As(err, &deadline) && deadline.Timeout():
		return "timeout"
	}
	return "connection failed"
}
