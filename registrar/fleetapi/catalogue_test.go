package fleetapi_test

import (
	"bytes"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wellkey/registrar/fleetapi"
)

var update = flag.Bool("update", false, "write docs/errors.md")

func TestCatalogueIsWellFormed(t *testing.T) {
	code := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	sentences := regexp.MustCompile(`^[A-Z"{w].*\.$`)
	known := fleetapi.Subject{Region: fleetapi.EU, Domain: "d", ClientID: "c", BaseURL: "b", AuthURL: "a"}
	seen := map[fleetapi.ReasonCode]bool{}
	for _, r := range fleetapi.Catalogue() {
		t.Run(string(r.Code), func(t *testing.T) {
			if !code.MatchString(string(r.Code)) || seen[r.Code] {
				t.Error("the code is not snake_case, or there twice")
			}
			seen[r.Code] = true
			if len(r.Operations) == 0 || r.Source == "" {
				t.Error("operations or source are missing")
			}
			if !slices.Contains([]fleetapi.Actor{fleetapi.ActorOperator, fleetapi.ActorTesla, fleetapi.ActorNobody}, r.Actor) {
				t.Errorf("unknown actor %q", r.Actor)
			}
			if !slices.Contains([]fleetapi.Retry{fleetapi.RetrySoon, fleetapi.RetryLag, fleetapi.RetryCheck, fleetapi.RetrySlow, fleetapi.RetryDaily}, r.Retry) {
				t.Errorf("unknown retry class %q", r.Retry)
			}
			if r.Summary == "" || strings.HasSuffix(r.Summary, ".") {
				t.Errorf("summary %q is not half a sentence", r.Summary)
			}
			if !sentences.MatchString(r.Cause) || !sentences.MatchString(r.Fix) {
				t.Errorf("cause or fix are not whole sentences: %q, %q", r.Cause, r.Fix)
			}
			for _, text := range []string{r.Summary, r.Cause, r.Fix} {
				if strings.ContainsAny(known.Fill(text), "{}") {
					t.Errorf("%q holds an unknown placeholder", text)
				}
			}
			if r.Local != (len(r.Examples) == 0) {
				t.Error("a row has examples unless it is local")
			}
			if r.Absent && r.Pattern == nil {
				t.Error("a status alone must not say that no key is registered")
			}
		})
	}
}

// TestEveryRowIsReached proves that no row stands in another's way: each of its
// examples, in answer to each of its operations, comes out as its own code.
func TestEveryRowIsReached(t *testing.T) {
	for _, row := range fleetapi.Catalogue() {
		for _, op := range row.Operations {
			for _, x := range row.Examples {
				t.Run(string(row.Code)+"/"+string(op), func(t *testing.T) {
					c := newClient(t, on(op, respond(x)))
					e := wantCode(t, do(t, c, op, fleetapi.EU), row.Code)
					if e.Status != x.Status || e.Operation != op || e.Region != fleetapi.EU {
						t.Errorf("got %s %s %d, want %s eu %d", e.Operation, e.Region, e.Status, op, x.Status)
					}
					if got, want := errors.Is(e, fleetapi.ErrNotRegistered), row.Absent && op == fleetapi.OpPublicKey; got != want {
						t.Errorf("got not registered %v, want %v", got, want)
					}
				})
			}
		}
	}
}

func respond(x fleetapi.Example) func(*http.Request) (*http.Response, error) {
	var header []string
	for name, value := range x.Header {
		header = append(header, name, value)
	}
	s := fleetapi.Subject{Region: fleetapi.EU, Domain: domain, ClientID: clientID, BaseURL: fleetapi.EU.BaseURL()}
	return always(x.Status, s.Fill(x.Body), header...)
}

func wantCode(t *testing.T, err error, code fleetapi.ReasonCode) *fleetapi.Error {
	t.Helper()
	var e *fleetapi.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an Error with %s", err, code)
	}
	if e.Reason() != code {
		t.Fatalf("got %s, want %s: %v", e.Reason(), code, err)
	}
	return e
}

