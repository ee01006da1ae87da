package fleetsim_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"wellkey/internal/fleetsim"
	"wellkey/registrar/fleetapi"
)

// TestEveryCode is the promise of the catalogue: each of its rows, in answer to
// each of its operations, happens for real and comes out of the client as itself.
func TestEveryCode(t *testing.T) {
	w := newWorld(t)
	for _, row := range fleetapi.Catalogue() {
		if url := w.BrokenURL(row.Code); url != "" {
			t.Run(string(row.Code), func(t *testing.T) {
				err := w.Inject(row.Code, fleetsim.Limit{})
				if err == nil || err.Error() != "injecting "+string(row.Code)+": set the URL "+url+" instead" {
					t.Errorf("got %v", err)
				}
				client := w.newClient(t, id, secrt, func(c *fleetapi.Config) { c.AuthURL, c.Transport = url, offline() })
				wantCode(t, do(t.Context(), client, fleetapi.OpToken, fleetapi.EU), row.Code)
			})
			continue
		}
		for _, op := range row.Operations {
			t.Run(string(row.Code)+"/"+string(op), func(t *testing.T) {
				t.Cleanup(w.Clear)
				if err := w.Inject(row.Code, fleetsim.Limit{Operations: []fleetapi.Operation{op}}); err != nil {
					t.Fatal(err)
				}
				ctx := t.Context()
				if row.Code == fleetapi.Timeout {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
					defer cancel()
				}
				e := wantCode(t, do(ctx, w.newClient(t, id, secrt), op, fleetapi.EU), row.Code)
				if !row.Local && op != fleetapi.OpToken && row.Code != fleetapi.Redirected && len(e.TxID) != 32 {
					t.Errorf("got txid %q", e.TxID)
				}
			})
		}
	}
}

// offline is a transport whose resolver reaches nobody.
func offline() http.RoundTripper {
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("offline")
	}}
	return &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext, DisableKeepAlives: true}
}

func TestEveryKind(t *testing.T) {
	want := map[fleetsim.Kind]fleetapi.ReasonCode{
		fleetsim.Hang: fleetapi.Timeout, fleetsim.Drip: fleetapi.Timeout, fleetsim.Reset: fleetapi.ConnectionReset,
		fleetsim.Cut: fleetapi.BadAnswer, fleetsim.Huge: fleetapi.BadAnswer, fleetsim.HTML: fleetapi.NotJSON,
		fleetsim.Redirect: fleetapi.Redirected, fleetsim.DuplicateKeys: fleetapi.BadAnswer,
		fleetsim.WrongToken: fleetapi.UserToken, fleetsim.Garbage: fleetapi.Network,
		fleetsim.OtherAudience: fleetapi.BadAnswer, fleetsim.OldToken: "", // which the token does not show
	}
	misleads := []fleetsim.Kind{fleetsim.WrongToken, fleetsim.OtherAudience, fleetsim.OldToken}
	w := newWorld(t)
	for _, kind := range fleetsim.Kinds() {
		for _, op := range fleetapi.Operations() {
			t.Run(string(kind)+"/"+string(op), func(t *testing.T) {
				t.Cleanup(w.Clear)
				w.Break(kind, fleetsim.Limit{Operations: []fleetapi.Operation{op}})
				if slices.Contains(misleads, kind) && op != fleetapi.OpToken {
					must[fleetapi.Account](t)(w.client.Register(t.Context(), fleetapi.EU, domain))
					return
				}
				if want[kind] == "" {
					client := w.newClient(t, id, secrt)
					must[fleetapi.TokenInfo](t)(client.Token(t.Context(), fleetapi.EU))
					wantCode(t, do(t.Context(), client, fleetapi.OpRegister, fleetapi.EU), fleetapi.TokenExpired)
					return
				}
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if want[kind] == fleetapi.Timeout {
					ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
				}
				defer cancel()
				wantCode(t, do(ctx, w.newClient(t, id, secrt), op, fleetapi.EU), want[kind])
			})
		}
	}
	if got := w.Strays(); got != (fleetsim.Strays{}) {
		t.Errorf("got %+v at the other host", got)
	}
}

