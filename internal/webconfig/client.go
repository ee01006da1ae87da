package webconfig

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"

	"wellkey/internal/loopback"
)

// tokenHeader carries the proof that a client can read the file.
const tokenHeader = "Wellkey-Local-Proof" // #nosec G101 -- the name of a field

// tokenOf returns that proof, made of the digests of the file and of what it
// names: hashes with random salts, and the private key, which nobody knows who
// cannot read them. The proof does not give them away.
func tokenOf(digests []byte) string {
	mac := hmac.New(sha256.New, digests)
	mac.Write([]byte("wellkey: this program can read the web configuration"))
	return hex.EncodeToString(mac.Sum(nil))
}

// A Client asks the listener that has the same file, on the same machine.
type Client struct {
	scheme string
	token  string // "" = none
	http   *http.Client
}

// NewClient returns a Client for the file at path; "" is a listener without one.
// It trusts the very certificate that the file names, whatever its name, and
// keeps no connection.
func NewClient(path string) (*Client, error) {
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: it stays on this host
	c := &Client{scheme: "http", http: &http.Client{Transport: transport}}
	if path == "" {
		return c, nil
	}
	f, err := load(path)
	if err != nil {
		return nil, err
	}
	if len(f.users) > 0 || f.tls != nil {
		c.token = f.token
	}
	if f.tls != nil {
		c.scheme = "https"
		transport.TLSClientConfig = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			InsecureSkipVerify: true, // #nosec G402 -- the names in it are those for others; below, it must be the very one
			VerifyConnection: func(s tls.ConnectionState) error {
				if !isLeaf(f.tls, s) {
					return errors.New("the listener has another certificate than the cert_file of admin_web_config, which it follows within seconds")
				}
				return nil
			},
		}
	}
	return c, nil
}

// Get asks for a path. The proof goes to this machine only.
func (c *Client) Get(ctx context.Context, addr, path string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.scheme+"://"+addr+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.token != "" && isOurs(addr) {
		req.Header.Set(tokenHeader, c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	plain := c.scheme == "http" && resp.StatusCode == http.StatusBadRequest // what a listener with TLS says to HTTP
	if plain || resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		_ = resp.Body.Close() // nothing is read of it
		return nil, fmt.Errorf("it answers with status %d: it has an admin_web_config that this command does not know, or not as it is now", resp.StatusCode)
	}
	return resp, nil
}

// isOurs reports whether an address is one of this machine.
func isOurs(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if loopback.Is(host) {
		return true
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return false
	}
	ours, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range ours {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}
