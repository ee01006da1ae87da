package doctor_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"wellkey/internal/doctor"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// A meeting lets nobody through before everybody has come. Whoever comes for
// checks that run one after the other waits there in vain.
type meeting struct {
	mu      sync.Mutex
	missing int           // guarded by mu
	open    chan struct{} // closed when nobody is missing
}

func newMeeting(expected int) *meeting {
	return &meeting{missing: expected, open: make(chan struct{})}
}

func (m *meeting) attend(ctx context.Context) {
	m.mu.Lock()
	m.missing--
	if m.missing == 0 {
		close(m.open)
	}
	m.mu.Unlock()
	select {
	case <-m.open:
	case <-ctx.Done():
	}
}

// All requests that do not need the answer of another one are under way at the
// same time: four at each address, and two in each region.
func TestChecksRunSideBySide(t *testing.T) {
	w := newWorld(t).withTesla()
	all := newMeeting(2*4 + 2*2)
	meet := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { all.attend(r.Context()); next.ServeHTTP(rw, r) })
	}
	for _, ip := range []string{w.host, w.host2} {
		testnet.Serve(w.t, w.listen(ip, w.port), w.cert(testca.LeafOptions{}), meet(file(w.key.PEM())))
		testnet.Serve(w.t, w.listen(ip, w.plain), nil, meet(http.RedirectHandler("https://"+domain+reach.Path, http.StatusPermanentRedirect)))
	}
	w.records("A "+w.host, "A "+w.host2)
	// Tokens for both regions and both status requests attend, too; what needs a
	// token comes after the meeting.
	auth := w.before(w.tesla.AuthURL(), func(r *http.Request) { all.attend(r.Context()) })
	w.config.Tesla = attending{w.client(auth, w.tesla.BaseURLs()), all}

	expect(t, w.examine(), doctor.Well)
}

// attending is a Tesla whose status requests attend a meeting.
type attending struct {
	doctor.Tesla
	meeting *meeting
}

func (a attending) Status(ctx context.Context, region fleetapi.Region) error {
	a.meeting.attend(ctx)
	return a.Tesla.Status(ctx, region)
}

// before puts a proxy before a server, in which f sees every request first.
func (w *world) before(target string, f func(*http.Request)) string {
	w.t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		w.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { f(r); proxy.ServeHTTP(rw, r) }))
	w.t.Cleanup(server.Close)
	return server.URL
}
