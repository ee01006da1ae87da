// Package framing reads along with an HTTP/1 connection and ends it where two
// servers might disagree on where one request ends and the next begins. That
// disagreement is how requests are smuggled past a proxy; net/http alone forgives
// some of what it is made of.
//
// Refused are: a line that ends without a carriage return, or has one elsewhere;
// a field that is folded over several lines; a length beside a transfer encoding;
// two lengths, or one that is not of digits alone; any transfer encoding but one
// "chunked", or in HTTP/1.0; and chunks that are not exactly as RFC 9112, section
// 7.1, writes them. What is left has one meaning.
//
// A header of more fields than any client sends is refused as well, since it takes many
// times its size in memory; see MostFields. Fields is for connections of which nothing
// else is to be known.
package framing

import (
	"net"
	"strings"
	"sync"
)

// An Error says what about a request is ambiguous, or too much. It is what Read returns, so
// that net/http answers 400 and closes the connection.
type Error struct{ What string }

func (e *Error) Error() string { return "framing: " + e.What }

// beneath is the connection beneath one that is read along.
type beneath struct{ net.Conn }

// NetConn returns it.
func (b beneath) NetConn() net.Conn { return b.Conn }

// CloseWrite closes the way to the client alone, where that can be.
func (b beneath) CloseWrite() error {
	if half, ok := b.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// A Conn is a connection that is read along.
type Conn struct {
	beneath

	mu     sync.Mutex
	stream stream // guarded by mu
	err    error  // guarded by mu; what ended it
	opaque bool   // guarded by mu
}

// New returns conn, read along from its first byte on.
func New(conn net.Conn) *Conn { return &Conn{beneath: beneath{conn}} }

// Opaque says that the rest is no HTTP, as after a change to websocket.
func (c *Conn) Opaque() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opaque, c.err = true, nil
}

// Read implements net.Conn. It gives all bytes before an offending one.
func (c *Conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opaque {
		return n, err
	}
	good, wrong := c.stream.scan(b[:n])
	if wrong == "" {
		return n, err
	}
	c.err = &Error{wrong}
	if good == 0 {
		return 0, c.err
	}
	return good, nil
}

// A state is what the next byte belongs to.
type state int

const (
	stateRequestLine state = iota
	stateField             // of a header
	stateBody              // of known length
	stateChunkSize
	stateChunkData
	stateChunkEnd // the line end behind the data
	stateTrailer
)

// kept is how much of a line is kept: all that matters of those that matter.
const kept = 64

// A stream is where in a series of requests a connection is.
type stream struct {
	state state
	left  int64 // bytes of a body or chunk that are still to come

	line   [kept]byte // the beginning of the line
	length int        // of the line so far, without its end
	tail   uint64     // the last eight bytes of the line
	cr     bool       // the last byte was a carriage return

	old       bool // HTTP/1.0
	fields    int  // of this header, or trailer
	lengths   int  // how many Content-Length there were
	size      int64
	encodings int // how many Transfer-Encoding there were
}

// scan goes through the next bytes. It returns how many are good, and what is
// wrong with the one behind them, "" if nothing.
func (s *stream) scan(b []byte) (good int, wrong string) {
	for i := 0; i < len(b); i++ {
		if s.state == stateBody || s.state == stateChunkData {
			skip := min(int64(len(b)-i), s.left)
			s.left -= skip
			i += int(skip) - 1
			switch {
			case s.left > 0:
			case s.state == stateBody:
				s.state = stateRequestLine
			default:
				s.state = stateChunkEnd
			}
			continue
		}
		if wrong := s.take(b[i]); wrong != "" {
			return i, wrong
		}
	}
	return len(b), ""
}

