package cli_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"wellkey/internal/cli"
)

// TestStatusOfTooManySites: where the status of all sites is too large to be read,
// those are shown that somebody must see to, and it is told that they are not all.
func TestStatusOfTooManySites(t *testing.T) {
	t.Parallel()
	troubled := `{"domain":"bad.example.com","summary":{"state":"action","text":"Somebody must act."}}`
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("state") {
		case "":
			megabyte := bytes.Repeat([]byte{' '}, 1<<20)
			for range 65 {
				if _, err := w.Write(megabyte); err != nil {
					return // the client has seen enough
				}
			}
		case "action":
			_, _ = fmt.Fprintf(w, `{"version":"test","sites":[%s]}`, troubled) // the client tells
		}
	}))
	defer admin.Close()
	show := func(command ...string) (code int, out, errors string) {
		for range 5 { // it waits for seconds, which a busy machine may take
			var stdout, stderr bytes.Buffer
			code = cli.Run(t.Context(), cli.Process{
				Args:    append(command, "--admin-addr", strings.TrimPrefix(admin.URL, "http://")),
				Environ: []string{"HOME=" + t.TempDir()}, Stdout: &stdout, Stderr: &stderr,
			})
			if out, errors = stdout.String(), stderr.String(); !strings.Contains(errors, "context deadline exceeded") {
				break
			}
		}
		return code, out, errors
	}
	code, out, errors := show("status")
	if code != 1 || !strings.Contains(out, "bad.example.com") || !strings.Contains(out, "Shown above are those where somebody must act") {
		t.Errorf("got %d, %q, %q", code, out, errors)
	}
	troubled = ""
	code, out, errors = show("status")
	if code != 3 || !strings.Contains(out, "There is none where somebody must act") {
		t.Errorf("without trouble: got %d, %q, %q", code, out, errors)
	}
}
