package admin

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard keeps web pages elsewhere from reading the admin listener through the
// browser of somebody who may, and tells browsers to be strict. It changes
// nothing for Prometheus, probes, curl, or a link that a person follows.
//
// Two ways lead in. A page may load from here as a part of itself: browsers
// tell so in Sec-Fetch-Site and Sec-Fetch-Mode. Or a page's own name may be made
// to resolve to 127.0.0.1 (DNS rebinding): the Host is then that name, so over
// loopback only names that no stranger can give an address are answered. Other
// addresses than loopback were opened on purpose, to clients that use whatever
// name is usual there; what they are told is no secret.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		if overLoopback(r) && !localName(r.Host) {
			refuse(w, fmt.Sprintf("the name %.100q is not answered here, so that no web page can read this through your browser (DNS rebinding). "+
				"Ask for localhost or 127.0.0.1; a proxy in front of this listener should send such a Host.", r.Host))
			return
		}
		if fromAnotherPage(r) {
			refuse(w, "this may be opened in a browser, but not be loaded by a page of another site.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, why string) {
	http.Error(w, "refused: "+why, http.StatusForbidden)
}

func overLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

// localName reports whether nobody on the internet decides where the name of a
// Host field leads: an address, localhost, or a name without a dot, as
// containers have.
func localName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost")
}

// fromAnotherPage reports whether a page of another origin asked, rather than a
// person who follows a link. Only browsers send these fields, and no page can
// set them.
func fromAnotherPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
	}
	return false
}
