package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"wellkey/internal/loopback"
	"wellkey/registrar/fleetapi"
)

// address returns a setter for host:port; empty is off.
func address(field func(*Settings) *string) func(*Settings, string) (string, string) {
	return func(s *Settings, text string) (what, fix string) {
		if text == "" {
			*field(s) = ""
			return "", ""
		}
		if _, err := parsePort(text, 0); err == nil {
			return quote(text) + " is a port alone", "Write :" + text
		}
		if ip, err := netip.ParseAddr(text); err == nil && ip.Is6() {
			return quote(text) + " is an IPv6 address without brackets", "Put it into brackets and the port behind them, such as [::1]:9090"
		} else if err == nil {
			return quote(text) + " has no port", "Write " + text + ":443, or another port"
		}
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			return quote(text) + " is no address", "Write host:port, such as :443, 127.0.0.1:9090 or [::1]:9090"
		}
		if _, err := parsePort(port, 0); err != nil {
			return quote(text) + " has no valid port", "Write a number from 0 to 65535 behind the last colon"
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "" {
			if what, _ := checkHost(host + ".example.com"); what != "" {
				return quote(text) + " has no valid host", "Write an IP address of this machine, or none for all: :" + port
			}
		}
		*field(s) = text
		return "", ""
	}
}

// parsePort accepts plain decimal digits only: no name, no sign, no 0 in front.
func parsePort(text string, least int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > 65535 || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("%q is no port", text)
	}
	return n, nil
}

// port returns a setter for a port to dial.
func port(field func(*Settings) *int) func(*Settings, string) (string, string) {
	return func(s *Settings, text string) (what, fix string) {
		n, err := parsePort(text, 1)
		if err != nil {
			return quote(text) + " is no port", "Write a number from 1 to 65535"
		}
		*field(s) = n
		return "", ""
	}
}

// count returns a setter of how many of something there may be.
func count(most int, field func(*Settings) *int) func(*Settings, string) (string, string) {
	return func(s *Settings, text string) (what, fix string) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return quote(text) + " is no such number", fmt.Sprintf("Write a number from 1 to %d", most)
		}
		*field(s) = n
		return "", ""
	}
}

// resolvers returns a setter of DNS servers.
func resolvers(field func(*Settings) *[]string) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		var all []string
		for _, item := range items(text) {
			resolver, err := netip.ParseAddrPort(item)
			if err != nil {
				ip, plain := netip.ParseAddr(item)
				if plain != nil {
					return quote(item) + " is no IP address", "Write the resolver's IP address, such as 1.1.1.1, [2606:4700:4700::1111]:53 or 127.0.0.1:5353"
				}
				resolver = netip.AddrPortFrom(ip, 53)
			}
			if resolver.Port() == 0 {
				return quote(item) + " has port 0", "Write the port that the resolver answers at, 53 as a rule"
			}
			all = append(all, resolver.String())
		}
		*field(s) = all
		return "", ""
	}
}

func setAuthURL(s *Settings, text string) (what, fix string) {
	what, fix = checkBaseURL(text)
	s.Tesla.AuthURL = text
	return what, fix
}

func setAPIURL(region fleetapi.Region) func(*Settings, string) (string, string) {
	return func(s *Settings, text string) (what, fix string) {
		if s.Tesla.APIURLs == nil {
			s.Tesla.APIURLs = map[fleetapi.Region]string{}
		}
		s.Tesla.APIURLs[region] = text
		return checkBaseURL(text)
	}
}

// checkBaseURL refuses what is not scheme://host[:port], since the text is also
// the audience of a token and Tesla compares it letter by letter. Client secrets
// go there, so plain http is for loopback.
func checkBaseURL(text string) (what, fix string) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return "is no base URL", "Write it as in " + fleetapi.NA.BaseURL()
	}
	if right := strings.ToLower(u.Scheme + "://" + u.Host); right != text {
		return quote(text) + " has a slash, a path, upper-case letters or more behind the host", "Write " + right
	}
	if !loopback.Safe(u) {
		return quote(text) + " would send the client secret in the clear", "Write https; http is for loopback only"
	}
	return "", ""
}
