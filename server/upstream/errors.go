package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/phrase"
	"wellkey/server/places"
)

// A failure is one way in which an application fails.
type failure struct {
	reason     string // label
	cause, fix string // for the log
	code       int    // for the visitor
}

var (
	refused = failure{"refused", "nothing listens there: the application does not run, listens on another port, or only on the loopback of its own container",
		"Start it, or correct upstream. Inside a container localhost is that container alone: name the other by its service, and let it listen on 0.0.0.0", 502}
	noSocket = failure{"refused", "there is no such socket: the application does not run, or its directory is not mounted here",
		"Start it, or correct upstream; both containers must have the directory of the socket", 502}
	forbidden = failure{"forbidden", "this user may not open the socket",
		"Let the group or everybody write to the socket, or run both as one user", 502}
	unknownName = failure{"unknown_name", "nobody knows this name here",
		"Write the name of the application's service, and put both containers into one network; or write its IP address", 502}
	unreachable = failure{"unreachable", "the address does not answer at all",
		"Check the address of upstream, and firewalls between the two", 504}
	untrusted = failure{"untrusted", "its certificate is not signed by an authority that is trusted here",
		"Set upstream_roots to the authority's certificate; for a self-signed one, as tesla-http-proxy has, to that, or set upstream_skip_verify", 502}
	expired = failure{"expired", "its certificate is out of date, or the clock of one of the two is wrong",
		"Renew it; on a network that you trust upstream_skip_verify accepts it anyway", 502}
	wrongName = failure{"wrong_name", "its certificate is for another name",
		"Write upstream with a name that the certificate has, or set upstream_skip_verify", 502}
	badTLS = failure{"tls", "the TLS handshake failed",
		"Look into the application's log: it may be too old for TLS 1.2, or want a client certificate", 502}
	notTLS = failure{"not_tls", "it speaks plain HTTP there",
		"Write upstream with http instead of https", 502}
	notHTTP = failure{"not_http", "it answers with something else than HTTP",
		"Correct the port of upstream; write https instead of http if it is one of TLS", 502}
	timedOut = failure{"timeout", "it took the request, but began no answer within 5 minutes",
		"Look into the application's log", 504}
	unread = failure{"unread", "it read nothing of a request for a minute",
		"Look into the application's log: it hangs, or is stopped", 504}
	brokenOff = failure{"broken_off", "it closed the connection before the answer was complete",
		"Look into the application's log: it may have crashed, or be restarting", 502}
	loop = failure{"loop", "the address leads back to wellkey itself",
		"Write the address at which the application itself listens", 508}
	noFiles = failure{"other", "too many files are open here, so no connection can be made; the application is not to blame",
		"Raise LimitNOFILE or ulimit -n; for the whole machine, fs.file-max", 502}
	noPorts = failure{"other", "this machine has no free port for one more connection to that address; the application is not to blame",
		"Widen net.ipv4.ip_local_port_range, or look why so many connections are open", 502}
	other = failure{"other", "most likely its answer breaks the rules of HTTP: a header of more than 256 kB, a length that is none, or another protocol than was asked for",
		"Take what was said as the clue, and look into the application's log for what it answered then", 502}
)

// Why a request is not passed on though the application may be well, by reason.
var turnedAway = map[string]failure{
	places.Total: {places.Total, "as many requests are with it as may be, three quarters of the connections that are held: it hangs, or is slower than its visitors",
		"Look into the application's log. If it is well, raise max_connections, and what memory and files allow", http.StatusServiceUnavailable},
	places.Client: {places.Client, "one client has as many requests with it as it may have, three quarters of all at most: many share its address, or it asks too much",
		"If many share it, raise max_client_connections and max_connections; if it is a proxy of yours, add it to trusted_proxies", http.StatusTooManyRequests},
}

// reasons are the values of the label reason.
var reasons = []string{refused.reason, forbidden.reason, unknownName.reason, unreachable.reason, untrusted.reason, expired.reason, wrongName.reason,
	badTLS.reason, notTLS.reason, notHTTP.reason, timedOut.reason, unread.reason, brokenOff.reason, loop.reason, other.reason}

