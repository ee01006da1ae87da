package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"unicode"
	"wellkey/internal/phrase"
)

//go:embed page
var files embed.FS

// A page is the status for people: complete in its HTML, without script, and
// without anything that would have to be loaded from elsewhere.
//
// It does not refresh itself: that would take the place where somebody reads,
// what they selected, and the voice of a screen reader. It says how old it is,
// and has a link to look again.
//
// Only a page of the same origin may frame it: one that shows it as a part of
// itself, through a proxy.
type page struct {
	style, shapes string
	policy        string // its Content-Security-Policy
	iconBytes     []byte
}

func newPage() (*page, error) {
	style, err := files.ReadFile("page/style.css")
	if err != nil {
		return nil, err
	}
	icon, err := files.ReadFile("page/icon.svg")
	if err != nil {
		return nil, err
	}
	shapes, err := files.ReadFile("page/shapes.svg")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(style)
	return &page{
		style:     string(style),
		shapes:    string(shapes),
		iconBytes: icon,
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src 'self'; " +
			"form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
	}, nil
}

// status answers with what is known, in the form and of the sites that r asks for.
func (a *Admin) status(w http.ResponseWriter, r *http.Request) {
	s, wanted := a.Status(), choiceOf(r.URL.Query())
	all := len(s.Sites)
	s.Sites = wanted.of(s.Sites)
	code := http.StatusOK
	if wanted.Domain != "" && len(s.Sites) == 0 {
		code = http.StatusNotFound
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept")
	if wantsPage(r) {
		a.page.write(w, code, view(s, wanted, all))
		return
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		http.Error(w, "encoding the status failed", http.StatusInternalServerError)
		return
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(phrase.PlainJSON(body), '\n')) // the visitor is gone, if this fails
}

// write draws into memory first, so that a visitor gets a whole page or an error.
func (p *page) write(w http.ResponseWriter, code int, v pageView) {
	var body bytes.Buffer
	if err := document(v, p.style, p.shapes).Render(&body); err != nil {
		http.Error(w, "making the page failed; /status?format=json has the same", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	w.WriteHeader(code)
	_, _ = w.Write(harmless(body.Bytes())) // the visitor is gone, if this fails
}

// harmless replaces what escaping lets through and what could still play
// tricks on a reader: control characters, and those that turn the direction of
// text.
func harmless(html []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Bidi_Control) {
			return unicode.ReplacementChar
		}
		return r
	}, html)
}

// toStatus sends a visitor of the root to the status. As all links of the page, it
// names it without its place: whoever shows this below a path of their own, as Home
// Assistant does, need not tell us which.
func toStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", "status") // http.Redirect would make it absolute
	w.WriteHeader(http.StatusFound)
}

func (p *page) icon(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write(p.iconBytes) // the visitor is gone, if this fails
}
