package reach

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"wellkey/internal/finding"
)

// answered gives http_answer: does an HTTP answer come at all?
func (h *host) answered() []result {
	const id = "http_answer"
	v := h.main
	switch {
	case v.stage < requesting:
		return nil
	case v.stage > requesting:
		return []result{ok(id, "The request was answered.")}
	case h.onlySmall():
		return []result{h.narrow(id, "after the request")}
	case v.timedOut:
		return []result{because(id, finding.Fail, ReasonTimeout,
			"The request was taken, and no answer came in time.",
			"The application behind that port hangs or is overloaded, or large packets are lost on the way (a too large MTU).",
			"Look into the log of whatever answers there; serve the key as a static file.")}
	}
	return []result{because(id, finding.Fail, ReasonHTTP,
		"The request got no valid HTTP answer: "+quote(v.err.Error())+".",
		"The application broke off, a firewall cut the connection, or what listens there does not speak HTTP/1.1.",
		"Look into the log of whatever answers there.")}
}

// redirect gives http_redirect: is the key at its place, or somewhere else?
func (h *host) redirect() []result {
	const id = "http_redirect"
	v := h.main
	switch {
	case v.status == 0:
		return nil
	case !isRedirect(v.status):
		return []result{ok(id, "There is no redirect.")}
	}
	return []result{because(id, finding.Fail, ReasonRedirect,
		fmt.Sprintf("The host redirects with status %d to %s.", v.status, quote(v.header.Get("Location"))),
		"A rule of the server adds www or a slash, leads to a login page, or sends everything to another site. Tesla does not follow redirects for the key.",
		"Exempt "+Path+" from that rule, so that the key itself comes with status 200.")}
}

func isRedirect(status int) bool {
	return status >= 300 && status < 400 && status != http.StatusNotModified
}

// challenged gives http_bot_challenge: does something between us and the host
// want a human, or a login?
func (h *host) challenged() []result {
	const id = "http_bot_challenge"
	v := h.main
	if v.status == 0 || isRedirect(v.status) {
		return nil
	}
	who := v.challenger()
	if who == "" {
		return []result{ok(id, "No sign of a bot challenge or a login.")}
	}
	return []result{because(id, finding.Fail, ReasonBotChallenge,
		fmt.Sprintf("In place of the key came %s (status %d).", who, v.status),
		"A protection in front of the host takes programs for attackers. Tesla and owners' phones cannot solve a puzzle or log in.",
		"Exempt "+Path+" from bot protection, geographic filters and logins, or let the DNS record lead straight to the host (DNS only).")}
}

// challenger returns what stands in the way, as far as the answer shows it, or
// "". Header fields are signs by themselves; words of a page only if it is one.
// The signs are documented by the products named.
func (v visit) challenger() string {
	header := func(name string) string { return strings.ToLower(v.header.Get(name)) }
	switch {
	case header("Cf-Mitigated") != "":
		return "a challenge of Cloudflare"
	case header("X-Amzn-Waf-Action") != "":
		return "a challenge of the AWS WAF"
	case v.header.Get("X-Sucuri-Block") != "":
		return "a block page of Sucuri"
	case v.status == http.StatusUnauthorized:
		return "a demand for a login"
	case !v.isHTML():
		return ""
	}
	page := bytes.ToLower(v.body)
	for _, sign := range []struct{ text, who string }{
		{"/cdn-cgi/challenge-platform/", "a challenge of Cloudflare"},
		{"<title>just a moment...</title>", "a challenge of Cloudflare"},
		{"<title>attention required! | cloudflare</title>", "a block page of Cloudflare"},
		{"_incapsula_resource", "a challenge of Imperva"},
		{"ddos-guard", "a challenge of DDoS-Guard"},
		{"g-recaptcha", "a captcha"},
		{"h-captcha", "a captcha"},
		{"cf-turnstile", "a captcha"},
		{`type="password"`, "a login page"},
	} {
		if bytes.Contains(page, []byte(sign.text)) {
			return sign.who
		}
	}
	return ""
}

// isHTML reports whether the body is a web page, whatever its type claims.
func (v visit) isHTML() bool {
	return strings.HasPrefix(http.DetectContentType(bytes.TrimPrefix(v.body, []byte("\ufeff"))), "text/html")
}

// statusCode gives http_status: is it 200?
func (h *host) statusCode() []result {
	const id = "http_status"
	v := h.main
	switch {
	case v.status == 0 || isRedirect(v.status):
		return nil
	case v.status == http.StatusOK:
		return []result{ok(id, "The status is 200.")}
	}
	cause, fix := statusCause(v.status)
	return []result{because(id, finding.Fail, ReasonStatus,
		fmt.Sprintf("The status is %d (%s) in place of 200.", v.status, statusText(v.status)), cause, fix)}
}

