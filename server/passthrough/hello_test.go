package passthrough_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"wellkey/server/passthrough"
)

// recorded is a connection that keeps what is written, and answers nothing.
type recorded struct {
	net.Conn
	bytes.Buffer
}

func (r *recorded) Read([]byte) (int, error)         { return 0, io.EOF }
func (r *recorded) Write(b []byte) (int, error)      { return r.Buffer.Write(b) }
func (r *recorded) Close() error                     { return nil }
func (r *recorded) SetDeadline(time.Time) error      { return nil }
func (r *recorded) SetWriteDeadline(time.Time) error { return nil }

// helloOf returns the ClientHello that Go sends with a configuration.
func helloOf(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	conn := &recorded{}
	_ = tls.Client(conn, config).Handshake() // it fails, for want of an answer
	if conn.Len() == 0 {
		t.Fatal("no ClientHello")
	}
	return conn.Bytes()
}

// seen is the name that crypto/tls sees in what is sent to a server.
func seen(input []byte) (name string, ok bool) {
	here, there := net.Pipe()
	defer func() { _ = here.Close(); _ = there.Close() }()
	go func() {
		_, _ = here.Write(input)
		_ = here.Close()
	}()
	server := tls.Server(there, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = h.ServerName, true
		return nil, errors.New("seen")
	}})
	go func() { _, _ = io.Copy(io.Discard, here) }()
	_ = server.HandshakeContext(context.Background())
	return name, ok
}

// inRecords cuts the message of one record into records of size bytes.
func inRecords(hello []byte, size int) []byte {
	var all []byte
	for rest := hello[5:]; len(rest) > 0; {
		n := min(size, len(rest))
		all = append(all, 22, 3, 1, byte(n>>8), byte(n))
		all = append(all, rest[:n]...)
		rest = rest[n:]
	}
	return all
}

// padded returns hello with an extension that nobody knows, of size bytes.
func padded(hello []byte, size int) []byte {
	message := append([]byte(nil), hello[5:]...)
	// The extensions are last: their length stands in front of them.
	at := 4 + 2 + 32
	at += 1 + int(message[at])
	at += 2 + int(message[at])<<8 + int(message[at+1])
	at += 1 + int(message[at])
	extensions := int(message[at])<<8 + int(message[at+1]) + 4 + size
	message[at], message[at+1] = byte(extensions>>8), byte(extensions)
	message = append(message, 0x0a, 0x0a, byte(size>>8), byte(size)) // a GREASE value
	message = append(message, make([]byte, size)...)
	length := len(message) - 4
	message[1], message[2], message[3] = byte(length>>16), byte(length>>8), byte(length)
	return inRecords(append(make([]byte, 5), message...), 16<<10)
}

func TestReadHello(t *testing.T) {
	const name = "telemetry.example.com"
	plain := helloOf(t, &tls.Config{ServerName: name})
	for _, tc := range []struct {
		name  string
		hello []byte
		want  string
	}{
		{"of Go", plain, name},
		{"of TLS 1.2", helloOf(t, &tls.Config{ServerName: name, MaxVersion: tls.VersionTLS12}), name},
		{"with protocols", helloOf(t, &tls.Config{ServerName: name, NextProtos: []string{"h2", "acme-tls/1"}}), name},
		{"without a name", helloOf(t, &tls.Config{InsecureSkipVerify: true}), ""},
		{"in capitals", bytes.Replace(plain, []byte(name), []byte("TELEMETRY.example.COM"), 1), name},
		{"in small records", inRecords(plain, 7), name},
		{"in records of one byte", inRecords(plain, 1), name},
		{"with GREASE", padded(plain, 100), name},
		{"large", padded(plain, 60000), name},
	} {
		for how, reader := range map[string]io.Reader{
			"at once": bytes.NewReader(tc.hello), "by bytes": iotest.OneByteReader(bytes.NewReader(tc.hello)), "with an end": iotest.DataErrReader(bytes.NewReader(tc.hello)),
		} {
			got, read, err := passthrough.ReadHello(reader)
			if got != tc.want || err != nil || !bytes.Equal(read, tc.hello) {
				t.Errorf("%s, %s: got %q, %v, %d bytes of %d", tc.name, how, got, err, len(read), len(tc.hello))
			}
		}
	}
	// What comes behind it, if it has come, is replayed too.
	more := append(bytes.Clone(plain), 20, 3, 3, 0, 1, 1)
	if got, read, err := passthrough.ReadHello(bytes.NewReader(more)); got != name || err != nil || !bytes.Equal(read, more) {
		t.Errorf("with more behind it: got %q, %v, %d bytes of %d", got, err, len(read), len(more))
	}
}

