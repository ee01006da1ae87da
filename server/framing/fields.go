package framing

import (
	"bytes"
	"fmt"
	"io"
	"net"
)

// MostFields is how many fields a header may have, and so may a trailer. Browsers send
// some twenty, and a chain of proxies adds a dozen; Apache and HAProxy take a hundred,
// too. net/http makes a map of them while they come, whatever their size: 3,000 names of
// two letters, which are 12 kB, become 200 kB for as long as the header may take.
const MostFields = 100

// errManyFields ends a connection with such a header.
var errManyFields = &Error{fmt.Sprintf("more than %d fields", MostFields)}

// Fields counts the fields of headers in what is read of a connection of HTTP/1, and
// ends it where they are too many. It knows nothing of bodies, whose lines it counts as
// well, so it is for connections that end with the first body. No two goroutines may
// read at a time.
type Fields struct {
	lines int  // of the header so far
	begun int  // bytes of the line so far
	cr    bool // the first of them was a carriage return
	over  bool // they were too many
}

// Read reads from r into b. It gives all lines before the one that is too many.
func (f *Fields) Read(r io.Reader, b []byte) (int, error) {
	if f.over {
		return 0, errManyFields
	}
	n, err := r.Read(b)
	good := f.count(b[:n])
	if good == n {
		return n, err
	}
	f.over = true
	if good == 0 {
		return 0, errManyFields
	}
	return good, nil
}

// count goes through the next bytes, and returns how many are good.
func (f *Fields) count(b []byte) (good int) {
	for good < len(b) {
		rest := b[good:]
		if f.begun == 0 {
			f.cr = rest[0] == '\r'
		}
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			f.begun += len(rest)
			return len(b)
		}
		switch length := f.begun + end; {
		case length == 0, length == 1 && f.cr: // the header ends here
			f.lines = 0
		case f.lines > MostFields: // one is that of the request
			return good
		default:
			f.lines++
		}
		f.begun = 0
		good += end + 1
	}
	return good
}

// Few returns conn, ended by Fields.
func Few(conn net.Conn) net.Conn { return &few{beneath: beneath{conn}} }

type few struct {
	beneath
	fields Fields
}

// Read implements net.Conn.
func (f *few) Read(b []byte) (int, error) { return f.fields.Read(f.Conn, b) }
