package faults_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"wellkey/internal/fleetsim"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// afterBackoff is when the waits between requests have become long, and callsAnHour
// how many requests may be made then in a region, tokens included.
const (
	afterBackoff = 2 * time.Hour
	callsAnHour  = 4
)

// A mischief is what Tesla does, for a week.
type mischief struct {
	name  string
	ops   []fleetapi.Operation // those that it can be done to
	begin func(*bubble, fleetapi.Operation)
	want  fleetapi.ReasonCode // of the failure; "" = none, Tesla is taken at its word
	words string              // that the operator reads
	fresh bool                // only where the key never was registered
}

// tokenOps, askOps and anyOps are what a mischief can be done to.
var (
	tokenOps = []fleetapi.Operation{fleetapi.OpToken}
	askOps   = []fleetapi.Operation{fleetapi.OpPublicKey}
	anyOps   = []fleetapi.Operation{fleetapi.OpToken, fleetapi.OpPublicKey, fleetapi.OpRegister}
)

func breaks(kind fleetsim.Kind) func(*bubble, fleetapi.Operation) {
	return func(b *bubble, op fleetapi.Operation) {
		b.tesla.Break(kind, fleetsim.Limit{Operations: []fleetapi.Operation{op}})
	}
}

// says has Tesla answer with status and body, and with fields of a header.
func says(status int, body string, header ...string) func(*bubble, fleetapi.Operation) {
	return func(b *bubble, op fleetapi.Operation) {
		x := fleetapi.Example{Status: status, Body: body, Header: map[string]string{}}
		for i := 0; i < len(header); i += 2 {
			x.Header[header[i]] = strings.ReplaceAll(header[i+1], "ELSEWHERE", b.tesla.ElsewhereURL())
		}
		b.tesla.Answer(x, fleetsim.Limit{Operations: []fleetapi.Operation{op}})
	}
}

// tokenOf is an answer with a token of these claims, which Tesla does not know.
func tokenOf(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return `{"access_token":"` + encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + `.c2ln","expires_in":28800,"token_type":"Bearer"}`
}

// suffer runs a mischief on each of its operations: where the key is registered
// already, and where it never was. For a week, every request ends so. The key is
// served and kept all along, what is known stays known, the requests become few, and
// the operator reads what it is; and when it is over, all goes on by itself.
func suffer(t *testing.T, all []mischief) {
	t.Helper()
	for _, m := range all {
		for _, op := range m.ops {
			// Where the key is registered, there is nothing to register any more, and a
			// token is asked for as where it is not.
			if !m.fresh && (op == fleetapi.OpPublicKey || op == fleetapi.OpToken && len(m.ops) == 1) {
				inBubble(t, fmt.Sprintf("%s, %s, registered", m.name, op), func(b *bubble) { b.suffer(m, op, true) })
			}
			inBubble(t, fmt.Sprintf("%s, %s, new", m.name, op), func(b *bubble) { b.suffer(m, op, false) })
		}
	}
}

func (b *bubble) suffer(m mischief, op fleetapi.Operation, registered bool) {
	if registered {
		b.register()
	}
	since := time.Now()
	known := b.Snapshot().Sites[0].Regions
	m.begin(b, op)
	if !registered {
		b.start()
	}
	time.Sleep(7 * 24 * time.Hour)
	synctest.Wait()

	b.wantKept()
	for i, r := range bubbleRegions {
		now := b.region(r)
		if m.want == "" {
			continue
		}
		if now.Failure == nil || now.Failure.Reason != string(m.want) || now.Failure.Count < 2 {
			b.t.Fatalf("the failure in %s is %+v, want %s", r, now.Failure, m.want)
		}
		f := now.Failure
		if text := f.What + " " + f.Cause + " " + f.Fix; !strings.Contains(text, m.words) || f.Cause == "" || f.Fix == "" || strings.ContainsAny(text, "\x1b\x00\n\r\u202e\u2028") {
			b.t.Errorf("the operator reads %q, want %q in it", text, m.words)
		}
		if registered && (now.Registered != b.keys.Key() || !now.AnsweredAt.Equal(known[i].AnsweredAt) || !now.RegisteredAt.Equal(known[i].RegisteredAt)) {
			b.t.Errorf("what was known of %s is now %+v", r, now)
		}
		if registered && now.State != registrar.Registered && now.State != registrar.Refused {
			b.t.Errorf("%s is %s, want that what was known stands", r, now.State)
		}
		if registered && now.Since.Before(since) && now.State != registrar.Registered {
			b.t.Errorf("%s is %s since %v, before it began", r, now.State, now.Since)
		}
	}
	if m.want == "" {
		b.wantRegistered()
	}
	b.wantFewRequests(since)
	b.wantNoPanics()
	if m.daily() {
		b.wantDailyRequests(since)
	}
	if got := b.tesla.Strays(); got != (fleetsim.Strays{}) {
		b.t.Errorf("got %+v at another host", got)
	}
	for _, entry := range b.logs.All() {
		for _, field := range entry.Context {
			text := field.String
			if err, ok := field.Interface.(error); ok {
				text += err.Error()
			}
			if strings.Contains(text, bubbleSecret) {
				b.t.Errorf("the log has the secret: %q", text)
			}
			if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				b.t.Errorf("a line of the log could play tricks: %q", text)
			}
		}
	}

	b.tesla.Clear()
	b.ahead.Store(0)
	time.Sleep(27 * time.Hour)
	synctest.Wait()
	b.wantRegistered()
	b.wantKept()
}

