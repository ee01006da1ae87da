package server

import (
	"crypto/tls"
	"errors"
	"slices"

	"wellkey/internal/guideline"
)

// harden returns the configuration of the HTTPS listener: the certificates of
// source, everything else ours.
func harden(source *tls.Config) (*tls.Config, error) {
	if source == nil {
		return nil, errors.New("server: the certificates come without a TLS configuration")
	}
	if source.GetConfigForClient != nil {
		return nil, errors.New("server: GetConfigForClient would escape the TLS settings of the listener")
	}
	config := source.Clone()
	guideline.Apply(config)
	config.NextProtos = []string{alpnHTTP2, alpnHTTP1}
	for _, protocol := range source.NextProtos {
		if !slices.Contains(config.NextProtos, protocol) {
			config.NextProtos = append(config.NextProtos, protocol)
		}
	}
	return config, nil
}

// secure has l serve TLS.
func (l *listener) secure(config *tls.Config) {
	wait := newLine(l.open.client)
	choose := config.GetCertificate
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		// A certificate may come from a store that is slow, or dead.
		if one := heldOf(hello.Conn); one != nil {
			one.leave()
		}
		certificate, err := choose(hello)
		if err == nil {
			err = wait.enter(hello)
		}
		return certificate, err
	}
	fewer := config.Clone() // without HTTP/2
	fewer.NextProtos = slices.DeleteFunc(slices.Clone(config.NextProtos), func(p string) bool { return p == alpnHTTP2 })
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		l.open.advance(hello.Conn)
		multiplexes, err := l.open.multiplexes(hello)
		if err == nil {
			err = wait.enter(hello)
		}
		if multiplexes {
			return nil, err // it is config itself
		}
		return fewer, err
	}
	l.tls = config
}
