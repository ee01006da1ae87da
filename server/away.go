package server

import (
	"io"
	"time"
)

// goAway notes that a request of h goes to the application or the storage, which may take
// as long as it likes, until comeBack.
func (h *held) goAway() { h.away.Add(1) }

func (h *held) comeBack() {
	if c := h.by.Load(); c != nil {
		h.back.Store(c.now())
	}
	h.away.Add(-1)
}

// stalls reports whether h, on which something is being answered, has waited for its
// client for longer than least. Other answers are out of memory, so it has unless something
// is away, or was just now: then there may be an end to write.
func (h *held) stalls(now int64, least time.Duration) bool {
	return h.away.Load() == 0 && now-h.since.Load() > int64(least) && now-h.back.Load() > int64(leastWait)
}

// An upload is the body of a request of HTTP/2 that is with the application.
type upload struct {
	io.ReadCloser
	over *held
}

// Read implements io.Reader.
func (u *upload) Read(b []byte) (int, error) {
	n, err := u.ReadCloser.Read(b)
	u.over.took(n)
	return n, err
}
