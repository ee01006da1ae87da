package upstream

import (
	"net/http"
	"strings"
)

// What may stand in the field Host, and in the name of a field (RFC 9110, section 5.6.2).
const (
	alphanumeric = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	hostBytes    = alphanumeric + "-._~" + "!$&'()*+,;=" + "%:[]"
	tokenBytes   = alphanumeric + "-._~" + "!#$%&'*+^`|"
)

// refuse returns the status for what is not passed on, else 0.
func refuse(r *http.Request, token string) int {
	switch {
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		return http.StatusMethodNotAllowed // CONNECT is for tunnels, TRACE shows cookies to scripts
	case !strings.HasPrefix(r.URL.Path, "/"), !sendable(r):
		return http.StatusBadRequest
	case r.Header.Get(loopField) == token:
		return http.StatusLoopDetected
	}
	return 0
}

// sendable reports whether net/http sends r on, as far as it took what it would not send:
// a host that came with the path (GET http://%c3%a9/) or in HTTP/2, names of trailers, and
// what is to be spoken next. Else it would look as if the application had failed, and for
// a host each connection to it that rests would be closed.
func sendable(r *http.Request) bool {
	for name := range r.Trailer {
		if strings.Trim(name, tokenBytes) != "" {
			return false
		}
	}
	return strings.Trim(r.Host, hostBytes) == "" &&
		!strings.ContainsFunc(r.Header.Get("Upgrade"), func(c rune) bool { return c < ' ' || c > '~' })
}
