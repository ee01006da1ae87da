package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"wellkey/server"
)

// Every answer over HTTPS says that nothing but HTTPS is to be used: the key, what is
// refused, and what the application answers, unless it speaks of it itself. Nothing
// does so in the clear, or where it is switched off.
func TestHSTS(t *testing.T) {
	const field, ours = "Strict-Transport-Security", "max-age=63072000"
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/own":
			w.Header().Set(field, "max-age=0")
		case "/twice":
			w.Header()[field] = []string{"max-age=1", "max-age=2"}
		case "/breaks":
			panic(http.ErrAbortHandler)
		}
	})
	for _, row := range []struct {
		name       string
		on, app    bool
		plain      bool
		path, want string // "" is none
	}{
		{"the key", true, false, false, server.KeyPath, ours},
		{"something else", true, false, false, "/", ours},
		{"a host that is not ours", true, false, false, server.KeyPath, ours},
		{"switched off", false, false, false, server.KeyPath, ""},
		{"in the clear", true, false, true, "/", ""},
		{"an application", true, true, false, "/", ours},
		{"an application that fails", true, true, false, "/breaks", ours},
		{"an application with a word of its own", true, true, false, "/own", "max-age=0"},
		{"an application that says it twice", true, true, false, "/twice", "max-age=1 max-age=2"},
		{"an application, switched off", false, true, false, "/", ""},
		{"an application in the clear", true, true, true, "/", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			config, certs := configure(t)
			config.HSTS = row.on
			if row.name == "a host that is not ours" {
				config.Ours = func(string) bool { return false }
			}
			config.PlainHTTP = row.plain && row.app
			if row.app {
				config.Upstream = a.config()
			}
			s := start(t, config)
			scheme, addr := "https", s.HTTPSAddr()
			if row.plain {
				scheme, addr = "http", s.HTTPAddr()
			}
			for _, method := range []string{"GET", "HEAD", "POST"} {
				r, err := http.NewRequest(method, scheme+"://"+domain+row.path, nil)
				must(t, err)
				response, err := client(t, addr, certs, !row.plain).Do(r)
				must(t, err)
				_ = response.Body.Close()
				var want []string
				if row.want != "" {
					want = strings.Split(row.want, " ")
				}
				if got := response.Header[field]; !slices.Equal(got, want) {
					t.Errorf("%s: %s: %q, want %q", method, field, got, want)
				}
			}
		})
	}
}
