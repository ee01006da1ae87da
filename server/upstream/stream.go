package upstream

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"wellkey/internal/guideline"
)

var hsts = []string{guideline.HSTS}

// A writer is the way back to the visitor. Each write has a deadline of its own,
// and between two there is none.
type writer struct {
	http.ResponseWriter
	rc   *http.ResponseController
	code int  // 0: none yet
	hsts bool // say it, unless the application does
	body *body
}

// newWriter returns the way back of r, with what comes the other way.
func newWriter(w http.ResponseWriter, r *http.Request, linger time.Duration) *writer {
	rc := http.NewResponseController(w)
	body := &body{reader: r.Body, rc: rc, http1: r.ProtoMajor == 1, linger: linger}
	if r.ContentLength == 0 {
		body.whole.Store(true)
	} else {
		// Else HTTP/1 would throw away what nobody has read when the answer begins.
		_ = rc.EnableFullDuplex()
	}
	return &writer{ResponseWriter: w, rc: rc, body: body}
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(code int) {
	if code >= http.StatusOK && w.code == 0 {
		w.code = code
		if h := w.Header(); w.hsts && h["Strict-Transport-Security"] == nil {
			h["Strict-Transport-Security"] = hsts
		}
		if w.body.remains() {
			// The connection ends, or what is left would be taken for a request.
			w.Header().Set("Connection", "close")
		}
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(b []byte) (int, error) {
	_ = w.rc.SetWriteDeadline(time.Now().Add(bodyTimeout))
	n, err := w.ResponseWriter.Write(b)
	_ = w.rc.SetWriteDeadline(time.Time{})
	return n, err
}

// FlushError is for http.ResponseController.
func (w *writer) FlushError() error {
	_ = w.rc.SetWriteDeadline(time.Now().Add(bodyTimeout))
	err := w.rc.Flush()
	_ = w.rc.SetWriteDeadline(time.Time{})
	return err
}

// Hijack implements http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.rc.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.code = http.StatusSwitchingProtocols
	if watched, ok := conn.(interface{ Opaque() }); ok {
		watched.Opaque() // what comes is no HTTP any more
	}
	return conn, rw, nil
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A body is what the visitor sends. Each read has a deadline of its own.
type body struct {
	reader io.ReadCloser
	rc     *http.ResponseController
	http1  bool
	linger time.Duration // see lingerTimeout
	first  []byte        // was read ahead
	end    error         // comes after first
	failed atomic.Bool   // the visitor's fault
	whole  atomic.Bool   // it was read to its end

	reading sync.Mutex // held by who reads
	mu      sync.Mutex
	left    bool // guarded by mu; nobody wants it any more
}

// errLeft is what those read who still read then.
var errLeft = errors.New("the request has its answer")

// remains reports whether some of b may be on its way yet, on a connection that it shares
// with other requests.
func (b *body) remains() bool { return b.http1 && !b.whole.Load() }

// leave has nobody wait for b for long, when the answer is known: who still reads it to
// pass it on is interrupted, since net/http would do so itself and forget every deadline;
// and net/http, which reads on before it closes the connection, so that a client that is
// sending sees the answer and no reset, does that for a while.
func (b *body) leave() {
	if !b.remains() {
		return
	}
	b.mu.Lock()
	b.left = true
	_ = b.rc.SetReadDeadline(time.Unix(1, 0))
	b.mu.Unlock()
	b.reading.Lock()
	defer b.reading.Unlock()
	_ = b.rc.SetReadDeadline(time.Now().Add(b.linger))
}

// peek reads the beginning, so that a body that is wrong from there never reaches
// the application.
func (b *body) peek() error {
	first := make([]byte, 512)
	n, err := b.read(first)
	b.first = first[:n]
	if err == io.EOF {
		b.end, err = io.EOF, nil
	}
	return err
}

// Read implements io.Reader.
func (b *body) Read(to []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(to, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	if b.end != nil {
		return 0, b.end
	}
	return b.read(to)
}

func (b *body) read(to []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.wait(time.Now().Add(bodyTimeout)) {
		return 0, errLeft
	}
	n, err := b.reader.Read(to)
	switch {
	case err == io.EOF:
		b.wait(time.Time{})
		b.whole.Store(true)
	case !b.wait(time.Time{}):
	case err != nil:
		b.failed.Store(true)
	}
	return n, err
}

// wait sets how long a read may take, or reports that there is none to be.
func (b *body) wait(until time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.left {
		_ = b.rc.SetReadDeadline(until)
	}
	return !b.left
}

// Close implements io.Closer. That of HTTP/1 is not closed before the answer is out:
// net/http would wait for what is left of it. See leave.
func (b *body) Close() error {
	if b.http1 {
		return nil
	}
	return b.reader.Close()
}
