package framing_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"wellkey/server/framing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stub is a connection that reads from a reader.
type stub struct {
	net.Conn
	io.Reader
}

func (s stub) Read(b []byte) (int, error) { return s.Reader.Read(b) }

// read returns all that a Conn gives, and why it ended; "" is the end of input.
func read(from io.Reader) (got, wrong string) {
	text, err := io.ReadAll(framing.New(stub{Reader: from}))
	var fault *framing.Error
	if errors.As(err, &fault) {
		return string(text), fault.What
	}
	return string(text), ""
}

const (
	head = "POST / HTTP/1.1\r\nHost: a\r\n"
	next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
)

func TestRefused(t *testing.T) {
	for _, tc := range []struct{ name, good, bad, want string }{
		{"bare line feed", "GET / HTTP/1.1", "\nHost: a\r\n\r\n", "a line ends without a carriage return"},
		{"bare line feed at the end", "GET / HTTP/1.1\r\nHost: a\r\n", "\n", "a line ends without a carriage return"},
		{"carriage return within", "GET / HTTP/1.1\r\nA: b\r", "c\r\n\r\n", "a carriage return within a line"},
		{"NUL", "GET / HTTP/1.1\r\nA: ", "\x00\r\n\r\n", "a NUL"},
		{"folded field", "GET / HTTP/1.1\r\nA: b\r\n", " Content-Length: 3\r\n\r\n", "a folded field, or white space before a line"},
		{"folded first field", "GET / HTTP/1.1\r\n", "\tA: b\r\n\r\n", "a folded field, or white space before a line"},
		{"folded encoding", head + "Transfer-Encoding:\r", "\n chunked\r\n\r\n", "a transfer encoding that is not chunked"},
		{"empty line in front", "\r", "\n" + next, "an empty line in front of a request"},
		{"space before colon", head + "Content-Length : 3\r", "\n\r\nabc", "white space in front of a colon"},
		{"two lengths", head + "Content-Length: 3\r\ncontent-length: 3\r\n\r", "\nabc", "two lengths"},
		{"length list", head + "Content-Length: 3, 3\r", "\n\r\nabc", "a length that is not of digits alone"},
		{"signed length", head + "Content-Length: +3\r", "\n\r\nabc", "a length that is not of digits alone"},
		{"negative length", head + "Content-Length: -3\r", "\n\r\nabc", "a length that is not of digits alone"},
		{"hexadecimal length", head + "Content-Length: 0x3\r", "\n\r\nabc", "a length that is not of digits alone"},
		{"huge length", head + "Content-Length: 1234567890123456789\r", "\n\r\nabc", "a length that is not of digits alone"},
		{"empty length", head + "Content-Length:\r", "\n\r\n", "a length that is not of digits alone"},
		{"long length", head + "Content-Length: 3" + strings.Repeat(" ", 100) + "\r", "\n\r\nabc", "a length that is not of digits alone"},
		{"length and encoding", head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r", "\n0\r\n\r\n", "a length beside a transfer encoding"},
		{"encoding and length", head + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r", "\n0\r\n\r\n", "a length beside a transfer encoding"},
		{"two encodings", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r", "\n0\r\n\r\n", "two transfer encodings"},
		{"encoding list", head + "Transfer-Encoding: gzip, chunked\r", "\n\r\n0\r\n\r\n", "a transfer encoding that is not chunked"},
		{"identity", head + "Transfer-Encoding: identity\r", "\n\r\n", "a transfer encoding that is not chunked"},
		{"odd encoding", head + "Transfer-Encoding: \x0bchunked\r", "\n\r\n0\r\n\r\n", "a transfer encoding that is not chunked"},
		{"encoding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r", "\n0\r\n\r\n", "a transfer encoding in HTTP/1.0"},
		{"chunk without size", head + "Transfer-Encoding: chunked\r\n\r\n\r", "\n", "a chunk without a size"},
		{"chunk size with a sign", head + "Transfer-Encoding: chunked\r\n\r\n+3\r", "\nabc\r\n0\r\n\r\n", "a chunk size that is not hexadecimal"},
		{"chunk size with a prefix", head + "Transfer-Encoding: chunked\r\n\r\n0x3\r", "\nabc\r\n0\r\n\r\n", "a chunk size that is not hexadecimal"},
		{"chunk size with a space", head + "Transfer-Encoding: chunked\r\n\r\n3 \r", "\nabc\r\n0\r\n\r\n", "a chunk size that is not hexadecimal"},
		{"chunk size that overflows", head + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r", "\nabc\r\n0\r\n\r\n", "a chunk without a size"},
		{"chunk size without end", head + "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("a", 254), "a\r\nabc", "a chunk size that is too long"},
		{"bare line feed behind a size", head + "Transfer-Encoding: chunked\r\n\r\n3", "\nabc\r\n0\r\n\r\n", "a line ends without a carriage return"},
		{"line feed in an extension", head + "Transfer-Encoding: chunked\r\n\r\n3;a=\"", "\n\"\r\nabc\r\n0\r\n\r\n", "a line ends without a carriage return"},
		{"control in an extension", head + "Transfer-Encoding: chunked\r\n\r\n3;a=\x1b\r", "\nabc", "a control character in a chunk extension"},
		{"long chunk", head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc", "d\r\n0\r\n\r\n", "a chunk that is longer than its size"},
		{"short chunk", head + "Transfer-Encoding: chunked\r\n\r\n5\r\nabc\r\n", "0\r\n\r\n", "a chunk that is longer than its size"},
		{"length in a trailer", head + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r", "\n\r\nabc", "framing in a trailer"},
		{"encoding in a trailer", head + "Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: x\r", "\n\r\n", "framing in a trailer"},
		{"after a request", next + head + "Content-Length: 3\r\n\r\nabcGET / HTTP/1.1", "\n", "a line ends without a carriage return"},
		{"after chunks", head + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1", "\n", "a line ends without a carriage return"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, from := range []io.Reader{strings.NewReader(tc.good + tc.bad), iotest.OneByteReader(strings.NewReader(tc.good + tc.bad))} {
				if got, wrong := read(from); got != tc.good || wrong != tc.want {
					t.Errorf("got %q, %q; want %q, %q", got, wrong, tc.good, tc.want)
				}
			}
		})
	}
}

func TestPasses(t *testing.T) {
	for name, text := range map[string]string{
		"get":            next + next,
		"old get":        "GET / HTTP/1.0\r\n\r\n",
		"body":           head + "Content-Length: 7\r\n\r\n\n\r\x00 a\nb" + next,
		"no body":        head + "Content-Length: 0\r\n\r\n" + next,
		"chunks":         head + "transfer-encoding:\tChunked \r\n\r\nA;x=\"y\"\r\n\n\n\r\x00567890\r\n00\r\nA: b\r\n\r\n" + next,
		"long line":      "GET /" + strings.Repeat("a", 5000) + " HTTP/1.1\r\nCookie: " + strings.Repeat("b", 5000) + "\r\n\r\n" + next,
		"colon in value": head + "X: Content-Length: 5\r\n\r\n" + next,
		"cut":            head + "Content-Length: 7\r\n\r\nabc",
	} {
		if got, wrong := read(iotest.OneByteReader(strings.NewReader(text))); got != text || wrong != "" {
			t.Errorf("%s: got %q, %q", name, got, wrong)
		}
	}
}

func TestOpaque(t *testing.T) {
	conn := framing.New(stub{Reader: strings.NewReader("\n\x00\x81")})
	conn.Opaque()
	if got, err := io.ReadAll(conn); string(got) != "\n\x00\x81" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// fields returns how many fields a request has in its header and its trailer.
func fields(r *http.Request) (header, trailer int) {
	for _, values := range r.Header {
		header += len(values)
	}
	for _, values := range r.Trailer {
		trailer += len(values)
	}
	return header, trailer
}

// What passes has one meaning: where net/http takes a request out of it, what is
// behind that request begins like one for us too. It has no more fields than may be,
// and neither has a header that Few lets pass, in whatever pieces it comes.
func FuzzAgreesWithNetHTTP(f *testing.F) {
	f.Add(head+"Content-Length: 3\r\n\r\nabc", next)
	f.Add(head+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", next)
	f.Add("GET / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", next)
	for _, n := range []int{framing.MostFields, framing.MostFields + 1} {
		f.Add("GET / HTTP/1.1\r\n"+strings.Repeat("a:\r\n", n)+"\r\n", next)
		f.Add("GET / HTTP/1.1\n"+strings.Repeat("a:\n", n)+"\n", next)
		f.Add(head+"Transfer-Encoding: chunked\r\n\r\n0\r\n"+strings.Repeat("a:\r\n", n)+"\r\n", next)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		input := first + second
		few, err := io.ReadAll(framing.Few(stub{Reader: strings.NewReader(input)}))
		slow, err2 := io.ReadAll(framing.Few(stub{Reader: iotest.OneByteReader(strings.NewReader(input))}))
		if (err == nil) != (err2 == nil) || !strings.HasPrefix(input, string(few)) || err == nil && string(few)+string(slow) != input+input {
			t.Fatalf("of %q passes %q, %v, and in pieces %q, %v", input, few, err, slow, err2)
		}
		if r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(few))); err == nil {
			if n, _ := fields(r); n > framing.MostFields {
				t.Fatalf("%d fields pass", n)
			}
		}
		got, wrong := read(strings.NewReader(input))
		if wrong != "" {
			input = got
		}
		reader := bufio.NewReader(strings.NewReader(input))
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		if n, more := fields(r); n > framing.MostFields || more > framing.MostFields {
			t.Fatalf("%d fields pass, and %d in the trailer", n, more)
		}
		rest, _ := io.ReadAll(reader)
		end := len(input) - len(rest)
		// Cut there, a line feed must be the beginning of a request, which is
		// refused as a bare one.
		probe := append([]byte(input[:end]), "\r\n"...)
		if _, wrong := read(bytes.NewReader(probe)); wrong != "an empty line in front of a request" {
			t.Fatalf("net/http ends the request after %q, and we do not (%q)", input[:end], wrong)
		}
	})
}
