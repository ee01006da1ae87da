package fleetapi_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/registrar/fleetapi"
)

// claim returns a token that claims payload.
func claim(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

// FuzzAnswers gives the client any answer to any of its requests, with our secret
// and token in it where the text says so. What comes out is what the answer says to
// everybody who reads it, or an Error with a row of the catalogue; no token counts
// for longer than a day, none is sent on that is no header, and neither the error
// nor the log has one of the secrets.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"` + claim(`{"gty":"client-credentials","exp":28800,"iat":0,"aud":["https://a"],"scp":"openid"}`) + `","expires_in":28800,"token_type":"Bearer"}`,
		`{"access_token":"` + claim(`{"amr":["pwd"],"ou_code":"NA"}`) + `","expires_in":28800}`,
		`{"access_token":"` + claim(`{"gty":"client-credentials","exp":1,"iat":2}`) + `","expires_in":-1}`,
		`{"access_token":"a","access_token":"b","Access_Token":"c"}`, `{"access_token":"a b","expires_in":1e308}`, `{"access_token":["a"]}`, `{"access_token":"a","expires_in":"8h"}`,
		`{"access_token":"a\r\nX: y"}`, `{"access_token":"` + claim(`{"aud":{"a":1},"exp":"x"}`) + `"}`, `{"access_token":"a","error":"SECRET"}`, `SECRET`, `TOKEN`, `{"error":"TOKEN`,
		`{"response":{"public_key":"04aa"}}`, `{"response":{"public_key":"04aa","PUBLIC_KEY":"04bb"}}`, `{"response":{"public_key":""}}`, `{"response":[]}`, `{"response":null,"error":{"a":"SECRET"}}`,
		`{"response":{"account_id":"a","domain":"other.example","public_key":"04aa"}}`, `{"response":{"account_id":7}}`, `{"response":{}}`, `{"error":"","error_description":null,"messages":{"domain":["is bad"]}}`,
		`{"response":` + strings.Repeat(`{"a":`, 9999), strings.Repeat("[", 10001), "<html>SECRET</html>", "", "null", "\xff", `{"\u0000":1}`, `{"txid":"SECRET","error":"\u202e\u001b[2J"}`,
	} {
		for _, status := range []int{200, 204, 307, 401, 404, 412, 500} {
			f.Add(status, body, "0")
		}
	}
	codes := map[fleetapi.ReasonCode]bool{}
	for _, row := range fleetapi.Catalogue() {
		codes[row.Code] = true
	}
	f.Fuzz(func(t *testing.T, status int, body, header string) {
		if status < 100 || status > 999 {
			return // net/http does not give these
		}
		body = strings.ReplaceAll(body, "SECRET", canarySecret)
		core, logs := observer.New(zapcore.DebugLevel)
		logged := func(c *fleetapi.Config) { c.Logger = zap.New(core) }
		respond := func(r *http.Request) (*http.Response, error) {
			body := body
			if r.Header.Get("Authorization") != "" { // before that, there is no token that it could repeat
				body = strings.ReplaceAll(body, "TOKEN", canaryToken)
			}
			return answer(status, body, "Retry-After", header, "X-Txid", header, "Location", "https://evil.example/"+header, "Date", header)
		}
		failed := func(err error) {
			if err == nil {
				return
			}
			var e *fleetapi.Error
			if !errors.As(err, &e) || !codes[e.Reason()] {
				t.Fatalf("%T %v is no row of the catalogue", err, err)
			}
			if errors.Is(err, fleetapi.ErrNotRegistered) && (status/100 != 4 || !json.Valid([]byte(body))) {
				t.Fatalf("status %d, %q passes for not registered", status, body)
			}
			for _, text := range []string{err.Error(), e.Text, e.TxID, e.Cause(), e.Fix()} {
				if strings.Contains(text, canarySecret) || strings.Contains(text, canaryToken) {
					t.Fatalf("the error has a secret: %q", text)
				}
			}
		}

		fake := on(fleetapi.OpToken, respond)
		c := newClient(t, fake, logged)
		info, err := c.Token(t.Context(), fleetapi.NA)
		failed(err)
		if left := time.Until(info.ExpiresAt); err == nil && (left > 24*time.Hour || status/100 != 2 || info.Region != fleetapi.NA) {
			t.Fatalf("status %d gives %+v", status, info)
		}
		if err == nil {
			fake.partner = func(r *http.Request) (*http.Response, error) {
				if strings.ContainsFunc(r.Header.Get("Authorization"), func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("the header is %q", r.Header.Get("Authorization"))
				}
				return answer(200, `{"response":{"public_key":"04"}}`)
			}
			if _, err := c.PublicKey(t.Context(), fleetapi.NA, domain); err != nil && info.ExpiresAt.After(time.Now()) {
				t.Errorf("with a good token: %v", err)
			}
		}

		fake = on(fleetapi.OpPublicKey, respond)
		key, err := newClient(t, fake, logged).PublicKey(t.Context(), fleetapi.EU, domain)
		failed(err)
		body = strings.ReplaceAll(body, "TOKEN", canaryToken)
		var said struct {
			Response struct {
				Key string `json:"public_key"`
			} `json:"response"`
		}
		if err == nil && (json.Unmarshal([]byte(body), &said) != nil || key == "" || key != said.Response.Key || status/100 != 2) {
			t.Fatalf("status %d, %q gives the key %q", status, body, key)
		}
		if n := len(fake.requests); n > 4 { // at most one more token, and one more try with it
			t.Fatalf("%d requests for one question", n)
		}

		_, err = newClient(t, on(fleetapi.OpRegister, respond), logged).Register(t.Context(), fleetapi.EU, domain)
		failed(err)
		if err == nil && status/100 != 2 {
			t.Fatalf("status %d passes for registered", status)
		}
		for _, entry := range logs.All() {
			text, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}).EncodeEntry(entry.Entry, entry.Context)
			if err != nil || strings.Contains(text.String(), canarySecret) || strings.Contains(text.String(), canaryToken) {
				t.Fatalf("%v: a line of the log has a secret: %s", err, text)
			}
		}
	})
}
