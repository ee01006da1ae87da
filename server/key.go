package server

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"wellkey/internal/probetoken"
	"wellkey/keystore"
)

// serveKey answers on KeyPath.
func (s *Server) serveKey(w http.ResponseWriter, r *http.Request) int {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return pageNotAllowed.answer(w, r)
	}
	answer := s.probeAnswer(r)
	page := pageUnavailable
	if key := s.config.Key(hostOf(r.Host)); !key.IsZero() {
		pages := s.keyPages.of(key)
		page = pages.full
		if matches(r.Header["If-None-Match"], pages.etag) {
			page = pages.notModified
		}
		if r.Method == http.MethodGet {
			s.fetches.add(clientOf(r, answer))
		}
	}
	if answer == "" {
		return page.answer(w, r)
	}
	// No cache may keep an answer that was meant for one probe.
	return page.answer(w, r, field{probetoken.Header, []string{answer}}, field{"Cache-Control", cacheNever})
}

// probeAnswer returns the answer to the challenge of a probe, "" where r is none.
func (s *Server) probeAnswer(r *http.Request) string {
	challenge := r.Header[probetoken.Header]
	if len(challenge) != 1 || s.config.Answer == nil {
		return ""
	}
	return s.config.Answer(challenge[0])
}

// hostOf returns the host of a Host header: lower case, no port, no final dot.
func hostOf(host string) string {
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		host = host[:colon]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// keyPages holds the prepared answers of keys that were asked for lately: a key is
// served for months, and preparing its answers takes microseconds. Where several
// keys share a slot, the last one has it; so thousands of keys cost no more memory
// than slots do.
type keyPages [512]atomic.Pointer[preparedKey]

type preparedKey struct {
	key               keystore.Key
	etag              string
	full, notModified *page
}

// of returns the pages of key.
func (c *keyPages) of(key keystore.Key) *preparedKey {
	slot := &c[key.Hash()%uint64(len(c))]
	if last := slot.Load(); last != nil && last.key == key {
		return last
	}
	prepared := prepareKey(key)
	slot.Store(prepared)
	return prepared
}

func prepareKey(key keystore.Key) *preparedKey {
	body := key.PEM()
	// The canonical PEM is a function of the key, so the fingerprint of the key
	// is a strong validator of the bytes.
	etag := `"` + key.Fingerprint() + `"`
	validators := []field{
		{"Etag", []string{etag}},
		{"Cache-Control", cacheAWhile},
		{"X-Content-Type-Options", noSniff},
	}
	return &preparedKey{
		key:         key,
		etag:        etag,
		notModified: &page{status: http.StatusNotModified, header: validators},
		full: &page{
			status: http.StatusOK,
			header: append([]field{
				{"Content-Type", []string{"application/x-pem-file"}},
				{"Content-Length", []string{strconv.Itoa(len(body))}},
			}, validators...),
			body: body,
		},
	}
}

// matches reports whether one of the If-None-Match lines has etag, by weak
// comparison, or is "*" (RFC 9110, section 13.1.2). From the first thing in a
// line that is not an entity tag, the rest of that line is ignored.
func matches(lines []string, etag string) bool {
	for _, line := range lines {
		if strings.Trim(line, " \t") == "*" {
			return true
		}
		for rest := line; ; {
			rest = strings.TrimPrefix(strings.TrimLeft(rest, " \t,"), "W/")
			if !strings.HasPrefix(rest, `"`) {
				break
			}
			end := strings.IndexByte(rest[1:], '"') + 2
			if end == 1 {
				break
			}
			if rest[:end] == etag {
				return true
			}
			rest = rest[end:]
		}
	}
	return false
}