// TestNotRegisteredIsSaidInWords: whoever takes an answer for "not registered"
// may make a new key, so what is not understood must not pass for it.
func TestNotRegisteredIsSaidInWords(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		code   fleetapi.ReasonCode
	}{
		{404, "404 page not found\n", fleetapi.NotFound},
		{404, `<html><title>404 Not Found</title></html>`, fleetapi.NotFound},
		{404, `{"message":"not found"}`, fleetapi.NotFound},
		{404, `{"error":"not found","error":""}`, fleetapi.NotFound},
		{404, ``, fleetapi.NotFound},
		{404, `{"timestamp":"2026-11-24T12:00:00Z","status":404,"error":"Not Found","path":"/api/1/partner_accounts/public_key"}`, fleetapi.NotFound},
		{400, `{"response":null,"error":"client not found"}`, fleetapi.UnknownRefusal},
		{421, ``, fleetapi.UnknownRefusal},
		{412, ``, fleetapi.UnknownRefusal},
		{503, `{"error":"service not found"}`, fleetapi.Unavailable},
		{200, `{"error":"not found"}`, fleetapi.BadAnswer},
		{200, `{"response":null}`, fleetapi.BadAnswer},
		{200, `{"response":{"public_key":""}}`, fleetapi.BadAnswer},
		{200, `{"response":{"public_key":7}}`, fleetapi.BadAnswer},
	} {
		f := &fake{partner: always(c.status, c.body)}
		_, err := newClient(t, f).PublicKey(t.Context(), fleetapi.NA, domain)
		wantCode(t, err, c.code)
		if errors.Is(err, fleetapi.ErrNotRegistered) {
			t.Errorf("%d %q passes for not registered", c.status, c.body)
		}
	}
}

func TestTextsMoveWithinTheirClassOfStatus(t *testing.T) {
	f := &fake{partner: always(400, `{"error":"Validation failed: Domain has already been taken"}`)}
	wantCode(t, do(t, newClient(t, f), fleetapi.OpRegister, fleetapi.NA), fleetapi.DomainTaken)
	f = &fake{partner: always(500, `{"error":"Validation failed: Domain has already been taken"}`)}
	wantCode(t, do(t, newClient(t, f), fleetapi.OpRegister, fleetapi.NA), fleetapi.Unavailable)
}

func TestCatalogueIsACopy(t *testing.T) {
	fleetapi.Catalogue()[0].Code = "changed"
	if fleetapi.Catalogue()[0].Code == "changed" {
		t.Error("a caller can change the catalogue")
	}
}

func TestDocsAreCurrent(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "errors.md")
	want := fleetapi.Markdown()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/errors.md is not current: go test ./registrar/fleetapi -run TestDocs -update")
	}
}

// FuzzClassify: whatever comes, there is an error with a row and a readable line.
func FuzzClassify(f *testing.F) {
	for _, row := range fleetapi.Catalogue() {
		for _, x := range row.Examples {
			f.Add(x.Status, x.Body, "60")
		}
	}
	f.Add(200, `{"error":{"a":[1,{"b":2}]},"messages":{"domain":["is bad"]}}`, "-1")
	f.Add(0, "\xff\x00\n\u2028", "Fri, 31 Dec 1999 23:59:59 GMT")
	f.Add(200, strings.Repeat("[", 20000), "1e300")
	f.Add(200, `{"a":`+strings.Repeat("[", 20000), "NaN")
	codes := map[fleetapi.ReasonCode]bool{}
	for _, row := range fleetapi.Catalogue() {
		codes[row.Code] = true
	}
	f.Fuzz(func(t *testing.T, status int, body, retry string) {
		if status < 0 {
			return // net/http does not give these
		}
		for _, op := range fleetapi.Operations() {
			c := newClient(t, on(op, always(status, body, "Retry-After", retry, "X-Txid", body)))
			err := do(t, c, op, fleetapi.CN)
			var e *fleetapi.Error
			if err == nil {
				continue
			}
			if !errors.As(err, &e) || !codes[e.Reason()] {
				t.Fatalf("%T %v is no row of the catalogue", err, err)
			}
			line := e.Error()
			if strings.ContainsAny(line, "\r\n\x00\u2028") || len(line) > 3000 {
				t.Errorf("not one short line: %q", line)
			}
			if len(e.Text) > 2100 {
				t.Errorf("%d bytes of text are kept", len(e.Text))
			}
		}
	})
}