func TestNoHello(t *testing.T) {
	plain := helloOf(t, &tls.Config{ServerName: "telemetry.example.com"})
	change := func(at int, to byte) []byte {
		changed := bytes.Clone(plain)
		changed[at] = to
		return changed
	}
	twice := bytes.Clone(plain)
	twice = append(inRecords(twice, 16<<10)[:5], append(twice[5:], twice[5:]...)...)
	twice[3], twice[4] = byte((len(twice)-5)>>8), byte(len(twice)-5)
	for name, input := range map[string][]byte{
		"HTTP":                     []byte("GET / HTTP/1.1\r\n"),
		"one byte":                 []byte("G"),
		"two bytes":                {22, 2},
		"SSH":                      []byte("SSH-2.0-OpenSSH\r\n"),
		"SSL 2":                    {0x80, 0x2e, 1, 0, 2},
		"alert":                    {21, 3, 1, 0, 2, 2, 40},
		"empty record":             {22, 3, 1, 0, 0},
		"huge record":              {22, 3, 1, 0x40, 1},
		"ServerHello":              change(5, 2),
		"huge message":             {22, 3, 1, 0, 4, 1, 1, 0, 1},
		"two messages in a record": twice,
		"short":                    change(8, plain[8]-1),
		"name of length 0":         bytes.Replace(plain, []byte{0, 0, 21, 't'}, []byte{0, 0, 0, 't'}, 1),
		"long name":                bytes.Replace(plain, []byte{0, 0, 21, 't'}, []byte{0, 0, 22, 't'}, 1),
		"endless":                  inRecords(append(append(make([]byte, 5), 1, 0, 0xff, 0xff), make([]byte, 60000)...), 1),
	} {
		_, read, err := passthrough.ReadHello(iotest.OneByteReader(bytes.NewReader(input)))
		if !errors.Is(err, passthrough.ErrNotHello) || !bytes.HasPrefix(input, read) || len(read) > 96<<10 {
			t.Errorf("%s: got %v after %d bytes", name, err, len(read))
		}
	}
	for end := range plain {
		if _, read, err := passthrough.ReadHello(bytes.NewReader(plain[:end])); err != io.EOF || len(read) != end {
			t.Fatalf("cut after %d bytes: got %v, %d", end, err, len(read))
		}
	}
}

// What crypto/tls reads as a ClientHello has the same name for us; else a
// connection could go past the server that it is for.
func FuzzReadHello(f *testing.F) {
	f.Add(helloOf(f, &tls.Config{ServerName: "telemetry.example.com"}))
	f.Add(helloOf(f, &tls.Config{ServerName: "a.example", MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2"}}))
	f.Add(helloOf(f, &tls.Config{InsecureSkipVerify: true}))
	f.Add(inRecords(helloOf(f, &tls.Config{ServerName: "a.example"}), 50))
	f.Add(padded(helloOf(f, &tls.Config{ServerName: "a.example"}), 300))
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, input []byte) {
		name, read, err := passthrough.ReadHello(bytes.NewReader(input))
		if !bytes.HasPrefix(input, read) {
			t.Fatal("what was read is not what was sent")
		}
		if again, _, errAgain := passthrough.ReadHello(iotest.OneByteReader(bytes.NewReader(input))); again != name || (errAgain == nil) != (err == nil) {
			t.Fatalf("by single bytes: %q, %v; at once: %q, %v", again, errAgain, name, err)
		}
		theirs, ok := seen(input)
		if ok && err == nil && !strings.EqualFold(theirs, name) {
			t.Fatalf("we read %q, crypto/tls %q", name, theirs)
		}
	})
}
