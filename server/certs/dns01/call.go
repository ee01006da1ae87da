package dns01

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"wellkey/internal/secret"
)

// maxAnswer is how much of an answer is read.
const maxAnswer = 1 << 20

// newClient returns a client for the API of a provider. It follows no redirect,
// which would take our credentials elsewhere.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // a few calls in sixty days
	return &http.Client{
		Transport:     transport,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// call sends body as JSON, unless it is nil, and returns the status and the
// answer's body. prepare sets what else the request has; the secrets in that are
// taken out of the answer, should it repeat them.
func call(ctx context.Context, client *http.Client, method, address string, body any, prepare func(*http.Request), secrets ...secret.Text) (status int, answer []byte, err error) {
	var data []byte
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return 0, nil, fmt.Errorf("encoding the request: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(data))
	if err != nil {
		return 0, nil, errors.New("the URL of the provider cannot be read")
	}
	request.Header.Set("User-Agent", "wellkey")
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	prepare(request)
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, bare(err, request.URL)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return 0, nil, bare(err, request.URL)
	}
	said := string(answer)
	for _, s := range secrets {
		said = s.Hide(said)
	}
	return response.StatusCode, []byte(said), nil
}

// bare takes the URL out of err: its path or query may hold what is nobody's
// business.
func bare(err error, u *url.URL) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("asking %s: %w", u.Host, err)
}
