package reach_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"wellkey/internal/finding"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/registrar/reach"
)

func TestAnswers(t *testing.T) {
	const page = "<!DOCTYPE html><html><head><title>Hello</title></head><body>x</body></html>"
	for _, tc := range []struct {
		name    string
		handler func(w *world) http.Handler
		verdict reach.Verdict
		reason  string
		want    []string
		seen    string // in the first finding that is not well
	}{
		{"not found", status(404, ""), reach.Unreachable, reach.ReasonStatus, []string{"http_status fail"}, "404 (Not Found)"},
		{"forbidden", status(403, "no"), reach.Unreachable, reach.ReasonStatus, []string{"http_status fail"}, "403 (Forbidden)"},
		{"bad gateway", status(502, page), reach.Unreachable, reach.ReasonStatus, []string{"http_status fail"}, "502 (Bad Gateway)"},
		{"too many", status(429, ""), reach.Unreachable, reach.ReasonStatus, []string{"http_status fail"}, "429"},
		{"misdirected", status(421, ""), reach.Unreachable, reach.ReasonStatus, []string{"http_status fail"}, "421"},
		{"bad request", status(400, ""), reach.Unreachable, reach.ReasonStatus, []string{"http_status fail"}, "400"},
		{"empty 204", status(204, ""), reach.Unreachable, reach.ReasonStatus, []string{"http_status fail"}, "204"},
		{"a status nobody knows", status(599, ""), reach.Unreachable, reach.ReasonStatus, []string{"http_status fail"}, "599 (unknown to HTTP)"},
		{"redirect", status(301, "", "Location", "https://www.example.test/\u202ehtml"), reach.Unreachable, reach.ReasonRedirect, []string{"http_redirect fail"}, `301 to "https://www.example.test/\u202ehtml"`},
		{"redirect to a long address", status(302, "", "Location", "https://www.example.test/"+strings.Repeat("ö", 5000)), reach.Unreachable, reach.ReasonRedirect,
			[]string{"http_redirect fail"}, `ö"...`},
		{"login", status(401, "", "WWW-Authenticate", "Basic"), reach.Unreachable, reach.ReasonBotChallenge,
			[]string{"http_bot_challenge fail", "http_status fail"}, "a demand for a login (status 401)"},
		{"Cloudflare", status(403, page, "Cf-Mitigated", "challenge"), reach.Unreachable, reach.ReasonBotChallenge,
			[]string{"http_bot_challenge fail", "http_status fail"}, "Cloudflare"},
		{"AWS WAF", status(202, "", "X-Amzn-Waf-Action", "challenge"), reach.Unreachable, reach.ReasonBotChallenge,
			[]string{"http_bot_challenge fail", "http_status fail"}, "AWS"},
		{"Sucuri", status(403, "", "X-Sucuri-Block", "x"), reach.Unreachable, reach.ReasonBotChallenge,
			[]string{"http_bot_challenge fail", "http_status fail"}, "Sucuri"},
		{"puzzle with status 200", status(200, "<html><title>Just a moment...</title></html>"), reach.Unreachable, reach.ReasonBotChallenge,
			[]string{"http_bot_challenge fail", "http_html fail"}, "Cloudflare"},
		{"login page", status(200, `<html><form><input type="password"></form></html>`), reach.Unreachable, reach.ReasonBotChallenge,
			[]string{"http_bot_challenge fail", "http_html fail"}, "a login page"},
		{"start page", status(200, page), reach.Unreachable, reach.ReasonHTML, []string{"http_html fail"}, "web page"},
		{"start page that claims to be a key", status(200, "\n\n"+page, "Content-Type", "application/x-pem-file"), reach.Unreachable, reach.ReasonHTML, []string{"http_html fail"}, "web page"},
		{"huge", status(200, strings.Repeat("x", 1<<20)), reach.Unreachable, reach.ReasonTooLarge, []string{"http_length fail"}, "1048576 bytes"},
		{"endless", endless, reach.Unreachable, reach.ReasonTooLarge, []string{"http_length fail"}, "4096 bytes or more"},
		{"empty", status(200, "", "Content-Type", "text/plain"), reach.Unreachable, reach.ReasonNotAKey, []string{"key_parse fail"}, "is empty"},
		{"text", status(200, "hello", "Content-Type", "text/plain"), reach.Unreachable, reach.ReasonNotAKey, []string{"key_parse fail"}, "no PEM block"},
		{"no type", func(w *world) http.Handler { return typed(w.key.PEM(), "") }, reach.Reachable, "", []string{"http_content_type warn"}, "no usable"},
		{"labelled as a page", func(w *world) http.Handler { return typed(w.key.PEM(), "text/html; charset=utf-8") }, reach.Reachable, "", []string{"http_content_type warn"}, "web page"},
		{"labelled as a certificate", func(w *world) http.Handler { return typed(w.key.PEM(), "application/x-x509-ca-cert") }, reach.Reachable, "", []string{"http_content_type warn"}, "certificate"},
		{"plain text", func(w *world) http.Handler { return typed(w.key.PEM(), "text/plain") }, reach.Reachable, "", nil, ""},
		{"octets", func(w *world) http.Handler { return typed(w.key.PEM(), "application/octet-stream") }, reach.Reachable, "", nil, ""},
		{"early hints", earlyHints, reach.Reachable, "", nil, ""},
		{"chunked", chunked, reach.Reachable, "", nil, ""},
		{"compressed", func(w *world) http.Handler {
			return status(200, "\x1f\x8b\x08junk", "Content-Encoding", "gzip", "Content-Type", "text/plain")(w)
		},
			reach.Unreachable, reach.ReasonNotAKey, []string{"http_content_type warn", "key_parse fail"}, "content encoding"},
		{"not HTTP", raw("SSH-2.0-OpenSSH_9.2\r\n\r\n"), reach.Unreachable, reach.ReasonHTTP, []string{"http_answer fail"}, "no valid HTTP answer"},
		{"nothing", raw(""), reach.Unreachable, reach.ReasonHTTP, []string{"http_answer fail"}, "EOF"},
		{"endless header", raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<16)), reach.Unreachable, reach.ReasonHTTP, []string{"http_answer fail"}, "no valid HTTP answer"},
		{"cut body", raw("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 178\r\n\r\n-----BEGIN"), reach.Unreachable, reach.ReasonHTTP,
			[]string{"http_length fail"}, "broke off after 10 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.config.Token = nil
			w.serve("127.0.0.2", w.cert(testca.LeafOptions{}), tc.handler(w))
			w.dns.Set(domain, "A 127.0.0.2")
			for i := range tc.want {
				tc.want[i] = strings.Replace(tc.want[i], " ", "@127.0.0.2 ", 1)
			}
			report := w.check()
			expect(t, report, tc.verdict, tc.reason, tc.want...)
			if tc.seen != "" {
				id, _, _ := strings.Cut(tc.want[0], "@")
				if f := find(report, id); !strings.Contains(f.Seen, tc.seen) {
					t.Errorf("seen = %q, want %q in it", f.Seen, tc.seen)
				}
			}
		})
	}
}

