package passthrough

import (
	"errors"
	"io"
	"strings"
)

// The bounds of a ClientHello, those of crypto/tls. With post-quantum keys it has
// some 1,800 bytes in one or two records. Who calls may bound it by less: the server
// ends a connection that says more than 16 kB before its name is known.
const (
	maxHello  = 64 << 10          // of the message
	maxStream = maxHello + 32<<10 // of the message in its records
	maxRecord = 16 << 10          // RFC 8446, section 5.1
	firstRead = 2 << 10           // what is made room for at first
	header    = 5                 // of a record
	handshake = 4                 // header of a handshake message
	random    = 32                // RFC 8446, section 4.1.2
)

// errNotHello is the error of what does not begin with a ClientHello.
var errNotHello = errors.New("passthrough: no ClientHello")

// ReadHello reads a ClientHello from r, in as many records and pieces as it comes.
// It returns the server name in it (lower case, without a dot at the end, "" where
// there is none), and all bytes that were read, also with an error: they are to be
// replayed to whoever gets the connection. What is not a ClientHello, or not a
// well-formed one, is errNotHello.
func ReadHello(r io.Reader) (name string, read []byte, err error) {
	h := hello{raw: make([]byte, 0, firstRead)}
	for {
		if len(h.raw) == cap(h.raw) {
			if cap(h.raw) >= maxStream {
				return "", h.raw, errNotHello
			}
			grown := make([]byte, len(h.raw), min(2*cap(h.raw), maxStream))
			copy(grown, h.raw)
			h.raw = grown
		}
		n, err := r.Read(h.raw[len(h.raw):cap(h.raw)])
		h.raw = h.raw[:len(h.raw)+n]
		if n > 0 {
			complete, wrong := h.advance()
			if wrong != nil {
				return "", h.raw, wrong
			}
			if complete {
				name, err := serverName(h.message[handshake:])
				return name, h.raw, err
			}
		}
		if err != nil {
			return "", h.raw, err
		}
	}
}

// A hello is a ClientHello that is not all here yet.
type hello struct {
	raw     []byte
	next    int    // where in raw the next record begins
	message []byte // the handshake message, out of its records
}

// advance takes complete records out of raw. It is complete when the message is.
func (h *hello) advance() (complete bool, err error) {
	for {
		record := h.raw[h.next:]
		// Garbage is known from its first bytes, so nobody waits for more of it.
		if len(record) > 0 && record[0] != 22 || len(record) > 1 && record[1] != 3 {
			return false, errNotHello
		}
		if len(record) < header {
			return false, nil
		}
		length := int(record[3])<<8 | int(record[4])
		if length == 0 || length > maxRecord {
			return false, errNotHello
		}
		if len(record) < header+length {
			return false, nil
		}
		h.message = append(h.message, record[header:header+length]...)
		h.next += header + length
		if h.message[0] != 1 {
			return false, errNotHello
		}
		if len(h.message) < handshake {
			continue
		}
		switch want := handshake + int(h.message[1])<<16 + int(h.message[2])<<8 + int(h.message[3]); {
		case want > handshake+maxHello, len(h.message) > want:
			return false, errNotHello
		case len(h.message) == want:
			return true, nil
		}
	}
}

// serverName returns the host in the extension server_name of a ClientHello (RFC
// 8446, section 4.1.2; RFC 6066, section 3). Extensions that nobody knows, such as
// those that GREASE makes up (RFC 8701), are skipped; with Encrypted ClientHello
// it is the outer name.
func serverName(body []byte) (string, error) {
	b := bytesOf(body)
	b.skip(2 + random)
	b.skip(b.uint(1)) // session id
	b.skip(b.uint(2)) // cipher suites
	b.skip(b.uint(1)) // compression methods
	if !b.bad && len(b.rest) == 0 {
		return "", nil // TLS 1.2 allows it to have no extensions
	}
	extensions := b.take(b.uint(2))
	if b.bad || len(b.rest) > 0 {
		return "", errNotHello
	}
	name, found := "", false
	for b := bytesOf(extensions); len(b.rest) > 0; {
		kind := b.uint(2)
		data := b.take(b.uint(2))
		if b.bad {
			return "", errNotHello
		}
		if kind != 0 {
			continue
		}
		if found {
			return "", errNotHello
		}
		found = true
		var ok bool
		if name, ok = hostName(data); !ok {
			return "", errNotHello
		}
	}
	return name, nil
}

// hostName returns the host in the data of the extension server_name.
func hostName(data []byte) (name string, ok bool) {
	b := bytesOf(data)
	list := bytesOf(b.take(b.uint(2)))
	if b.bad || len(b.rest) > 0 || len(list.rest) == 0 {
		return "", false
	}
	for found := false; len(list.rest) > 0; {
		kind := list.uint(1)
		text := list.take(list.uint(2))
		if list.bad || len(text) == 0 {
			return "", false
		}
		if kind != 0 {
			continue // no other kind was ever defined
		}
		if found || len(text) > 255 {
			return "", false
		}
		name, found = strings.ToLower(strings.TrimSuffix(string(text), ".")), true
	}
	return name, true
}

// bytesOf returns what reads b, and remembers if there was too little.
func bytesOf(b []byte) *cursor { return &cursor{rest: b} }

type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n int) []byte {
	if n > len(c.rest) {
		c.bad, c.rest = true, nil
		return nil
	}
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

func (c *cursor) skip(n int) { c.take(n) }

func (c *cursor) uint(size int) int {
	n := 0
	for _, b := range c.take(size) {
		n = n<<8 | int(b)
	}
	return n
}
