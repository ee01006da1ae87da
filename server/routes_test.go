package server_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wellkey/keystore"
	"wellkey/server"
)

// one answer, without what net/http adds by itself.
type reply struct {
	Status int
	Header map[string]string
	Body   string
}

func ask(t *testing.T, c *http.Client, method, base, path string, header http.Header) reply {
	t.Helper()
	to, err := url.Parse(base)
	must(t, err)
	var query string
	path, query, _ = strings.Cut(path, "?")
	to.Opaque, to.RawQuery = path, query
	if header == nil {
		header = http.Header{}
	}
	response, err := c.Do(&http.Request{Method: method, URL: to, Host: domain, Header: header})
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	must(t, err)
	got := reply{Status: response.StatusCode, Header: map[string]string{}, Body: string(body)}
	for name, values := range response.Header {
		if name != "Date" {
			got.Header[name] = strings.Join(values, " | ")
		}
	}
	return got
}

func TestPublicAnswers(t *testing.T) {
	config, certs := configure(t)
	config.PlainHTTP = true
	config.Answer = func(challenge string) string {
		if challenge == "too long" {
			return ""
		}
		return "answer to " + challenge
	}
	s := start(t, config)
	key := config.Key("")
	etag := `"` + key.Fingerprint() + `"`
	full := map[string]string{
		"Content-Type": "application/x-pem-file", "Content-Length": "178", "Etag": etag,
		"Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff",
	}
	notModified := map[string]string{"Etag": etag, "Cache-Control": "public, max-age=300", "X-Content-Type-Options": "nosniff"}
	text := func(length int, more ...string) map[string]string {
		h := map[string]string{
			"Content-Type": "text/plain; charset=utf-8", "Content-Length": strconv.Itoa(length), "X-Content-Type-Options": "nosniff",
		}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	with := func(header map[string]string, more ...string) map[string]string {
		h := map[string]string{}
		for name, value := range header {
			h[name] = value
		}
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = more[i+1]
		}
		return h
	}
	pem := string(key.PEM())
	found, lost := reply{200, full, pem}, reply{404, text(11), "Not found.\n"}
	refused := reply{405, text(36, "Allow", "GET, HEAD"), "Only GET and HEAD are allowed here.\n"}

	for _, tc := range []struct {
		name, method, path string
		header             http.Header
		want               reply
	}{
		{"key", "GET", server.KeyPath, nil, found},
		{"head", "HEAD", server.KeyPath, nil, reply{200, full, ""}},
		{"query", "GET", server.KeyPath + "?x=1;y=%zz", nil, found},
		{"accept", "GET", server.KeyPath, http.Header{"Accept": {"text/html;q=0"}}, found},
		{"range", "GET", server.KeyPath, http.Header{"Range": {"bytes=0-1"}}, found},
		{"cached", "GET", server.KeyPath, http.Header{"If-None-Match": {etag}}, reply{304, notModified, ""}},
		{"cached head", "HEAD", server.KeyPath, http.Header{"If-None-Match": {"*"}}, reply{304, notModified, ""}},
		{"cached, another", "GET", server.KeyPath, http.Header{"If-None-Match": {`"other"`}}, found},
		{"probe", "GET", server.KeyPath, http.Header{"Wellkey-Probe": {"x"}},
			reply{200, with(full, "Wellkey-Probe", "answer to x", "Cache-Control", "no-store"), pem}},
		{"probe head", "HEAD", server.KeyPath, http.Header{"Wellkey-Probe": {"x"}},
			reply{200, with(full, "Wellkey-Probe", "answer to x", "Cache-Control", "no-store"), ""}},
		{"probe, cached", "GET", server.KeyPath, http.Header{"Wellkey-Probe": {"x"}, "If-None-Match": {etag}},
			reply{304, with(notModified, "Wellkey-Probe", "answer to x", "Cache-Control", "no-store"), ""}},
		{"probe, not answered", "GET", server.KeyPath, http.Header{"Wellkey-Probe": {"too long"}}, found},
		{"probe, twice", "GET", server.KeyPath, http.Header{"Wellkey-Probe": {"x", "y"}}, found},
		{"probe elsewhere", "GET", "/", http.Header{"Wellkey-Probe": {"x"}}, lost},
		{"post", "POST", server.KeyPath, nil, refused},
		{"options", "OPTIONS", server.KeyPath, nil, refused},
		{"trace", "TRACE", server.KeyPath, nil, refused},
		{"unknown method", "BREW", server.KeyPath, nil, refused},
		{"lower case", "get", server.KeyPath, nil, refused},
		{"root", "GET", "/", nil, lost},
		{"root head", "HEAD", "/", nil, reply{404, text(11), ""}},
		{"root post", "POST", "/", nil, lost},
		{"trailing slash", "GET", server.KeyPath + "/", nil, lost},
		{"double slash", "GET", "/.well-known//appspecific/com.tesla.3p.public-key.pem", nil, lost},
		{"dots", "GET", "/x/.." + server.KeyPath, nil, lost},
		{"encoded", "GET", "/.well-known/appspecific/com.tesla.3p.public-key%2Epem", nil, lost},
		{"encoded slash", "GET", "/.well-known%2fappspecific/com.tesla.3p.public-key.pem", nil, lost},
		{"nul", "GET", server.KeyPath + "%00", nil, lost},
		{"case", "GET", strings.ToUpper(server.KeyPath), nil, lost},
		{"private key", "GET", "/.well-known/appspecific/com.tesla.3p.private-key.pem", nil, lost},
		{"folder", "GET", "/.well-known/appspecific/", nil, lost},
		{"metrics", "GET", "/metrics", nil, lost},
		{"healthz", "GET", "/healthz", nil, lost},
		{"challenge unknown", "GET", "/.well-known/acme-challenge/none", nil, lost},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, got := range map[string]reply{
				"h1":    ask(t, client(t, s.HTTPSAddr(), certs, false), tc.method, "https://"+domain, tc.path, tc.header),
				"h2":    ask(t, client(t, s.HTTPSAddr(), certs, true), tc.method, "https://"+domain, tc.path, tc.header),
				"plain": ask(t, client(t, s.HTTPAddr(), certs, false), tc.method, "http://"+domain, tc.path, tc.header),
			} {
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestNoKeyYet(t *testing.T) {
	config, certs := configure(t)
	key := config.Key("")
	hosts := make(chan string, 1)
	var current keystore.Key
	config.Key = func(host string) keystore.Key { hosts <- host; return current }
	config.Answer = func(challenge string) string { return "answer to " + challenge }
	s := start(t, config)
	c := client(t, s.HTTPSAddr(), certs, true)
	header := map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "Content-Length": "65", "X-Content-Type-Options": "nosniff",
		"Retry-After": "60", "Cache-Control": "no-store", "Wellkey-Probe": "answer to x",
	}
	want := reply{503, header, "There is no public key here yet. Please try again in a minute.\n"}
	header["Content-Length"] = strconv.Itoa(len(want.Body))
	got := ask(t, c, "GET", "https://"+domain, server.KeyPath, http.Header{"Wellkey-Probe": {"x"}, "If-None-Match": {"*"}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if host := <-hosts; host != domain {
		t.Errorf("asked for the key of %q", host)
	}
	current = key // and another, and back: the prepared answer follows the key
	for _, next := range []keystore.Key{key, newKey(t), key} {
		current = next
		got := ask(t, c, "GET", "https://"+domain, server.KeyPath, nil)
		<-hosts
		if got.Status != 200 || !bytes.Equal([]byte(got.Body), next.PEM()) || got.Header["Etag"] != `"`+next.Fingerprint()+`"` {
			t.Errorf("got %+v, want key %s", got, next)
		}
	}
}

func TestHTTPRedirects(t *testing.T) {
	config, certs := configure(t)
	certs.challenges = map[string]string{"/.well-known/acme-challenge/token": "token.thumbprint"}
	s := start(t, config)
	for _, tc := range []struct{ name, method, host, path, want string }{
		{"key", "GET", domain, server.KeyPath, "308 https://keys.example.com" + server.KeyPath},
		{"head", "HEAD", domain, server.KeyPath, "308 https://keys.example.com" + server.KeyPath},
		{"query", "GET", domain, "/a?b=c&d=%20;e", "308 https://keys.example.com/a?b=c&d=%20;e"},
		{"escaped", "GET", domain, "/a%2fb%20c", "308 https://keys.example.com/a%2fb%20c"},
		{"other host", "GET", "evil.example", "/", "308 https://keys.example.com/"},
		{"no host", "GET", "", "/", "308 https://keys.example.com/"},
		{"two slashes", "GET", domain, "//evil.example/x", "308 https://keys.example.com//evil.example/x"},
		{"three slashes", "GET", domain, "///evil.example", "308 https://keys.example.com///evil.example"},
		{"backslash", "GET", domain, "/\\evil.example", "308 https://keys.example.com/%5Cevil.example"},
		{"dots", "GET", domain, "/../x", "308 https://keys.example.com/../x"},
		{"absolute", "GET", domain, "http://evil.example/x", "308 https://keys.example.com/x"},
		{"absolute, at", "GET", domain, "http://keys.example.com@evil.example", "308 https://keys.example.com/"},
		{"opaque", "GET", domain, "http:evil.example", "308 https://keys.example.com/"},
		{"star", "GET", domain, "*", "308 https://keys.example.com/"},
		{"line break", "GET", domain, "/%0d%0aSet-Cookie:x", "308 https://keys.example.com/%0d%0aSet-Cookie:x"},
		{"bytes", "GET", domain, "/\xff?\xff", "308 https://keys.example.com/%FF?%ff"},
		{"challenge unknown", "GET", domain, "/.well-known/acme-challenge/none", "308 https://keys.example.com/.well-known/acme-challenge/none"},
		{"challenge", "GET", domain, "/.well-known/acme-challenge/token", "200 "},
		{"post", "POST", domain, "/", "405 "},
		{"post key", "POST", domain, server.KeyPath, "405 "},
		{"options star", "OPTIONS", domain, "*", "405 "},
		{"connect", "CONNECT", "evil.example:443", "evil.example:443", "405 "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			response := raw(t, s.HTTPAddr(), tc.method+" "+tc.path+" HTTP/1.1\r\nHost: "+tc.host+"\r\nConnection: close\r\n\r\n")
			got := strconv.Itoa(response.Status) + " " + response.Header["Location"]
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if response.Status == 308 && (response.Body != "" || response.Header["Cache-Control"] != "public, max-age=300") {
				t.Errorf("got body %q and header %v", response.Body, response.Header)
			}
			if response.Status == 405 && response.Header["Allow"] != "GET, HEAD" {
				t.Errorf("got header %v, want Allow", response.Header)
			}
			if response.Status == 200 && response.Body != "token.thumbprint" {
				t.Errorf("got %q for the challenge", response.Body)
			}
		})
	}
}

func TestMatches(t *testing.T) {
	const etag = `"a"`
	for _, tc := range []struct {
		name  string
		lines []string
		want  bool
	}{
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"same", []string{`"a"`}, true},
		{"weak", []string{`W/"a"`}, true},
		{"star", []string{" * "}, true},
		{"list", []string{`"x", W/"y" ,	"a"`}, true},
		{"list without spaces", []string{`"x","a"`}, true},
		{"list of others", []string{`"x", "aa", "A"`}, false},
		{"second line", []string{`"x"`, `"a"`}, true},
		{"comma in a tag", []string{`"x,"a`, `"x, y", "a"`}, true},
		{"inside a tag", []string{`"x,`, `a"`}, false},
		{"no quotes", []string{`a`}, false},
		{"open quote", []string{`"a`}, false},
		{"only a quote", []string{`"`}, false},
		{"after nonsense", []string{`x "a"`}, false},
		{"star in a list", []string{`"x", *`}, false},
		{"wrong weak", []string{`w/"a"`}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := server.Matches(tc.lines, etag); got != tc.want {
				t.Errorf("%q: got %v, want %v", tc.lines, got, tc.want)
			}
		})
	}
}

func TestHostOf(t *testing.T) {
	for host, want := range map[string]string{
		"": "", "a.example": "a.example", "A.Example": "a.example", "a.example.": "a.example",
		"a.example:443": "a.example", "a.example.:443": "a.example", "[::1]:443": "[::1]", "[::1]": "[::1]",
	} {
		if got := server.HostOf(host); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}
