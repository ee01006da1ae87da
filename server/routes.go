package server

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"

	"wellkey/server/framing"
)

// challengePrefix is where a CA looks for the answer to an HTTP-01 challenge
// (RFC 8555, section 8.3).
const challengePrefix = "/.well-known/acme-challenge/"

// routes are the answers of one listener. Each writes one answer and returns its
// status. A nil route does not exist there.
type routes struct {
	challenge, key, redirect, upstream, other, misdirected answer

	ours func(host string) bool // as in Config
}

// An answer returns the status that the visitor saw; a negative one broke off
// after it, so that nothing more can be sent.
type answer func(http.ResponseWriter, *http.Request) int

// keyRoutes returns the routes of the listener that serves the key.
func (s *Server) keyRoutes() routes {
	all := routes{key: s.serveKey, other: serveNotFound, misdirected: s.serveMisdirected, ours: s.config.Ours}
	if s.upstream != nil {
		all.upstream = s.pass
	}
	return all
}

// httpRoutes returns the routes of the HTTP listener.
func (s *Server) httpRoutes() routes {
	all := routes{redirect: s.redirect, misdirected: s.serveMisdirected, ours: s.config.Ours}
	if s.config.PlainHTTP {
		all = s.keyRoutes()
	}
	if s.config.Certificates != nil {
		rest := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { all.choose(false, r).answer(w, r) })
		challenges := s.config.Certificates.HTTPHandler(rest)
		all.challenge = func(w http.ResponseWriter, r *http.Request) int {
			if h := heldBy(r); h != nil {
				h.goAway() // it may be another replica's, which is in the storage
				defer h.comeBack()
			}
			recorder := &recorder{ResponseWriter: w}
			challenges.ServeHTTP(recorder, r)
			return recorder.status()
		}
	}
	return all
}

// A choice is a route with the label that it is counted under.
type choice struct {
	route  route
	answer answer
}

// choose returns the route of r. The path is compared as it was sent: nothing is
// cleaned, decoded or redirected, so that exactly one path has the key.
func (t routes) choose(challenges bool, r *http.Request) choice {
	sent := r.URL.EscapedPath()
	switch {
	case challenges && t.challenge != nil && strings.HasPrefix(sent, challengePrefix):
		return choice{routeChallenge, t.challenge}
	case t.ours != nil && !t.ours(hostOf(r.Host)):
		return choice{routeOther, t.misdirected}
	case t.redirect != nil:
		return choice{routeRedirect, t.redirect}
	case sent == KeyPath:
		return choice{routeKey, t.key}
	case t.upstream != nil && !reserved(r.URL.Path):
		return choice{routeUpstream, t.upstream}
	default:
		return choice{routeOther, t.other}
	}
}

