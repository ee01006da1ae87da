package fleetapi_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"wellkey/internal/secret"
	"wellkey/registrar/fleetapi"
)

func TestStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    fleetapi.ReasonCode // "" = up
		text    string
	}{
		"up":          {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }, "", ""},
		"down":        {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, fleetapi.Unavailable, "status 503"},
		"says not ok": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("maintenance\x1b[2J")) }, fleetapi.Unavailable, `"maintenance\x1b[2J"`},
		"cut":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fleetapi.ConnectionReset, "asking whether Tesla is up in na"},
		"asks for more": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.com", http.StatusFound)
		}, fleetapi.Unavailable, "status 302"},
	} {
		t.Run(name, func(t *testing.T) {
			var got *http.Request
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r; tc.handler(w, r) }))
			err := statusClient(t, server.URL).Status(context.Background(), fleetapi.NA)
			server.Close() // waits for the handler
			if got == nil || got.URL.Path != "/status" || got.Header.Get("Authorization") != "" {
				t.Fatalf("request %+v, want one for /status without a token", got)
			}
			refused, ok := errors.AsType[*fleetapi.Error](err)
			if ok != (tc.want != "") || ok && (refused.Reason() != tc.want || !strings.Contains(err.Error(), tc.text)) {
				t.Errorf("Status: %v, want %q with %q", err, tc.want, tc.text)
			}
		})
	}
}

func TestStatusEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := statusClient(t, "http://127.0.0.1:1").Status(ctx, fleetapi.NA)
	if _, refused := errors.AsType[*fleetapi.Error](err); refused || !errors.Is(err, context.Canceled) {
		t.Errorf("Status: %v, want that it was cancelled", err)
	}
}

func statusClient(t *testing.T, url string) *fleetapi.Client {
	t.Helper()
	client, err := fleetapi.New(fleetapi.Config{
		Credentials: fleetapi.Credentials{ClientID: "id", ClientSecret: secret.New("ta-secret.x")},
		BaseURLs:    map[fleetapi.Region]string{fleetapi.NA: url},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}
