package server

import (
	"net/http"
	"strconv"
	"time"

	"wellkey/internal/guideline"
)

// A page is one answer, prepared so that giving it allocates nothing. It is
// never changed: its header values are shared by all answers.
type page struct {
	status int
	header []field
	body   []byte
}

// A field is a header field; name is in canonical form.
type field struct {
	name  string
	value []string
}

var (
	cacheAWhile = []string{"public, max-age=300"}
	cacheNever  = []string{"no-store"}
	noSniff     = []string{"nosniff"}
	closing     = []string{"close"}
	hsts        = []string{guideline.HSTS}
)

// The answers that hold no key.
var (
	pageNotFound    = newText(http.StatusNotFound, "Not found.")
	pageBadRequest  = newText(http.StatusBadRequest, "This server takes no request bodies.")
	pageManyFields  = newText(http.StatusBadRequest, "This request has too many header fields.")
	pageNotAllowed  = newText(http.StatusMethodNotAllowed, "Only GET and HEAD are allowed here.", field{"Allow", []string{"GET, HEAD"}})
	pageMisdirected = newText(http.StatusMisdirectedRequest, "This host is not served here.")
	pageTooMany     = newText(http.StatusTooManyRequests, "Too many requests at once from your address. Please try again in a minute.",
		field{"Retry-After", []string{"60"}}, field{"Cache-Control", cacheNever})
	pageInternal    = newText(http.StatusInternalServerError, "Something went wrong here.")
	pageUnavailable = newText(http.StatusServiceUnavailable, "There is no public key here yet. Please try again in a minute.",
		field{"Retry-After", []string{"60"}}, field{"Cache-Control", cacheNever})
)

// newText returns a page of one plain sentence.
func newText(status int, sentence string, more ...field) *page {
	body := []byte(sentence + "\n")
	return &page{
		status: status,
		header: append([]field{
			{"Content-Type", []string{"text/plain; charset=utf-8"}},
			{"Content-Length", []string{strconv.Itoa(len(body))}},
			{"X-Content-Type-Options", noSniff},
		}, more...),
		body: body,
	}
}

// answer writes p and returns its status. Fields in extra replace those of p.
func (p *page) answer(w http.ResponseWriter, r *http.Request, extra ...field) int {
	h := w.Header()
	for _, f := range p.header {
		h[f.name] = f.value
	}
	for _, f := range extra {
		h[f.name] = f.value
	}
	closeAfterBody(w, r)
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead && len(p.body) > 0 {
		_, _ = w.Write(p.body) // the visitor has gone: nothing to do
	}
	return p.status
}

// leftover is how long net/http may wait for the rest of a body that nobody reads. That
// takes the place of a connection. No honest client sends one here; those that it does
// send to an application have longer, see upstream.
const leftover = 100 * time.Millisecond

// closeAfterBody keeps an HTTP/1 request with a body from holding anything: the
// answer does not wait for a body that nobody reads, and the connection ends
// after it, so that no leftover is taken for the next request.
func closeAfterBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 || r.ProtoMajor != 1 {
		return
	}
	w.Header()["Connection"] = closing
	rc := http.NewResponseController(w)
	// Without these the answer comes later, or the connection ends later.
	_ = rc.EnableFullDuplex()
	_ = rc.SetReadDeadline(time.Now().Add(leftover))
}