// reserved reports whether a path, in whatever way it may be read, is one that no
// application answers in our place: the key's, and those of challenges.
func reserved(decoded string) bool {
	if !strings.Contains(strings.ToLower(decoded), "well-known") {
		return false
	}
	clean := strings.ToLower(path.Clean("/" + strings.ReplaceAll(decoded, `\`, "/")))
	return strings.HasPrefix(clean, "/.well-known/appspecific/com.tesla.") || strings.HasPrefix(clean+"/", challengePrefix)
}

// ServeHTTP answers one request. Where the answer is not whole net/http cuts the
// connection, so that it does not look so, or takes back this request of HTTP/2 alone. A
// panic costs no more than that.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	whole := false
	l.owner.metrics.panics.Do(func() { whole = l.serveOne(w, r) })
	if !whole {
		panic(http.ErrAbortHandler)
	}
}

// serveOne answers one request and counts it, and reports whether the answer is whole.
func (l *listener) serveOne(w http.ResponseWriter, r *http.Request) (whole bool) {
	if l.open.relieve() && r.ProtoMajor == 2 && oneOfMany(r) {
		l.owner.metrics.turnedAway.WithLabelValues(l.name).Inc()
		return false
	}
	if r.ProtoMajor == 2 && !l.wanted(r) {
		return false // nobody waits for the answer
	}
	chosen := l.routes.choose(true, r)
	start := time.Now()
	if l.tls != nil && l.owner.config.HSTS && chosen.route != routeUpstream {
		w.Header()["Strict-Transport-Security"] = hsts
	}
	code := l.contain(chosen, w, r)
	took, status := time.Since(start), max(code, -code)
	l.owner.metrics.request(l, chosen.route, methodOf(r.Method), status, took)
	if log := l.logger.Check(zap.DebugLevel, "request"); log != nil {
		log.Write(
			zap.String("route", chosen.route.String()),
			zap.String("method", methodOf(r.Method).String()),
			zap.String("path", quote(r.URL.EscapedPath())),
			zap.String("remote", r.RemoteAddr),
			zap.String("client", l.owner.trusted.Origin(r.RemoteAddr, r.Header).Client.String()),
			zap.Int("code", status),
			zap.Duration("duration", took),
		)
	}
	if r.ProtoMajor == 2 {
		r.Header = nil // net/http keeps r until the answer has been read
	}
	return code >= 0
}

// mostTakenBack is how many requests a client may take back on one connection before
// they are begun. net/http has a bound of its own for those that come faster than it
// begins them.
const mostTakenBack = 100

// wanted notes a request of HTTP/2, and reports whether its client has not taken it
// back already. It closes the connection of one that does so all the time.
func (l *listener) wanted(r *http.Request) bool {
	takenBack := r.Context().Err() != nil
	switch h := heldBy(r); {
	case h == nil:
	case !takenBack:
		h.asked.Add(1)
	case l.routes.upstream == nil && h.reset.Add(1) == mostTakenBack:
		l.displace(lostReset)
		_ = h.Conn.Close() // whoever has it finds out
	}
	return !takenBack
}

// contain runs one answer. Where it panics the client gets a 500, since nothing of
// ours calls out after the first byte of an answer.
func (l *listener) contain(chosen choice, w http.ResponseWriter, r *http.Request) (code int) {
	if l.owner.metrics.panics.Do(func() { code = l.answer(chosen, w, r) }) {
		return pageInternal.answer(w, r)
	}
	return code
}

func (l *listener) answer(chosen choice, w http.ResponseWriter, r *http.Request) (code int) {
	if len(r.Header) > framing.MostFields {
		return pageManyFields.answer(w, r) // of HTTP/2: else it never comes so far
	}
	if len(r.TransferEncoding) > 0 && chosen.route != routeUpstream {
		// A chunked body where none belongs is how requests are smuggled past a
		// proxy in front of us; net/http lets it pass even with a length beside it.
		return pageBadRequest.answer(w, r)
	}
	if len(l.owner.trusted) == 0 {
		return chosen.answer(w, r)
	}
	leave, ok := l.open.enter(l.owner.trusted.Origin(r.RemoteAddr, r.Header))
	if !ok {
		return pageTooMany.answer(w, r)
	}
	defer leave()
	return chosen.answer(w, r)
}

// pass gives a request to the application.
func (s *Server) pass(w http.ResponseWriter, r *http.Request) int {
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	if h := heldBy(r); h != nil {
		h.goAway()
		defer h.comeBack()
		if r.ProtoMajor == 2 && r.ContentLength != 0 {
			r.Body = &upload{r.Body, h}
		}
	}
	return s.upstream.Serve(w, r, s.trusted.Origin(r.RemoteAddr, r.Header), proto)
}

// forget counts the connection of a websocket that is over no more.
func (s *Server) forget(r *http.Request) {
	if h := heldBy(r); h != nil {
		if c := h.by.Load(); c != nil {
			c.forget(h)
		}
	}
}

// answered has the connection of a request that has its answer count as one whose client is
// waited for: where places are short, another may have its place.
func (s *Server) answered(r *http.Request) {
	if h := heldBy(r); h != nil {
		if c := h.by.Load(); c != nil {
			c.served(h)
		}
	}
}

// serveNotFound answers what is not ours.
func serveNotFound(w http.ResponseWriter, r *http.Request) int { return pageNotFound.answer(w, r) }

// serveMisdirected answers who asks for a host that is not ours (RFC 9110, section
// 15.5.20), and ends the connection: another one may lead to whoever is meant. That of
// a trusted proxy goes on, since others stand behind it.
func (s *Server) serveMisdirected(w http.ResponseWriter, r *http.Request) int {
	if s.trusted.Origin(r.RemoteAddr, r.Header).Trusted {
		return pageMisdirected.answer(w, r)
	}
	return pageMisdirected.answer(w, r, field{"Connection", closing})
}

// redirect leads to the same path over HTTPS. The host is one of the settings,
// whatever the request says, and url.URL keeps a path such as "//evil" or "@evil" a
// path. Other methods than GET and HEAD are refused: their bodies have already
// crossed the network in the clear, and nothing here would take them.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request) int {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return pageNotAllowed.answer(w, r)
	}
	host := s.config.Domain
	if s.config.Ours != nil {
		host = hostOf(r.Host) // which is ours, or we would not be here
	}
	to := url.URL{Scheme: "https", Host: host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if !strings.HasPrefix(to.Path, "/") {
		to.Path, to.RawPath = "/", ""
	}
	h := w.Header()
	h["Content-Type"] = nil // no body: http.Redirect would write HTML
	// Without an end, browsers would keep a permanent redirect for good, also
	// after the domain has moved to another owner of port 80.
	h["Cache-Control"] = cacheAWhile
	closeAfterBody(w, r)
	http.Redirect(w, r, to.String(), http.StatusPermanentRedirect)
	return http.StatusPermanentRedirect
}

// A recorder remembers the status that a handler of another package wrote.
type recorder struct {
	http.ResponseWriter
	code int // 0: none yet
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// status returns what the client saw, also where WriteHeader was left to
// net/http.
func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}
