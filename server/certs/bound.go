package certs

import (
	"fmt"
	"io"
	"net/http"
	"reflect"
	"unsafe"

	"github.com/caddyserver/certmagic"
)

// largestAnswer is far above what a CA sends.
const largestAnswer = 1 << 20

// bound wraps a transport so that no answer can fill the memory: acmez reads them
// whole, whatever their size.
type bound struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bound) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = &boundBody{resp.Body, largestAnswer}
	}
	return resp, err
}

// CloseIdleConnections is what http.Client.CloseIdleConnections looks for.
func (b bound) CloseIdleConnections() {
	if closer, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

type boundBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("the answer is larger than %d bytes", largestAnswer)
	}
	return n, err
}

// shareClient makes an issuer of certmagic use the client that all domains share,
// with its bound, and reports whether it could. certmagic makes one for each issuer,
// and with it connections that nobody would use again, and has no option for that;
// so it is taken by name; a test notices where it is not there any more.
func shareClient(iss *certmagic.ACMEIssuer, client *http.Client) bool {
	field := reflect.ValueOf(iss).Elem().FieldByName("httpClient")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*http.Client]() {
		return false
	}
	*(**http.Client)(unsafe.Pointer(field.UnsafeAddr())) = client // #nosec G103 -- of the type that was checked above
	return true
}
