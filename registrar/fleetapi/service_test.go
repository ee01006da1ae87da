package fleetapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/internal/secret"
	. "wellkey/registrar/fleetapi"
)

// transport answers every request without a network.
type transport func(*http.Request) string

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(f(r))), Request: r}, nil
}

// The clients of a service share its pace, and nothing that is secret.
func TestClientsOfAService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests, tokens := 0, map[string]string{}
		service, err := NewService(Config{Transport: transport(func(r *http.Request) string {
			requests++
			if r.Method == http.MethodPost {
				form, _ := io.ReadAll(r.Body)
				if strings.Contains(string(form), "client_id=one") {
					return `{"access_token":"token-one","expires_in":28800}`
				}
				return `{"access_token":"token-two","expires_in":28800}`
			}
			tokens[r.URL.Query().Get("domain")] = r.Header.Get("Authorization")
			return `{"response":{"public_key":"04"}}`
		})})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for _, name := range []string{"one", "two"} {
			client, err := service.Client(Credentials{ClientID: name, ClientSecret: secret.New("ta-secret." + name)})
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if _, err := client.PublicKey(t.Context(), NA, name+".example.com"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if took := time.Since(began); requests != 42 || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("%d requests in %s, want 42 in 3.2 s: 10 at once, then 10 a second", requests, took)
		}
		if tokens["one.example.com"] != "Bearer token-one" || tokens["two.example.com"] != "Bearer token-two" {
			t.Errorf("tokens are %v", tokens)
		}
	})
	service, err := NewService(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Client(Credentials{ClientID: "one"}); err == nil || err.Error() != "client secret is missing" {
		t.Errorf("error %v", err)
	}
}