// wantFewRequests checks how many requests were made since it began: once the waits
// after the first failure have become long, few an hour.
func (b *bubble) wantFewRequests(since time.Time) {
	b.t.Helper()
	for _, r := range bubbleRegions {
		all := b.times(r, since)
		if len(all) == 0 {
			b.t.Fatalf("no request came in %s", r)
		}
		first := all[0]
		if most := busiest(b.times(r, first.Add(afterBackoff))); most.count > callsAnHour {
			b.t.Errorf("%d requests in %s within the hour that begins %v after the first, want %d at most", most.count, r, most.begins.Sub(first), callsAnHour)
		}
	}
}

// daily reports whether Tesla is asked once a day while it lasts.
func (m mischief) daily() bool {
	return slices.ContainsFunc(fleetapi.Catalogue(), func(r fleetapi.Refusal) bool {
		return r.Code == m.want && r.Retry == fleetapi.RetryDaily
	})
}

// wantDailyRequests checks that no day has a second request, once a new application
// would be known.
func (b *bubble) wantDailyRequests(since time.Time) {
	b.t.Helper()
	for _, r := range bubbleRegions {
		all := b.times(r, since)
		for i, at := range all {
			if i > 0 && at.Sub(all[0]) > afterBackoff && at.Sub(all[i-1]) < 24*time.Hour {
				b.t.Errorf("in %s, request %d came %v after the one before, want a day", r, i+1, at.Sub(all[i-1]))
			}
		}
	}
}

// TestTeslaKnowsNoClient: the credentials are refused, in each way that it is said.
func TestTeslaKnowsNoClient(t *testing.T) {
	t.Parallel()
	suffer(t, []mischief{
		{"invalid client", tokenOps, says(401, `{"error":"invalid_client","error_description":"no"}`), fleetapi.UnauthorizedClient, "does not recognize the client id and secret", false},
		{"unauthorized client", tokenOps, says(400, `{"error":"unauthorized_client"}`), fleetapi.UnauthorizedClient, "copy the secret again", false},
		{"unknown client", tokenOps, says(400, `{"error":"client_not_found"}`), fleetapi.ClientNotFound, "no such client id", false},
		{"401 alone", tokenOps, says(401, ""), fleetapi.Unauthorized, "does not accept the application's credentials", false},
		{"401 for a good token", askOps, says(401, `{"error":"token expired (401)"}`), fleetapi.TokenExpired, "does not accept the token", false},
	})
}

// TestTeslaRefuses: every refusal of the catalogue, for a week, in answer to the first
// of its operations.
func TestTeslaRefuses(t *testing.T) {
	t.Parallel()
	var all []mischief
	for _, row := range fleetapi.Catalogue() {
		if row.Local || row.Absent || row.Code == fleetapi.Redirected {
			continue // no refusal, or an answer, or a test of its own
		}
		words, _, _ := strings.Cut(row.Summary, "{")
		all = append(all, mischief{string(row.Code), row.Operations[:1], func(b *bubble, op fleetapi.Operation) {
			b.tesla.Answer(row.Examples[0], fleetsim.Limit{Operations: []fleetapi.Operation{op}})
		}, row.Code, words, true})
	}
	suffer(t, all)
}