// A host that takes the request, or half of it, and then is silent.
func TestSilence(t *testing.T) {
	for name, tc := range map[string]struct{ sent, id string }{
		"before the answer": {"", "http_answer"},
		"in the header":     {"HTTP/1.1 200 OK\r\nContent-", "http_answer"},
		"in the body":       {"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 178\r\n\r\n-----", "http_length"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.config.Token = nil
			w.serve("127.0.0.2", w.cert(testca.LeafOptions{}), hijack(tc.sent, true))
			w.dns.Set(domain, "A 127.0.0.2")
			// On a busy machine what comes before may take as long: then more time is given.
			var report reach.Report
			for w.config.Timeout = 300 * time.Millisecond; w.config.Timeout < time.Minute; w.config.Timeout *= 2 {
				report = w.check()
				if f := find(report, tc.id); f.Status == finding.Fail {
					break
				}
			}
			expect(t, report, reach.Inconclusive, reach.ReasonTimeout, tc.id+"@127.0.0.2 fail")
		})
	}
}

func TestKeys(t *testing.T) {
	_, other := testnet.Key(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := func(w *world) []byte {
		der, err := x509.MarshalECPrivateKey(w.private)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	}
	for _, tc := range []struct {
		name   string
		body   func(*world) []byte
		reason string
		want   []string
		seen   string
	}{
		{"another key", func(*world) []byte { return other.PEM() }, reach.ReasonWrongKey, []string{"key_match fail"}, other.Fingerprint()},
		{"RSA", func(*world) []byte { return testnet.PublicPEM(t, &rsaKey.PublicKey) }, reach.ReasonNotAKey, []string{"key_parse fail"}, "RSA"},
		{"P-384", func(*world) []byte { return testnet.PublicPEM(t, &p384.PublicKey) }, reach.ReasonNotAKey, []string{"key_parse fail"}, "P-384"},
		{"certificate", func(w *world) []byte { return w.signer.RootsPEM() }, reach.ReasonNotAKey, []string{"key_parse fail"}, "certificate"},
		{"private key", sec1, reach.ReasonPrivateKey, []string{"key_private fail"}, "ALARM"},
		{"private RSA key", func(*world) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})
		}, reach.ReasonPrivateKey, []string{"key_private fail", "key_parse fail"}, "ALARM"},
		{"CRLF", func(w *world) []byte { return []byte(strings.ReplaceAll(string(w.key.PEM()), "\n", "\r\n")) }, "",
			[]string{"key_canonical warn"}, "182 bytes in place of 178 (crlf)"},
		{"BOM", func(w *world) []byte { return append([]byte("\ufeff"), w.key.PEM()...) }, "", []string{"key_canonical warn"}, "bom"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.serve("127.0.0.2", w.cert(testca.LeafOptions{}), w.keyHandler(tc.body(w)))
			w.dns.Set(domain, "A 127.0.0.2")
			for i := range tc.want {
				tc.want[i] = strings.Replace(tc.want[i], " ", "@127.0.0.2 ", 1)
			}
			verdict := reach.Reachable
			if tc.reason != "" {
				verdict = reach.Unreachable
			}
			report := w.check()
			expect(t, report, verdict, tc.reason, tc.want...)
			id, _, _ := strings.Cut(tc.want[0], "@")
			if f := find(report, id); !strings.Contains(f.Seen, tc.seen) {
				t.Errorf("seen = %q, want %q in it", f.Seen, tc.seen)
			}
			for _, f := range report.Findings {
				if text := fmt.Sprint(f); strings.Contains(text, "MHcCAQEE") || strings.Contains(text, "PRIVATE KEY-----") {
					t.Errorf("%s shows the private key", f.ID)
				}
			}
		})
	}
}