// TestStraysAreSeen: a client that does follow redirects is caught.
func TestStraysAreSeen(t *testing.T) {
	w := newWorld(t)
	w.Break(fleetsim.Redirect, fleetsim.Limit{})
	status, _ := send(t, http.MethodPost, w.AuthURL()+"/oauth2/v3/token", "application/x-www-form-urlencoded", "", "", "client_secret=s")
	if got, want := w.Strays(), (fleetsim.Strays{Requests: 1, Secrets: 1}); status != 200 || got != want {
		t.Errorf("got %d, %+v, want %+v", status, got, want)
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t)
	ask := func(r fleetapi.Region) error { return do(t.Context(), w.client, fleetapi.OpRegister, r) }
	w.Answer(fleetapi.Example{Status: 429, Header: map[string]string{"RateLimit-Reset": "77"}}, fleetsim.Limit{
		Regions: []fleetapi.Region{fleetapi.EU}, Operations: []fleetapi.Operation{fleetapi.OpRegister}, Times: 2,
	})
	if err := ask(fleetapi.NA); err != nil {
		t.Errorf("got %v in another region", err)
	}
	for range 2 {
		e := wantCode(t, ask(fleetapi.EU), fleetapi.RateLimited)
		if wait := time.Until(e.RetryAfter); wait < 60*time.Second || wait > 77*time.Second {
			t.Errorf("got a wait of %v, want 77 s", wait)
		}
	}
	if err := ask(fleetapi.EU); err != nil {
		t.Errorf("got %v the third time", err)
	}
	if err := w.Inject(fleetapi.KeyTaken, fleetsim.Limit{}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, ask(fleetapi.CN), fleetapi.KeyTaken)
	w.Clear()
	if err := ask(fleetapi.CN); err != nil {
		t.Errorf("got %v after the fault was cleared", err)
	}
}

// TestAnswersAreToldFirst: a request is told once, before its client has the
// answer, with what became of the download.
func TestAnswersAreToldFirst(t *testing.T) {
	told := make(chan fleetsim.Request, 10)
	w := newWorld(t, func(c *fleetsim.Config) { c.OnRequest = func(r fleetsim.Request) { told <- r } })
	next := func() fleetsim.Request {
		t.Helper()
		select {
		case r := <-told:
			return r
		default:
			t.Fatal("the client had its answer before the request was told")
		}
		return fleetsim.Request{}
	}
	ask := func() error { return do(t.Context(), w.client, fleetapi.OpRegister, fleetapi.EU) }
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if r := next(); r.Operation != fleetapi.OpToken || r.Download != "" {
		t.Errorf("got %+v", r)
	}
	if r := next(); r.Operation != fleetapi.OpRegister || r.Status != 200 || r.Download != "ok" || r.Fault {
		t.Errorf("got %+v", r)
	}
	w.publish("no key")
	wantCode(t, ask(), fleetapi.KeyDownloadFailed)
	if r := next(); r.Status != 424 || r.Download != "not a public key" || r.Fault {
		t.Errorf("got %+v", r)
	}
	w.Answer(fleetapi.Example{Status: 402}, fleetsim.Limit{})
	wantCode(t, ask(), fleetapi.PaymentRequired)
	if r := next(); r.Status != 402 || r.Download != "" || !r.Fault {
		t.Errorf("got %+v", r)
	}
	if len(told) > 0 {
		t.Errorf("got %+v twice", <-told)
	}
}

// TestRequestsAreObserved: a request that hangs is counted at once, and its end
// is told.
func TestRequestsAreObserved(t *testing.T) {
	ended := make(chan fleetsim.Request, 10)
	w := newWorld(t, func(c *fleetsim.Config) { c.OnRequest = func(r fleetsim.Request) { ended <- r } })
	w.Break(fleetsim.Hang, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpPublicKey}})
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error)
	go func() { asked <- do(ctx, w.client, fleetapi.OpPublicKey, fleetapi.EU) }()
	for w.Count(fleetapi.OpPublicKey) == 0 {
		runtime.Gosched()
	}
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if first := <-ended; first.Operation != fleetapi.OpToken || first.Status != 200 || first.Region != fleetapi.EU {
		t.Errorf("got %+v", first)
	}
	if second := <-ended; second.Operation != fleetapi.OpPublicKey || second.Status != 0 || second.ClientID != id {
		t.Errorf("got %+v", second)
	}
}

// TestCloseEndsWhatHangs: goleak sees what it leaves.
func TestCloseEndsWhatHangs(t *testing.T) {
	sim := fleetsim.New(fleetsim.Config{Regions: []fleetapi.Region{fleetapi.EU}})
	if err := sim.Close(); err != nil {
		t.Errorf("closing what was not started: %v", err)
	}
	if err := sim.Start(); err != nil {
		t.Fatal(err)
	}
	if sim.BaseURL(fleetapi.NA) != "" || len(sim.BaseURLs()) != 1 || !strings.HasPrefix(sim.AuthURL(), "http://127.0.0.1:") {
		t.Errorf("got %v, %q", sim.BaseURLs(), sim.AuthURL())
	}
	sim.Break(fleetsim.Hang, fleetsim.Limit{})
	hung := make(chan error)
	w := &world{Sim: sim}
	client := w.newClient(t, id, secrt)
	go func() { hung <- do(t.Context(), client, fleetapi.OpToken, fleetapi.EU) }()
	for sim.Count(fleetapi.OpToken) == 0 {
		runtime.Gosched()
	}
	if err := sim.Close(); err != nil {
		t.Error(err)
	}
	if err := <-hung; err == nil {
		t.Error("a request that hung succeeded")
	}
}