// TestTeslaLimits: too many requests, with what it says about when to come again.
func TestTeslaLimits(t *testing.T) {
	t.Parallel()
	suffer(t, []mischief{
		{"429", anyOps, says(429, ""), fleetapi.RateLimited, "fewer requests", false},
		{"429 for a minute", askOps, says(429, "", "Retry-After", "60"), fleetapi.RateLimited, "fewer requests", false},
		{"429 for ever", anyOps, says(429, "", "Retry-After", "Fri, 31 Dec 2999 23:59:59 GMT"), fleetapi.RateLimited, "fewer requests", false},
		{"429 by a wrong clock", askOps, says(429, "", "RateLimit-Reset", "120", "Date", "Fri, 31 Dec 1999 23:59:59 GMT"), fleetapi.RateLimited, "fewer requests", false},
		{"429 and nonsense", askOps, says(429, "", "Retry-After", "-1e99", "RateLimit-Month-Reset", "NaN"), fleetapi.RateLimited, "fewer requests", false},
	})
}

// TestTeslaIsBroken: what comes is no answer, or one that makes no sense.
func TestTeslaIsBroken(t *testing.T) {
	t.Parallel()
	nested := strings.Repeat(`{"response":`, 20_000) + "1" + strings.Repeat("}", 20_000)
	all := []mischief{
		{"500", anyOps, says(500, ""), fleetapi.Unavailable, "not available", false},
		{"503, come at once", anyOps, says(503, "<html>busy</html>", "Retry-After", "0"), fleetapi.Unavailable, "not available", false},
		{"hangs", anyOps, breaks(fleetsim.Hang), fleetapi.Timeout, "no answer in time", false},
		{"drips", anyOps, breaks(fleetsim.Drip), fleetapi.Timeout, "no answer in time", false},
		{"breaks the connection", anyOps, breaks(fleetsim.Reset), fleetapi.ConnectionReset, "the connection broke", false},
		{"is not HTTP", anyOps, breaks(fleetsim.Garbage), fleetapi.Network, "failed on the way", false},
		{"cut", anyOps, breaks(fleetsim.Cut), fleetapi.BadAnswer, "makes no sense", false},
		{"huge", anyOps, breaks(fleetsim.Huge), fleetapi.BadAnswer, "larger than 1 MiB", false},
		{"HTML with 200", anyOps, breaks(fleetsim.HTML), fleetapi.NotJSON, "not that of an API", false},
		{"names twice", anyOps, breaks(fleetsim.DuplicateKeys), fleetapi.BadAnswer, "a name twice", false},
		{"names twice in another case", anyOps, says(200, `{"response":{"public_key":"04","PUBLIC_KEY":"04"},"access_token":"a","Access_Token":"b"}`), fleetapi.BadAnswer, "a name twice", false},
		{"deep", anyOps, says(200, nested), fleetapi.BadAnswer, "malformed", false},
		{"empty", anyOps, says(200, ""), fleetapi.BadAnswer, "makes no sense", false},
		{"null", anyOps, says(200, "null"), fleetapi.NotJSON, "not that of an API", false},
		{"an array", anyOps, says(200, "[]"), fleetapi.NotJSON, "not that of an API", false},
		{"nothing in it", anyOps, says(200, "{}"), fleetapi.BadAnswer, "in the", false},
		{"half of JSON", anyOps, says(200, `{"response":{"public_key":"04`), fleetapi.BadAnswer, "cut", false},
		{"an error with 200", anyOps, says(200, `{"response":null,"error":"not found"}`), fleetapi.BadAnswer, "not found", false},
		{"control characters", anyOps, says(500, "{\"error\":\"\\u001b[2J\\u202e\\u2028\\r\\n\\u0000\"}"), fleetapi.Unavailable, `\x1b[2J`, false},
		{"wrong types", tokenOps, says(200, `{"access_token":["a"],"expires_in":"long"}`), fleetapi.BadAnswer, "unexpected type", false},
		{"a token that is no header", tokenOps, says(200, `{"access_token":"a\r\nX: y","expires_in":28800}`), fleetapi.BadAnswer, "no header can carry", false},
		{"a token of another kind", tokenOps, says(200, `{"access_token":"a","token_type":"MAC"}`), fleetapi.BadAnswer, "not Bearer", false},
		{"the token of an owner", tokenOps, breaks(fleetsim.WrongToken), fleetapi.UserToken, "of a user", false},
		{"the token of an owner's app", tokenOps, says(200, tokenOf(`{"gty":"authorization_code","azp":"`+bubbleClient+`"}`)), fleetapi.UserToken, "of a user", false},
		{"a token for another region", tokenOps, breaks(fleetsim.OtherAudience), fleetapi.BadAnswer, "the token is for the region", false},
		{"a token that is over", tokenOps, breaks(fleetsim.OldToken), fleetapi.TokenExpired, "does not accept the token", false},
		{"a token of tomorrow", tokenOps, says(200, tokenOf(`{"gty":"client-credentials","nbf":4102444800,"iat":4102444800,"exp":4102473600}`)), fleetapi.TokenExpired, "does not accept the token", false},
		{"a token that nobody knows", tokenOps, says(200, `{"access_token":"a","expires_in":-1}`), fleetapi.TokenExpired, "does not accept the token", false},
		{"wrong types", askOps, says(200, `{"response":{"public_key":7}}`), fleetapi.BadAnswer, "no public_key", false},
		{"a list of keys", askOps, says(200, `{"response":[{"public_key":"04"}]}`), fleetapi.BadAnswer, "no public_key", false},
		{"an empty key", askOps, says(200, `{"response":{"public_key":""}}`), fleetapi.BadAnswer, "no public_key", false},
		{"half a key", askOps, says(200, `{"response":{"public_key":"04aabb"}}`), registrar.ReasonUnreadableKey, "no P-256 key", false},
		{"a private key", askOps, says(200, `{"response":{"public_key":"-----BEGIN EC PRIVATE KEY-----\n"}}`), registrar.ReasonUnreadableKey, "no P-256 key", false},
		{"no account", []fleetapi.Operation{fleetapi.OpRegister}, says(200, `{"response":{"account_id":7}}`), fleetapi.BadAnswer, "no account", false},
		{"accepts and forgets", []fleetapi.Operation{fleetapi.OpRegister}, says(204, ""), registrar.ReasonNotReadBack, "reading it back finds none", false},
		{"registers another domain", []fleetapi.Operation{fleetapi.OpRegister}, says(200, `{"response":{"account_id":"a","domain":"other.example","public_key":"04"}}`), registrar.ReasonNotReadBack, "reading it back finds none", false},
	}
	for name, ahead := range map[string]time.Duration{"ten years behind": -10 * 365 * 24 * time.Hour, "ten years ahead": 10 * 365 * 24 * time.Hour} {
		all = append(all, mischief{"a clock " + name, tokenOps, func(b *bubble, _ fleetapi.Operation) { b.ahead.Store(int64(ahead)) }, "", "", false})
	}
	suffer(t, all)
}

