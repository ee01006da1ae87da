// Package testhost chooses addresses of loopback for what must be known before
// somebody else binds it: another process, or a program that takes no port 0.
//
// A port that was free a moment ago is not free for long. The system gives ports
// of its own range to whoever asks for any, and to every connection that
// goes out, which on loopback comes from 127.0.0.1. So hosts are taken at random from
// the rest of 127.0.0.0/8, and ports from below that range.
package testhost

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports of nobody: the system's own begin with 32768 on Linux, with 49152
// elsewhere.
const firstPort, lastPort = 10000, 32767

// attempts is how many ports may be taken before all of them seem to be.
const attempts = 100

// New returns an address of loopback that nobody else has, by its odds: one of 13
// million. Systems that have no more than 127.0.0.1 give that.
func New() string {
	host := fmt.Sprintf("127.%d.%d.%d", 16+rand.N(200), rand.N(256), 1+rand.N(254))
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "127.0.0.1"
	}
	_ = l.Close() // nothing came
	return host
}

// Addrs returns n addresses of host, each with a port of its own that was free for
// TCP just now. The host "" means every address of the machine.
func Addrs(host string, n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := listen(host)
		if err != nil {
			return nil, fmt.Errorf("choosing a port: %w", err)
		}
		defer l.Close() // not before all are chosen, so that they differ
		addrs[i] = net.JoinHostPort(host, strconv.Itoa(Port(l.Addr().String())))
	}
	return addrs, nil
}

// Addr returns one address of a host that is New.
func Addr() (string, error) {
	addrs, err := Addrs(New(), 1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}

func listen(host string) (l net.Listener, err error) {
	for range attempts {
		port := firstPort + rand.N(lastPort-firstPort+1)
		if l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			return l, nil
		}
	}
	return nil, err
}

// Port returns the port of an address that came from here, or from a listener.
func Port(addr string) int {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return n
}
