package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// What may stand in a method or the name of a field: RFC 9110, section 5.6.2.
const tokenBytes = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// oddRequest returns a request that is well-formed, so that it reaches the handler, and of
// which one part is anything that HTTP allows there, and net/http takes.
func oddRequest(random *rand.Rand) (method, text string) {
	method, path, host, agent, more := "GET", "/", domain, "curl/8", ""
	switch random.IntN(5) {
	case 0:
		method = choose(random, "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "get", "BREW", token(random))
	case 1:
		path = choose(random, "/.well-known/appspecific/com.tesla.3p.public-key.pem", "/.well-known/acme-challenge/"+encoded(random), "*", "//evil", "/"+encoded(random), "/"+unescaped.Replace(opaque(random)),
			"/%00%0a%1b[31m", "/"+strings.Repeat("a/", random.IntN(2000)), "/?"+encoded(random), "http://"+choose(random, domain, "other.example.com:1", "[::1]")+"/"+encoded(random))
	case 2:
		host = choose(random, encodedHost(random), encodedHost(random)+".example.com", "", "127.0.0.1", "[::1]:443", domain+":1", strings.Repeat("x", 300))
	case 3:
		agent = opaque(random)
	default:
		for range 1 + random.IntN(4) {
			more += choose(random, "Accept", "X-Forwarded-For", "Forwarded", "If-None-Match", "Wellkey-Probe", "Upgrade", "Cookie", token(random)) + ": " + opaque(random) + "\r\n"
		}
	}
	body := ""
	if method != "HEAD" && random.IntN(20) == 0 {
		body = word(random)
		more += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return method, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n%s\r\n%s", method, path, host, agent, more, body)
}

// token returns a word of which a method or the name of a field may be.
func token(random *rand.Rand) string {
	return bytesOf(1+random.IntN(40), func() byte { return tokenBytes[random.IntN(len(tokenBytes))] })
}

// opaque returns what the value of a field may be: all but control characters, with the
// bytes of any encoding (RFC 9110, section 5.5), and with those that look like more.
func opaque(random *rand.Rand) string {
	return choose(random, "line\u2028separator", `\x1b[31mred`, "%0d%0aX-Forged: yes", "\u202egnitirw", "\xff\xfe\x9b31m", `","level":"error`, strings.Repeat("x", random.IntN(2<<10)),
		"w"+bytesOf(random.IntN(60), func() byte {
			if c := byte(0x21 + random.IntN(0x100-0x21)); c != 0x7f {
				return c
			}
			return ' '
		})+"w")
}

// unescaped leaves of a text what stands for itself in a path.
var unescaped = strings.NewReplacer("%", "", " ", "")

// encoded returns anything, as it stands in a path.
func encoded(random *rand.Rand) string { return percent(word(random), 2000) }

// encodedHost returns anything, as it stands in a host.
func encodedHost(random *rand.Rand) string { return percent(word(random), 100) }

// percent writes the bytes of a text, most of them at the most, as %XX.
func percent(text string, most int) string {
	var b strings.Builder
	for _, c := range []byte(text[:min(len(text), most)]) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// brokenRequest returns a request of which any part may be anything, so that it seldom
// is one.
func brokenRequest(random *rand.Rand) (method, text string) {
	method = choose(random, "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "TRACE", "get", "BREW", word(random))
	path := choose(random, "/.well-known/appspecific/com.tesla.3p.public-key.pem", "/.well-known/acme-challenge/"+word(random), "/", "*", "//evil", "/"+word(random), "/%00%0a%1b[31m", "/"+strings.Repeat("a/", random.IntN(2000)), "http://"+word(random)+"/")
	host := choose(random, domain, domain, word(random), word(random)+".example.com", "", "127.0.0.1", "[::1]:443", domain+":1")
	version := choose(random, "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/9.9", word(random))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\nUser-Agent: %s\r\n", method, path, version, host, word(random))
	for range random.IntN(4) {
		fmt.Fprintf(&b, "%s: %s\r\n", choose(random, "Accept", "X-Forwarded-For", "Forwarded", "If-None-Match", "Wellkey-Probe", "Upgrade", "Expect", "Content-Length", "Transfer-Encoding", word(random)), word(random))
	}
	return method, b.String() + "\r\n"
}

// oddName returns a name for which a certificate is wanted.
func oddName(random *rand.Rand) string {
	if random.IntN(50) == 0 {
		return ""
	}
	return choose(random, fmt.Sprintf("n%x.example.com", random.Uint32()), word(random))
}

// word returns a word that may be anything.
func word(random *rand.Rand) string {
	switch random.IntN(12) {
	case 0:
		return "\x1b[31mred\x1b[0m"
	case 1:
		return "nul\x00nul"
	case 2:
		return "line\u2028separator"
	case 3:
		return "line\r\nX-Forged: yes"
	case 4:
		return strings.Repeat("x", 10<<10)
	case 5:
		return bytesOf(1+random.IntN(40), func() byte { return byte(random.IntN(256)) })
	default:
		return fmt.Sprintf("w%x", random.Uint32())
	}
}

func choose(random *rand.Rand, among ...string) string { return among[random.IntN(len(among))] }

// bytesOf returns n bytes, each made anew.
func bytesOf(n int, one func() byte) string {
	junk := make([]byte, n)
	for i := range junk {
		junk[i] = one()
	}
	return string(junk)
}