// TestTeslaForgets: what it accepts, it does not have when it is read back; and its
// tokens are short, end early, or are refused now and then. However that comes
// together, the requests become few.
func TestTeslaForgets(t *testing.T) {
	t.Parallel()
	refuses := func(every int, status int, ops ...fleetapi.Operation) func(*bubble) {
		return func(b *bubble) {
			for _, r := range bubbleRegions {
				for _, op := range ops {
					b.tesla.Answer(fleetapi.Example{Status: status}, fleetsim.Limit{Regions: []fleetapi.Region{r}, Operations: []fleetapi.Operation{op}, Every: every})
				}
			}
		}
	}
	gives := func(expiresIn int, life time.Duration) func(*bubble) {
		return func(b *bubble) { b.tesla.GiveTokens(expiresIn, life) }
	}
	both := func(all ...func(*bubble)) func(*bubble) {
		return func(b *bubble) {
			for _, begin := range all {
				begin(b)
			}
		}
	}
	const ask, post = fleetapi.OpPublicKey, fleetapi.OpRegister
	for name, begin := range map[string]func(*bubble){
		"tokens that say nothing":                      gives(0, 8*time.Hour),
		"tokens of half a minute":                      gives(30, 30*time.Second),
		"tokens that end after ten minutes":            gives(28800, 10*time.Minute),
		"401 at each first try":                        refuses(2, 401, ask, post),
		"401 at the first question":                    refuses(2, 401, ask),
		"401 at each first try, and no word of a life": both(gives(0, 8*time.Hour), refuses(2, 401, ask, post)),
		"503 at each first try":                        refuses(2, 503, ask, post),
		"503 at the first question":                    refuses(3, 503, ask),
	} {
		inBubble(t, name, func(b *bubble) {
			begin(b)
			says(204, "")(b, post)
			since := time.Now()
			b.start()
			time.Sleep(2 * 24 * time.Hour)
			synctest.Wait()
			b.wantKept()
			b.wantFewRequests(since)
			b.wantNoPanics()

			b.tesla.Clear()
			time.Sleep(27 * time.Hour)
			synctest.Wait()
			b.wantRegistered()
		})
	}
}

