package cli_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/cli"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// TestSecretsStayOutOfMessages gives settings that are wrong in many ways, with
// the secret where it belongs and where it does not, and reads what is said.
func TestSecretsStayOutOfMessages(t *testing.T) {
	t.Parallel()
	const secret = testworld.ClientSecret
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	base := []string{"WELLKEY_DOMAIN=keys.example.com", "WELLKEY_DATA_DIR=" + dir}
	tests := []struct {
		name    string
		args    []string
		environ []string
		code    int
	}{
		{"as it must be", nil, []string{"WELLKEY_CLIENT_ID=" + testworld.ClientID, "WELLKEY_CLIENT_SECRET=" + secret}, 0},
		{"without an id", nil, []string{"WELLKEY_CLIENT_SECRET=" + secret}, 2},
		{"with a line end", nil, []string{"WELLKEY_CLIENT_ID=" + testworld.ClientID, "WELLKEY_CLIENT_SECRET=" + secret + "\n"}, 2},
		{"twice", nil, []string{"WELLKEY_CLIENT_ID=" + testworld.ClientID, "WELLKEY_CLIENT_SECRET=" + secret, "WELLKEY_CLIENT_SECRET_FILE=" + write("secret", secret)}, 2},
		{"as a flag", []string{"--client-secret=" + secret}, nil, 2},
		{"as a flag and its value", []string{"--client-secret", secret}, nil, 2},
		{"as an argument", []string{secret}, nil, 2},
		{"in place of the id", nil, []string{"WELLKEY_CLIENT_ID=" + secret, "WELLKEY_CLIENT_SECRET=" + secret}, 2},
		{"in place of its file", nil, []string{"WELLKEY_CLIENT_ID=" + testworld.ClientID, "WELLKEY_CLIENT_SECRET_FILE=" + secret}, -1},
		{"in a broken file", nil, []string{"WELLKEY_CREDENTIALS_FILE=" + write("broken.yaml", "client_id: x\nclient_secret: ["+secret+"\n")}, 2},
		{"in a file under another name", nil, []string{"WELLKEY_CREDENTIALS_FILE=" + write("misnamed.yaml", "client_id: "+testworld.ClientID+"\nsecret: "+secret+"\n")}, 2},
		{"in a file that is no YAML", nil, []string{"WELLKEY_CREDENTIALS_FILE=" + write("plain.yaml", secret+"\n")}, 2},
		{"in a file as a list", nil, []string{"WELLKEY_CREDENTIALS_FILE=" + write("list.yaml", "client_id: x\nclient_secret:\n- "+secret+"\n")}, 2},
		{"in the settings file", nil, []string{"WELLKEY_CONFIG=" + write("settings.yaml", "client_id: "+testworld.ClientID+"\nclient_secret: '"+secret+"'\ndomian: x\n")}, 2},
		{"in a URL", nil, []string{"WELLKEY_TESLA_AUTH_URL=https://me:" + strings.NewReplacer("%", "", "^", "").Replace(secret) + "@example.com"}, 2},
		{"as an HMAC key", nil, []string{"WELLKEY_ACME_EAB_KEY_ID=kid", "WELLKEY_ACME_EAB_HMAC_KEY=" + secret}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			code := cli.Run(context.Background(), cli.Process{
				Args: append([]string{"serve", "--check-config"}, tt.args...), Environ: append(tt.environ, base...), Stdout: &out, Stderr: &out,
			})
			if code != tt.code && tt.code >= 0 {
				t.Errorf("exit code is %d, want %d; said: %s", code, tt.code, &out)
			}
			for _, s := range append(spellings("the secret", secret), spelling{"half the secret", "nothing@real"}) {
				if strings.Contains(out.String(), s.text) {
					t.Errorf("it says %s: %s", s.what, &out)
				}
			}
		})
	}
}

// TestTeslaEchoesSecrets: what we sent comes back in an answer, and goes no
// further. The canary of the world looks everywhere.
func TestTeslaEchoesSecrets(t *testing.T) {
	t.Parallel()
	form := "POST /oauth2/v3/token client_secret=" + url.QueryEscape(testworld.ClientSecret)
	answers := map[string]fleetapi.Example{
		"in the words":      {Status: 400, Body: `{"error":"invalid_request","error_description":"bad value ` + testworld.ClientSecret + ` given"}`},
		"in the reference":  {Status: 400, Body: `{"error":"invalid_request","referenceID":"` + testworld.ClientSecret + `"}`},
		"in another object": {Status: 400, Body: `{"error":{"sent":{"client_secret":"` + testworld.ClientSecret + `"}}}`},
		"in a web page":     {Status: 400, Body: `<html><body>client_secret=` + testworld.ClientSecret + `</body></html>`},
		"to a stranger":     {Status: 401, Body: `{"error":"invalid_client","error_description":"` + form + `"}`},
		"to one of many":    {Status: 429, Body: form},
		"in a fault":        {Status: 503, Body: "<html>" + form + "</html>"},
		"with success":      {Status: 200, Body: `{"token":"` + form + `"}`},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRegistrable(t, withFiles)
			w.writeKey()
			w.Tesla.Answer(answer, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpToken}})
			w.run()
			w.await("the refusal", func(s admin.Status) bool { return s.Sites[0].Registrations[0].LastFailure != nil })
		})
	}
}
