package fleetapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"wellkey/registrar/fleetapi"
)

func granted(token string, expiresIn int) func(*http.Request) (*http.Response, error) {
	return always(200, fmt.Sprintf(`{"access_token":%q,"expires_in":%d,"token_type":"Bearer"}`, token, expiresIn))
}

func TestTokenSaysWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		token := jwt(t, map[string]any{
			"gty": "client-credentials", "azp": clientID, "iss": "https://fleet-auth.tesla.com/oauth2/v3/nts",
			"aud": []string{"a", "b"}, "scp": []string{"openid"}, "iat": now.Unix(), "exp": now.Unix() + 28800,
		})
		got, err := newClient(t, &fake{token: granted(token, 28800)}).Token(t.Context(), fleetapi.EU)
		if err != nil {
			t.Fatal(err)
		}
		want := fleetapi.TokenInfo{
			Region: fleetapi.EU, ClientID: clientID, Issuer: "https://fleet-auth.tesla.com/oauth2/v3/nts",
			Audience: []string{"a", "b"}, Scopes: []string{"openid"}, GrantType: "client-credentials",
			ExpiresAt: now.Add(8 * time.Hour),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTokenLives(t *testing.T) {
	exp := func(seconds int) string { return jwt(t, map[string]any{"iat": 1000, "exp": 1000 + seconds}) }
	for _, c := range []struct {
		name      string
		token     string
		expiresIn int
		want      time.Duration
	}{
		{"as the answer says", "opaque", 28800, 8 * time.Hour},
		{"as the token says, however wrong our clock", exp(3600), 0, time.Hour},
		{"the shorter of both", exp(3600), 28800, time.Hour},
		{"at most a day", "opaque", 1 << 40, 24 * time.Hour},
		{"nothing is said", "opaque", 0, 0},
		{"nonsense is said", "opaque", -5, 0},
		{"no JWT", "a.%%%.c", 60, time.Minute},
		{"no JSON in the JWT", "a.YQ.c", 60, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				info, err := newClient(t, &fake{token: granted(c.token, c.expiresIn)}).Token(t.Context(), fleetapi.NA)
				if err != nil {
					t.Fatal(err)
				}
				if got := time.Until(info.ExpiresAt); got != c.want {
					t.Errorf("got %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestTokenIsKeptUntilAMinuteBeforeItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{partner: always(200, `{"response":{"public_key":"04"}}`)}
		c := newClient(t, f)
		ask := func(r fleetapi.Region, want int) {
			t.Helper()
			if _, err := c.PublicKey(t.Context(), r, domain); err != nil {
				t.Fatal(err)
			}
			if got := f.count("/token"); got != want {
				t.Errorf("got %d tokens, want %d", got, want)
			}
		}
		ask(fleetapi.NA, 1)
		ask(fleetapi.EU, 2) // one for each region
		time.Sleep(8*time.Hour - 61*time.Second)
		ask(fleetapi.NA, 2)
		time.Sleep(time.Second)
		ask(fleetapi.NA, 3)
	})
}

func TestTokenIsFetchedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fake{}
		f.token = func(r *http.Request) (*http.Response, error) {
			<-release
			return granted(canaryToken, 28800)(r)
		}
		c := newClient(t, f)
		var done sync.WaitGroup
		for range 20 {
			done.Go(func() {
				if _, err := c.Token(t.Context(), fleetapi.NA); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(release)
		done.Wait()
		if got := f.count("/token"); got != 1 {
			t.Errorf("got %d requests, want 1", got)
		}
	})
}

func TestRefusedTokenIsSharedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		f := &fake{}
		f.token = func(r *http.Request) (*http.Response, error) {
			<-release
			return answer(503, "")
		}
		c := newClient(t, f)
		var done sync.WaitGroup
		for range 20 {
			done.Go(func() {
				_, err := c.Token(t.Context(), fleetapi.NA)
				wantCode(t, err, fleetapi.Unavailable)
			})
		}
		synctest.Wait()
		close(release)
		done.Wait()
		if got := f.count("/token"); got != 1 {
			t.Errorf("got %d requests, want 1", got)
		}
	})
}

func TestNobodyInheritsAnothersEnd(t *testing.T) {
	for name, stop := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancelled": context.WithCancel,
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				f := &fake{}
				f.token = func(r *http.Request) (*http.Response, error) {
					if first {
						first = false
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return granted(canaryToken, 28800)(r)
				}
				c := newClient(t, f)
				ctx, cancel := stop(t.Context())
				var done sync.WaitGroup
				done.Go(func() {
					if _, err := c.Token(ctx, fleetapi.NA); err == nil {
						t.Error("the one that gave up got a token")
					}
				})
				synctest.Wait()
				done.Go(func() {
					if _, err := c.Token(t.Context(), fleetapi.NA); err != nil {
						t.Errorf("the other got %v", err)
					}
				})
				synctest.Wait()
				if name == "cancelled" {
					cancel()
				}
				done.Wait()
				cancel()
			})
		})
	}
}

func TestWaitingForAnothersTokenEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{token: func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}}
		c := newClient(t, f)
		var done sync.WaitGroup
		done.Go(func() { _, _ = c.Token(t.Context(), fleetapi.NA) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Token(ctx, fleetapi.NA)
		if !errors.Is(err, context.Canceled) || errors.As(err, new(*fleetapi.Error)) || err.Error() != "getting a token for na: context canceled" {
			t.Errorf("got %v, want the cancelled context", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Token(ctx, fleetapi.NA)
		wantCode(t, err, fleetapi.Timeout)
		done.Wait()
	})
}

func TestRejectedTokenIsFetchedAnewOnce(t *testing.T) {
	f := &fake{partner: always(401, `{"error":"token expired (401)"}`)}
	c := newClient(t, f)
	ask := func(ctx context.Context, tokens, questions int) {
		t.Helper()
		_, err := c.PublicKey(ctx, fleetapi.NA, domain)
		wantCode(t, err, fleetapi.TokenExpired)
		if gotTokens, asked := f.count("/token"), f.count("/public_key"); gotTokens != tokens || asked != questions {
			t.Errorf("got %d tokens, %d questions, want %d, %d", gotTokens, asked, tokens, questions)
		}
	}
	hold := func() {
		t.Helper()
		if _, err := c.Token(t.Context(), fleetapi.NA); err != nil {
			t.Fatal(err)
		}
	}
	ask(t.Context(), 1, 1) // it was new
	hold()
	ask(t.Context(), 3, 3)
	hold()
	ask(fleetapi.Attempt(t.Context(), time.Time{}), 5, 5)
	hold()
	ask(fleetapi.Attempt(t.Context(), time.Now().Add(-time.Hour)), 6, 6) // it is since the failure
	hold()
	ask(fleetapi.Attempt(t.Context(), time.Now().Add(time.Hour)), 8, 7) // it is not

	f.partner = func(*http.Request) (*http.Response, error) {
		if f.count("/public_key") == 8 {
			return answer(401, "")
		}
		return answer(200, `{"response":{"public_key":"04"}}`)
	}
	hold()
	if _, err := c.PublicKey(t.Context(), fleetapi.NA, domain); err != nil || f.count("/token") != 10 {
		t.Errorf("got %v and %d tokens, want that the second of two was good", err, f.count("/token"))
	}
}

// An attempt is of four requests at most where there was a failure before, whatever
// Tesla says of its tokens; and where all was well, it does not fetch one in vain.
func TestAttemptUsesOneToken(t *testing.T) {
	for _, seconds := range []int{0, -5, 1, 30, 60, 61, 28800} {
		t.Run(fmt.Sprint(seconds), func(t *testing.T) {
			f := &fake{token: granted("opaque", seconds), partner: always(200, `{"response":{"public_key":"04"}}`)}
			c := newClient(t, f)
			for n := 1; n <= 3; n++ {
				ctx := fleetapi.Attempt(t.Context(), time.Now())
				for _, op := range []fleetapi.Operation{fleetapi.OpToken, fleetapi.OpPublicKey, fleetapi.OpRegister, fleetapi.OpPublicKey} {
					if err := doIn(ctx, c, op, fleetapi.NA); err != nil {
						t.Fatal(err)
					}
				}
				if got := f.count(""); got != 4*n {
					t.Errorf("%d requests in %d attempts, want 4 in each", got, n)
				}
			}
			// Another region and another application have tokens of their own.
			ctx := fleetapi.Attempt(t.Context(), time.Time{})
			for range 2 {
				if err := doIn(ctx, c, fleetapi.OpPublicKey, fleetapi.NA); err != nil {
					t.Fatal(err)
				}
			}
			before := f.count("/token")
			if err := doIn(ctx, c, fleetapi.OpPublicKey, fleetapi.EU); err != nil || f.count("/token") != before+1 {
				t.Errorf("got %v and %d tokens, want one more than %d", err, f.count("/token"), before)
			}
		})
	}
}

func TestUserTokenIsRefusedHere(t *testing.T) {
	for name, claims := range map[string]map[string]any{
		"amr":        {"amr": []string{"pwd"}},
		"ou_code":    {"ou_code": "EU"},
		"other gty":  {"gty": "authorization-code"},
		"aud string": {"ou_code": "NA", "aud": "a"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{token: granted(jwt(t, claims), 28800)}
			e := wantCode(t, do(t, newClient(t, f), fleetapi.OpRegister, fleetapi.NA), fleetapi.UserToken)
			if f.count("/partner_accounts") != 0 || e.Operation != fleetapi.OpToken {
				t.Errorf("the token was used: %v", e)
			}
		})
	}
}

func TestBadTokenAnswers(t *testing.T) {
	for body, want := range map[string]string{
		`{"access_token":7}`:                      "a field of the token answer has an unexpected type",
		`{"expires_in":7}`:                        "no access_token in the answer",
		`{"access_token":"a","token_type":"mac"}`: "token_type is not Bearer",
		`{"access_token":"a\r\nb"}`:               "access_token holds characters that no header can carry",
		`{"access_token":"a","Access_Token":"b"}`: "the JSON has a name twice",
		`{"access_token":"a"`:                     "the JSON is cut",
		`{"access_token":"a"} {}`:                 "the JSON is malformed",
		`{"a":` + strings.Repeat(" ", 1<<20):      "the body is larger than 1 MiB",
	} {
		e := wantCode(t, do(t, newClient(t, &fake{token: always(200, body)}), fleetapi.OpToken, fleetapi.NA), fleetapi.BadAnswer)
		if e.Text != want {
			t.Errorf("got %q, want %q", e.Text, want)
		}
	}
}
