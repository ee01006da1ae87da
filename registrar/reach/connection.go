package reach

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"wellkey/internal/finding"
)

// connected gives dial: does anybody listen there? By itself an address that
// cannot be connected to proves nothing, since a home router often does not
// lead a connection to its own public address back in.
func (h *host) connected() []result {
	const id = "dial"
	v := h.main
	at := h.endpoint()
	if v.stage > dialing {
		return []result{ok(id, "%s takes connections.", at)}
	}
	reason, seen := h.dialFailure()
	if reason == ReasonNoRoute {
		return []result{because(id, finding.Unknown, reason, seen,
			"This machine or its container has no "+familyName(h.IP)+" connection to the internet.",
			"Nothing, if the other addresses are well; to have this one checked, run wellkey doctor on a machine that has "+familyName(h.IP)+".")}
	}
	return []result{because(id, finding.Unknown, reason, seen,
		"Behind a home router this is usual and no fault: few routers lead a connection to their own public address back in (hairpin NAT). Else the port is not forwarded, a firewall drops it, or nothing listens.",
		fmt.Sprintf("Open https://%s%s on a phone with Wi-Fi switched off: if the key comes, all is well. If not, forward TCP port %d to this host and let the firewall pass it.",
			h.look.domain, Path, h.look.prober.config.Port))}
}

// dialFailure returns the reason why nobody could be connected to, and a
// sentence about it.
func (h *host) dialFailure() (reason, seen string) {
	v, at := h.main, h.endpoint()
	switch {
	case v.timedOut:
		return ReasonTimeout, fmt.Sprintf("%s did not answer within %v.", at, h.look.prober.config.Timeout)
	case errors.Is(v.err, syscall.ECONNREFUSED):
		return ReasonRefused, fmt.Sprintf("%s refused the connection.", at)
	case noRoute(v.err) && !v.routed:
		return ReasonNoRoute, fmt.Sprintf("This machine has no route to %s.", at)
	case noRoute(v.err), errors.Is(v.err, syscall.EHOSTUNREACH):
		return ReasonCannotConnect, fmt.Sprintf("A router on the way says that nothing leads to %s (%s).", at, familyName(h.IP))
	case errors.Is(v.err, syscall.EACCES), errors.Is(v.err, syscall.EPERM):
		return ReasonCannotConnect, fmt.Sprintf("A firewall, here or on the way, forbids connections to %s (%s).", at, familyName(h.IP))
	case errors.Is(v.err, errNotVisited):
		return ReasonInternal, fmt.Sprintf("A fault of wellkey itself kept it from looking at %s; the log says more.", at)
	default:
		return ReasonCannotConnect, fmt.Sprintf("%s could not be connected to: %s.", at, quote(v.err.Error()))
	}
}

// compare tells an address that cannot be connected to for sure from one that
// is only out of our reach, by what came of the others: once one address is
// well, there is a way out of here, and one that fails beside it is a record to
// repair. An IPv4 address beside a good IPv6 address is still in doubt, since
// only IPv4 has the hairpin.
func (h *host) compare(all []Address) {
	good := slices.ContainsFunc(all, func(a Address) bool { return a.OK && (h.IP.Is6() || a.IP.Is4()) })
	sure := h.Reason == ReasonRefused || h.Reason == ReasonTimeout || h.Reason == ReasonCannotConnect
	if !good || !sure || h.main.stage != dialing {
		return
	}
	i := slices.IndexFunc(h.results, func(r result) bool { return r.ID == "dial" })
	if i < 0 {
		return
	}
	f := &h.results[i].Finding
	record := "A"
	if h.IP.Is6() {
		record = "AAAA"
	}
	f.Status = finding.Fail
	f.Cause = fmt.Sprintf("Another address of %s gives the key, so this one is left over, or its firewall does not let port %d pass.", h.look.domain, h.look.prober.config.Port)
	f.Fix = fmt.Sprintf("Make the host answer at %s, or delete that %s record: owners' phones, Tesla and the certificate authority may try it first.", h.IP, record)
}

// handshake gives tls_handshake: does it speak TLS 1.2 or newer?
func (h *host) handshake() []result {
	const id = "tls_handshake"
	v := h.main
	if v.stage < shaking {
		return nil
	}
	if v.stage > shaking {
		return []result{ok(id, "%s with %s.", tls.VersionName(v.tls.Version), tls.CipherSuiteName(v.tls.CipherSuite))}
	}
	if h.onlySmall() {
		return []result{h.narrow(id, "during the TLS handshake")}
	}
	if v.timedOut {
		return []result{because(id, finding.Fail, ReasonTimeout,
			fmt.Sprintf("%s took the connection, and then was silent during the TLS handshake.", h.endpoint()),
			"A proxy or firewall in between holds the connection, the host is overloaded, or large packets are lost on the way (a too large MTU, as behind PPPoE or a VPN).",
			"Look at what listens on that port; behind a tunnel lower the MTU or clamp the MSS.")}
	}
	cause, fix := handshakeCause(v.err)
	return []result{because(id, finding.Fail, ReasonTLSHandshake,
		fmt.Sprintf("The TLS handshake with %s failed: %s.", h.endpoint(), quote(v.err.Error())), cause, fix)}
}

// handshakeCause returns the likely cause and the fix of a failed handshake.
func handshakeCause(err error) (cause, fix string) {
	var record tls.RecordHeaderError
	var remote *net.OpError // crypto/tls has no type for an alert of the other side
	switch {
	case errors.As(err, &record):
		return "Something listens there that does not speak TLS, most likely plain HTTP.",
			"Forward port 443 to the HTTPS port of the host, not to its HTTP port, or let the proxy end TLS."
	case errors.As(err, &remote) && remote.Op == "remote error":
		return "The host has no certificate for this name yet, does not know the name, or speaks only TLS 1.1 and older.",
			"If a certificate is being obtained at this moment, wait for it; else configure the host or the proxy for this name, with TLS 1.2 and 1.3."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "A firewall, or a proxy that does not know this name, cut the connection.",
			"Configure the proxy for this name, and let the firewall pass TLS from everywhere."
	default:
		return "The host and wellkey have no TLS version or cipher in common, or the host's answer is damaged.",
			"Let the host offer TLS 1.2 and 1.3 with AEAD cipher suites."
	}
}

// endpoint returns the address and port of HTTPS as one writes them.
func (h *host) endpoint() string {
	return netip.AddrPortFrom(h.IP, uint16(h.look.prober.config.Port)).String() // #nosec G115 -- New checked it
}

func familyName(ip netip.Addr) string {
	if ip.Is4() {
		return "IPv4"
	}
	return "IPv6"
}
