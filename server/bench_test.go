package server_test

import (
	"net/http"
	"testing"

	"wellkey/server"
)

// nothing is a ResponseWriter that keeps its header and drops the rest, so that
// what is measured is ours.
type nothing struct{ header http.Header }

func (n nothing) Header() http.Header            { return n.header }
func (n nothing) WriteHeader(int)                {}
func (n nothing) Write(body []byte) (int, error) { return len(body), nil }

var hotRequests = map[string]http.Header{
	"found":       {"User-Agent": {"TeslaV4Watch/4.30"}},
	"notModified": {"If-None-Match": {`"x", "y"`, "*"}},
}

func hot(tb testing.TB, header http.Header) func() {
	config, _ := configure(tb)
	handler := newServer(tb, config).HTTPSHandler()
	r, err := http.NewRequest("GET", "https://"+domain+server.KeyPath+"?a=b", nil)
	must(tb, err)
	r.Header = header
	w := nothing{http.Header{}}
	return func() { handler.ServeHTTP(w, r) }
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for name, header := range hotRequests {
		if got := testing.AllocsPerRun(100, hot(t, header)); got != 0 {
			t.Errorf("%s: %v allocations a request, want 0", name, got)
		}
	}
}

func BenchmarkKey(b *testing.B) {
	for name, header := range hotRequests {
		b.Run(name, func(b *testing.B) {
			do := hot(b, header)
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}
