// Package peer finds out who a client is, where proxies stand in front of us.
//
// What a request says of its own way here (X-Forwarded-For, Forwarded) is
// believed only as far as it was said by a proxy that the operator trusts. Both
// fields are read from the right: each proxy appends who connected to it, so the
// rightmost address that is no trusted proxy is the client, and all that stands
// left of it may have been written by anybody.
package peer

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Trusted are the addresses of the proxies whose word counts.
type Trusted []netip.Prefix

// Contains reports whether ip is that of a trusted proxy.
func (t Trusted) Contains(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, prefix := range t {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// An Origin is where a request came from.
type Origin struct {
	Client netip.Addr   // invalid: not known
	Via    []netip.Addr // the proxies that it came through, that next to the client first
	// Trusted reports whether the last of Via is a trusted proxy, so that other
	// fields that it set may be believed too.
	Trusted bool
	Many    bool // Client is a trusted proxy, behind which stand many
}

// Origin returns where a request came from that has the header h, and that was
// sent by remote (as in http.Request.RemoteAddr).
func (t Trusted) Origin(remote string, h http.Header) Origin {
	addr, err := netip.ParseAddrPort(remote)
	if err != nil {
		return Origin{}
	}
	last := addr.Addr().Unmap()
	if !t.Contains(last) {
		return Origin{Client: last}
	}
	o := Origin{Client: last, Trusted: true}
	client, via := t.walk(forwardedFor(h))
	other, otherVia := t.walk(forwarded(h))
	switch {
	case !client.IsValid():
		client, via = other, otherVia
	case other.IsValid() && other != client:
		// A proxy writes one of the two fields and may let the other pass as the
		// client sent it. Nobody knows which, so neither counts.
		client = netip.Addr{}
	}
	if client.IsValid() {
		o.Client, o.Via = client, append(via, last)
	}
	o.Many = t.Contains(o.Client)
	return o
}

// For returns o as a field X-Forwarded-For: the client and the proxies behind
// it, without what nobody vouches for.
func (o Origin) For() string {
	if !o.Client.IsValid() {
		return "unknown"
	}
	text := []byte(o.Client.String())
	for _, ip := range o.Via {
		text = ip.AppendTo(append(text, ", "...))
	}
	return string(text)
}

// walk goes through a chain of addresses from its end to the first that is no
// trusted proxy. The client is invalid where the chain is empty or its end is
// not an address.
func (t Trusted) walk(chain []string) (client netip.Addr, via []netip.Addr) {
	for _, text := range slices.Backward(chain) {
		ip, ok := parse(text)
		if !ok {
			break
		}
		if client.IsValid() {
			via = append(via, client)
		}
		client = ip
		if !t.Contains(ip) {
			break
		}
	}
	slices.Reverse(via)
	return client, via
}

// parse reads an address as proxies write it: alone, with a port, in brackets.
func parse(text string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		withPort, portErr := netip.ParseAddrPort(text)
		if portErr == nil {
			ip = withPort.Addr()
		} else if ip, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err != nil {
			return netip.Addr{}, false
		}
	}
	return ip.Unmap().WithZone(""), true
}

// forwardedFor returns the items of X-Forwarded-For.
func forwardedFor(h http.Header) []string {
	var chain []string
	for _, line := range h["X-Forwarded-For"] {
		for item := range strings.SplitSeq(line, ",") {
			chain = append(chain, strings.Trim(item, " \t"))
		}
	}
	return chain
}

// forwarded returns the values of "for" in the items of Forwarded, "" where an
// item has none (RFC 7239, section 4).
func forwarded(h http.Header) []string {
	var chain []string
	for _, line := range h["Forwarded"] {
		elements, whole := cut(line, ',')
		if !whole {
			// A client may open quotes so that they swallow what the proxy appends.
			chain = append(chain, "")
			continue
		}
		for _, element := range elements {
			value := ""
			pairs, _ := cut(element, ';')
			for _, pair := range pairs {
				name, text, _ := strings.Cut(pair, "=")
				if strings.EqualFold(strings.Trim(name, " \t"), "for") {
					value = strings.Trim(strings.Trim(text, " \t"), `"`)
				}
			}
			chain = append(chain, value)
		}
	}
	return chain
}

// cut splits line at the separators that are not within quotes; whole reports
// whether all quotes are closed.
func cut(line string, separator byte) (parts []string, whole bool) {
	begin, quoted := 0, false
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && quoted:
			i++
		case line[i] == '"':
			quoted = !quoted
		case line[i] == separator && !quoted:
			parts = append(parts, line[begin:i])
			begin = i + 1
		}
	}
	return append(parts, line[begin:]), !quoted
}