// A private key is an alarm even with a certificate that does not hold.
func TestPrivateKeyComesFirst(t *testing.T) {
	w := newWorld(t)
	der, err := x509.MarshalPKCS8PrivateKey(w.private)
	if err != nil {
		t.Fatal(err)
	}
	body := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	w.serve("127.0.0.2", w.cert(testca.LeafOptions{SelfSigned: true}), w.keyHandler(body))
	w.dns.Set(domain, "A 127.0.0.2")
	report := w.check()
	expect(t, report, reach.Unreachable, reach.ReasonPrivateKey, "tls_chain@127.0.0.2 fail", "key_private@127.0.0.2 fail")
	if id := report.Deciding().ID; id != "key_private" {
		t.Errorf("deciding = %s", id)
	}
}

// status answers everything with a status, a body and header fields.
func status(code int, body string, header ...string) func(*world) http.Handler {
	return func(*world) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			rw.Header().Set("Content-Length", fmt.Sprint(len(body)))
			rw.WriteHeader(code)
			_, _ = rw.Write([]byte(body)) // the client may have seen enough
		})
	}
}

func typed(body []byte, kind string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header()["Content-Type"] = []string{kind}
		_, _ = rw.Write(body)
	})
}

func pemHandler(body []byte) http.Handler { return typed(body, "application/x-pem-file") }

func endless(*world) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := rw.Write([]byte("endless nonsense\n")); err != nil {
				return
			}
		}
	})
}

func earlyHints(w *world) http.Handler {
	next := pemHandler(w.key.PEM())
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(http.StatusEarlyHints)
		next.ServeHTTP(rw, r)
	})
}

func chunked(w *world) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/x-pem-file")
		for _, b := range w.key.PEM() {
			_, _ = rw.Write([]byte{b})
			rw.(http.Flusher).Flush()
		}
	})
}

func raw(text string) func(*world) http.Handler {
	return func(*world) http.Handler { return hijack(text, false) }
}

// hijack sends text as it stands, and then closes the connection, or stays
// silent until the client does.
func hijack(text string, silent bool) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(text))
		if silent {
			_, _ = conn.Read(make([]byte, 1))
		}
	})
}