// TestTeslaRedirects: wherever an answer leads, nothing follows it there, and no
// secret goes.
func TestTeslaRedirects(t *testing.T) {
	t.Parallel()
	var all []mischief
	for status, to := range map[int]string{301: "ELSEWHERE/", 302: "ELSEWHERE/", 303: "ELSEWHERE/oauth2/v3/token", 307: "ELSEWHERE/oauth2/v3/token", 308: "ELSEWHERE/oauth2/v3/token"} {
		ops := tokenOps
		if status == 307 {
			ops = anyOps // the kind that repeats the body
		}
		all = append(all, mischief{fmt.Sprint(status), ops, says(status, "", "Location", to), fleetapi.Redirected, "leads to another place", false})
	}
	all = append(all,
		mischief{"to itself", tokenOps, says(307, "", "Location", "/oauth2/v3/token?again"), fleetapi.Redirected, "leads to another place", false},
		mischief{"to a path", tokenOps, says(308, "", "Location", "/login"), fleetapi.Redirected, "leads to another place", false},
		mischief{"to http", tokenOps, says(307, "", "Location", "http://fleet-auth.prd.vn.cloud.tesla.com/oauth2/v3/token"), fleetapi.Redirected, "leads to another place", false},
		mischief{"to nowhere", tokenOps, says(307, ""), fleetapi.Redirected, "leads to another place", false},
		mischief{"to nonsense", tokenOps, says(307, "", "Location", "http://[::1"), fleetapi.Redirected, "leads to another place", false},
		mischief{"by a header", askOps, says(200, "<html></html>", "Refresh", "0; url=ELSEWHERE/", "Location", "ELSEWHERE/"), fleetapi.NotJSON, "not that of an API", false},
	)
	suffer(t, all)
}

// TestTeslaHasAnotherKey: nothing is registered over it, however long it stays; and
// the same key is known in each form in which it might be written.
func TestTeslaHasAnotherKey(t *testing.T) {
	t.Parallel()
	inBubble(t, "another", func(b *bubble) {
		b.register()
		other := b.otherKey()
		for _, r := range bubbleRegions {
			account, _ := b.tesla.Account(r, bubbleDomain)
			account.PublicKey = other
			b.tesla.SetAccount(r, account)
		}
		since, posts := time.Now(), b.tesla.Count(fleetapi.OpRegister)
		time.Sleep(7 * 24 * time.Hour)
		synctest.Wait()
		b.wantKept()
		for _, r := range bubbleRegions {
			if now := b.region(r); now.State != registrar.Mismatch || now.Registered.Hex() != other || !strings.Contains(now.Note.Seen+now.Note.Fix, b.keys.Key().Fingerprint()) {
				b.t.Errorf("%s is %+v", r, now)
			}
		}
		if got := b.tesla.Count(fleetapi.OpRegister); got != posts {
			b.t.Errorf("%d registrations over another key", got-posts)
		}
		b.wantFewRequests(since)
	})
	for name, write := range map[string]func(point string, pem string) string{
		"in capitals": func(point, _ string) string { return strings.ToUpper(point) },
		"in PEM":      func(_, pem string) string { return strings.ReplaceAll(pem, "\n", `\n`) },
		"in base64": func(point, _ string) string {
			data, _ := hex.DecodeString(point)
			return base64.StdEncoding.EncodeToString(data)
		},
		"with white space": func(point, _ string) string { return ` \n` + point + ` ` },
	} {
		inBubble(t, "the same "+name, func(b *bubble) {
			says(200, `{"response":{"public_key":"`+write(b.keys.Key().Hex(), string(b.keys.Key().PEM()))+`"}}`)(b, fleetapi.OpPublicKey)
			b.register()
			if got := b.tesla.Count(fleetapi.OpRegister); got != 0 {
				b.t.Errorf("%d registrations of what is registered", got)
			}
		})
	}
	inBubble(t, "with a prefix that nobody has seen", func(b *bubble) {
		b.register()
		before := b.Snapshot().Sites[0].Regions
		says(200, `{"response":{"public_key":"0x`+b.keys.Key().Hex()+`"}}`)(b, fleetapi.OpPublicKey)
		time.Sleep(7 * 24 * time.Hour)
		synctest.Wait()
		for i, r := range bubbleRegions {
			if now := b.region(r); now.State != registrar.Registered || !now.AnsweredAt.Equal(before[i].AnsweredAt) || now.Failure == nil || now.Failure.Reason != registrar.ReasonUnreadableKey {
				b.t.Errorf("%s is %+v", r, now)
			}
		}
		b.wantKept()
	})
}