// take takes one byte of a line.
func (s *stream) take(c byte) (wrong string) {
	switch {
	case c == '\n' && !s.cr:
		return "a line ends without a carriage return"
	case c == '\n':
		s.cr = false
		wrong = s.endLine()
		s.length, s.tail = 0, 0
		return wrong
	case s.cr:
		return "a carriage return within a line"
	case c == '\r':
		s.cr = true
		return ""
	case c == 0:
		return "a NUL"
	case s.length == 0 && (c == ' ' || c == '\t') && s.state != stateRequestLine:
		return "a folded field, or white space before a line"
	case s.state == stateChunkEnd:
		return "a chunk that is longer than its size"
	}
	if s.length < kept {
		s.line[s.length] = c
	}
	s.length++
	s.tail = s.tail<<8 | uint64(c)
	if s.state == stateChunkSize && s.length > 256 {
		return "a chunk size that is too long"
	}
	return ""
}

// endLine takes the end of a line.
func (s *stream) endLine() (wrong string) {
	if s.length > 0 && (s.state == stateField || s.state == stateTrailer) {
		if s.fields++; s.fields > MostFields {
			return errManyFields.What
		}
	}
	switch s.state {
	case stateRequestLine:
		if s.length == 0 {
			return "an empty line in front of a request"
		}
		const http11 = 'H'<<56 | 'T'<<48 | 'T'<<40 | 'P'<<32 | '/'<<24 | '1'<<16 | '.'<<8 | '1'
		s.old, s.fields, s.lengths, s.encodings, s.size = s.tail != http11, 0, 0, 0, 0
		s.state = stateField
	case stateField:
		if s.length == 0 {
			return s.endHeader()
		}
		return s.field()
	case stateChunkSize:
		return s.chunkSize()
	case stateChunkEnd:
		s.state = stateChunkSize
	case stateTrailer:
		if s.length == 0 {
			s.state = stateRequestLine
			return ""
		}
		if before := s.lengths + s.encodings; s.field() != "" || s.lengths+s.encodings != before {
			return "framing in a trailer"
		}
	}
	return ""
}

// field notes what a field of a header says about framing.
func (s *stream) field() (wrong string) {
	name, value, _ := strings.Cut(string(s.line[:min(s.length, kept)]), ":")
	if strings.TrimRight(name, " \t") != name {
		return "white space in front of a colon"
	}
	// A name with other odd bytes in it is net/http's to refuse.
	switch strings.ToLower(name) {
	case "content-length":
		s.lengths++
		value = strings.Trim(value, " \t")
		if s.length > kept || value == "" || len(value) > 18 || strings.Trim(value, "0123456789") != "" {
			return "a length that is not of digits alone"
		}
		s.size = 0
		for _, digit := range []byte(value) {
			s.size = 10*s.size + int64(digit-'0')
		}
	case "transfer-encoding":
		s.encodings++
		if s.length > kept || !strings.EqualFold(strings.Trim(value, " \t"), "chunked") {
			return "a transfer encoding that is not chunked"
		}
	}
	return ""
}

// endHeader finds out what follows the header.
func (s *stream) endHeader() (wrong string) {
	switch {
	case s.lengths > 1:
		return "two lengths"
	case s.encodings > 1:
		return "two transfer encodings"
	case s.lengths > 0 && s.encodings > 0:
		return "a length beside a transfer encoding"
	case s.encodings > 0 && s.old:
		return "a transfer encoding in HTTP/1.0"
	case s.encodings > 0:
		s.state = stateChunkSize
	case s.size > 0:
		s.state, s.left = stateBody, s.size
	default:
		s.state = stateRequestLine
	}
	return ""
}

// chunkSize reads the size of a chunk. Extensions may follow it; nobody reads them.
func (s *stream) chunkSize() (wrong string) {
	text, extension, extended := strings.Cut(string(s.line[:min(s.length, kept)]), ";")
	if text == "" || len(text) > 15 {
		return "a chunk without a size"
	}
	size := int64(0)
	for _, digit := range []byte(text) {
		value := strings.IndexByte("0123456789abcdef", digit|0x20)
		if digit < '0' || value < 0 {
			return "a chunk size that is not hexadecimal"
		}
		size = size<<4 | int64(value)
	}
	if extended && strings.ContainsFunc(extension, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "a control character in a chunk extension"
	}
	s.state, s.left = stateChunkData, size
	if size == 0 {
		s.state, s.fields = stateTrailer, 0
	}
	return ""
}
