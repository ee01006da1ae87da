package upstream

import (
	"bufio"
	"io"
	"net"
	"net/http"
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
}

func newWriter(w http.ResponseWriter) *writer {
	return &writer{ResponseWriter: w, rc: http.NewResponseController(w)}
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(code int) {
	if code >= http.StatusOK && w.code == 0 {
		w.code = code
		if h := w.Header(); w.hsts && h["Strict-Transport-Security"] == nil {
			h["Strict-Transport-Security"] = hsts
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
	first  []byte      // was read ahead
	end    error       // comes after first
	failed atomic.Bool // the visitor's fault
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
	_ = b.rc.SetReadDeadline(time.Now().Add(bodyTimeout))
	n, err := b.reader.Read(to)
	_ = b.rc.SetReadDeadline(time.Time{})
	if err != nil && err != io.EOF {
		b.failed.Store(true)
	}
	return n, err
}

// Close implements io.Closer.
func (b *body) Close() error { return b.reader.Close() }
