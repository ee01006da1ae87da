package fleetapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// failure returns the code of a request that got no answer.
func failure(err error) ReasonCode {
	var (
		lookup    *net.DNSError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		deadline  interface{ Timeout() bool }
	)
	switch {
	case strings.Contains(err.Error(), "failed to parse Location header"): // of net/http, without a type; it goes nowhere
		return Redirected
	case errors.As(err, &lookup): // first: a lookup that takes too long is the resolver's fault
		return DNS
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &verify),
		errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid),
		strings.Contains(err.Error(), "tls: "), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return TLS // the last two have no type of their own
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &deadline) && deadline.Timeout():
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return ConnectionRefused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
		return ConnectionReset
	}
	return Network
}

// withoutURL returns err without the request that net/http puts around it: the
// Error has its own words for that.
func withoutURL(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}