func statusText(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "unknown to HTTP"
}

// statusCause returns the likely cause and the fix of a status other than 200.
func statusCause(status int) (cause, fix string) {
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return "The file is not at that path, directories that begin with a dot are hidden (GitHub Pages without .nojekyll, some proxies), or another site answers for this name.",
			"Publish the key at exactly " + Path + " at the root of the domain."
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusUnavailableForLegalReasons:
		return "A login, a firewall, a geographic filter or the permissions of the file keep strangers out.",
			"Let everybody read " + Path + ", from every country and network: Tesla's addresses are not published."
	case status == http.StatusTooManyRequests:
		return "A rate limit of the host or of the proxy in front.", "Exempt " + Path + " from it."
	case status == http.StatusMisdirectedRequest:
		return "The proxy in front has another site for this name or certificate.", "Configure the proxy for this name."
	case status >= 500:
		return "The application behind the proxy is down, not reached, or still starting.",
			"Look into the log of the proxy and of the application; serve the key as a static file."
	default:
		return "The host does not like the request, or another application answers for this path.",
			"Serve the key as a static file, for every client and every set of request headers."
	}
}

// html gives http_html: is a page sent in place of the key?
func (h *host) html() []result {
	const id = "http_html"
	switch v := h.main; {
	case v.status != http.StatusOK:
		return nil
	case !v.isHTML():
		return []result{ok(id, "It is not a web page.")}
	}
	return []result{because(id, finding.Fail, ReasonHTML,
		"The status is 200, but what comes is a web page.",
		"A single-page application or a catch-all route answers every path with its start page, or an error page is sent with status 200.",
		"Serve the key at "+Path+" before the catch-all route, with an honest 404 for what is missing.")}
}

// file reports whether the visit came back with what may be a key.
func (v visit) file() bool { return v.status == http.StatusOK && !v.isHTML() }

// contentType gives http_content_type: is the key labelled as a file? Tesla
// documents nothing; what is known to work and not to work is from users.
func (h *host) contentType() []result {
	const id = "http_content_type"
	if !h.main.file() {
		return nil
	}
	text := h.main.header.Get("Content-Type")
	kind, _, _ := mime.ParseMediaType(text)
	const fix = "Send application/x-pem-file, or text/plain."
	switch {
	case h.main.header.Get("Content-Encoding") != "":
		return []result{because(id, finding.Warn, "",
			"The key is sent with the content encoding "+quote(h.main.header.Get("Content-Encoding"))+", which was not asked for.",
			"The server or a proxy compresses everything.", "Switch compression off for "+Path+".")}
	case kind == "text/html" || kind == "application/xhtml+xml":
		return []result{because(id, finding.Warn, "", "The key is labelled as a web page, "+quote(text)+".",
			"The framework labels everything so. Users report that the Tesla app then asks fewer owners to pair.", fix)}
	case kind == "application/x-x509-ca-cert":
		return []result{because(id, finding.Warn, "", "The key is labelled as a certificate, "+quote(text)+".",
			"The server guesses so from the name's end, .pem. One user suspects that Tesla does not take it; that is not proven.", fix)}
	case kind == "":
		return []result{because(id, finding.Warn, "", "The key has no usable content type.", "The server does not know the name's end, .pem.", fix)}
	}
	return []result{ok(id, "The content type is %s.", quote(text))}
}

// contentLength gives http_length: did all of it come, and is it of a key's
// size?
func (h *host) contentLength() []result {
	const id = "http_length"
	v := h.main
	switch {
	case !v.file():
		return nil
	case len(v.body) >= maxBody || v.length >= maxBody:
		return []result{because(id, finding.Fail, ReasonTooLarge,
			fmt.Sprintf("What comes has %d bytes or more, and a key has 178.", max(int64(len(v.body)), v.length)),
			"Another file is published there: a certificate chain, an archive, a log. Tesla refuses it as too large.",
			"Publish the public key alone, in PEM.")}
	case v.cut != nil && v.timedOut:
		return []result{because(id, finding.Fail, ReasonTimeout,
			fmt.Sprintf("After %d bytes nothing more came in time.", len(v.body)),
			"The application or the proxy holds the answer back.", "Serve the key as a static file with a Content-Length.")}
	case v.cut != nil:
		return []result{because(id, finding.Fail, ReasonHTTP,
			fmt.Sprintf("The answer broke off after %d bytes: %s.", len(v.body), quote(v.cut.Error())),
			"The Content-Length that is announced is not that of the file, or the connection was cut.",
			"Serve the key as a static file and let the server count its length.")}
	case v.length < 0:
		return []result{ok(id, "%d bytes came, without a Content-Length.", len(v.body))}
	}
	return []result{ok(id, "%d bytes came, as announced.", len(v.body))}
}