// diagnose finds out what err means.
func diagnose(err error) failure {
	var (
		dns       *net.DNSError
		op        *net.OpError
		host      x509.HostnameError
		authority x509.UnknownAuthorityError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		timeout   net.Error
	)
	dialing := errors.As(err, &op) && op.Op == "dial"
	text := err.Error()
	switch {
	case errors.Is(err, errUnread):
		return unread
	case errors.As(err, &dns):
		return unknownName
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, fs.ErrNotExist) && dialing:
		return noSocket
	case errors.Is(err, fs.ErrPermission) && dialing:
		return forbidden
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return noFiles
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return noPorts
	case dialing:
		return unreachable
	case errors.As(err, &host):
		return wrongName
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expired
	case errors.As(err, &authority), errors.As(err, &invalid):
		return untrusted
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return notTLS
	case errors.As(err, &alert), strings.Contains(text, "tls: "), strings.Contains(text, "TLS handshake timeout"):
		return badTLS
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "malformed MIME"):
		return notHTTP
	case errors.As(err, &timeout) && timeout.Timeout():
		return timedOut
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		strings.Contains(text, "server closed idle connection"), strings.Contains(text, "readLoopPeekFailLocked"):
		return brokenOff
	}
	return other
}

// fail answers a request that could not be passed on, or whose answer did not
// come. It is httputil's ErrorHandler.
func (p *Proxy) fail(w http.ResponseWriter, r *http.Request, err error) {
	v := r.Context().Value(visitKey{}).(*visit)
	switch {
	case p.places.Context().Err() != nil:
		answer(w, r, http.StatusServiceUnavailable) // we stop
	case v.body.failed.Load():
		answer(w, r, http.StatusBadRequest) // the visitor's body broke off, or was none
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		answer(w, r, statusGone)
	default:
		t := diagnose(err)
		p.report(t, v.began, err)
		answer(w, r, t.code)
	}
}

// brokeOff notes an answer that ended before its end, unless the visitor ended it.
func (p *Proxy) brokeOff(r *http.Request, v *visit) {
	if r.Context().Err() != nil || v.body.failed.Load() || p.places.Context().Err() != nil {
		return
	}
	p.report(brokenOff, v.began, errors.New("the answer broke off"))
}

// report notes a failure of what began at began. Where others were answered meanwhile, it
// is logged all the same.
func (p *Proxy) report(t failure, began time.Time, err error) {
	p.metrics.errors.WithLabelValues(t.reason).Inc()
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which may hold a token of the visitor
	}
	said := phrase.Quote(err.Error(), 200)
	p.record.Failed(began, said, t.cause, t.fix)
	if !p.record.Tell(t.reason) {
		return
	}
	p.logger.Warn("the application behind upstream fails; the key is still served", zap.String("upstream", p.name), zap.String("reason", t.reason),
		zap.String("cause", t.cause), zap.String("fix", t.fix), zap.String("error", said))
}

// answered notes that the application began an answer.
func (p *Proxy) answered() {
	if p.record.Answered() {
		p.logger.Info("the application behind upstream answers again", zap.String("upstream", p.name))
	}
}

// turnAway refuses a request that is one too many. One of HTTP/2 is reset: even for the
// header of an answer its client might let us wait, with all that it asks over each
// connection. In HTTP/1 that is one thing, and the answer has no body.
func (p *Proxy) turnAway(w http.ResponseWriter, r *http.Request, reason string) int {
	p.metrics.rejected.WithLabelValues(reason).Inc()
	t := turnedAway[reason]
	if reason == places.Total { // of one that hangs it is seen long before it times out
		p.record.Failed(time.Now(), `"all places are taken"`, t.cause, t.fix)
	}
	if p.crowded.Tell(t.reason) {
		p.logger.Warn("requests are not passed on to the application behind upstream, since it is busy with too many; the key is still served",
			zap.String("upstream", p.name), zap.String("reason", t.reason), zap.String("cause", t.cause), zap.String("fix", t.fix))
	}
	if r.ProtoMajor == 2 {
		return -t.code
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", "0")
	h.Set("Retry-After", "1")
	w.WriteHeader(t.code)
	return t.code
}

// statusGone is for the counters, and what nginx logs: the visitor left before the
// answer.
const statusGone = 499

// sentences are what visitors read.
var sentences = map[int]string{
	http.StatusBadRequest:         "This request is not well-formed.",
	http.StatusMethodNotAllowed:   "This method is not allowed here.",
	http.StatusBadGateway:         "The application behind this server cannot be reached. Please try again in a minute.",
	http.StatusServiceUnavailable: "This server is just restarting. Please try again in a minute.",
	http.StatusGatewayTimeout:     "The application behind this server does not answer. Please try again in a minute.",
	http.StatusLoopDetected:       "This server is asked to pass requests on to itself.",
}

// answer writes a page of ours and returns its status.
func answer(w http.ResponseWriter, r *http.Request, code int) int {
	text := sentences[code] + "\n"
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch code {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		h.Set("Retry-After", "60")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, text) // the visitor has gone: nothing to do
	}
	return code
}
