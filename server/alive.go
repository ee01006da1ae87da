package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"

	"github.com/pires/go-proxyproto"
)

// Answers visits each listener that is bound, as a client on this machine would,
// and returns an error where one has not answered when ctx is done. Which answer
// it gives does not matter, not even that it refuses: what is looked for is a
// process that hangs. Where no connection can be made, nothing is known.
func (s *Server) Answers(ctx context.Context) error {
	for _, l := range s.listeners() {
		if addr := l.Addr(); addr != "" && !s.answers(ctx, l.name, addr) {
			return fmt.Errorf("the %s listener on %s does not answer", l.name, addr)
		}
	}
	return nil
}

func (s *Server) answers(ctx context.Context, name, addr string) bool {
	dialled, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return ctx.Err() == nil
	}
	stop := context.AfterFunc(ctx, func() { _ = dialled.Close() })
	defer stop()
	defer func() { _ = dialled.Close() }()
	if local, ok := dialled.LocalAddr().(*net.TCPAddr); ok && s.config.ProxyProtocol && s.trusted.Contains(local.AddrPort().Addr()) {
		header := proxyproto.Header{Version: 2, Command: proxyproto.LOCAL}
		_, _ = header.WriteTo(dialled) // what fails here fails below
	}
	conn := dialled
	if name == "https" {
		// Whether the certificate is good is not the question.
		secured := tls.Client(dialled, &tls.Config{ServerName: s.config.Domain, InsecureSkipVerify: true}) // #nosec G402 -- we visit ourselves
		if secured.HandshakeContext(ctx) != nil {
			return ctx.Err() == nil
		}
		conn = secured
	}
	_, _ = io.WriteString(conn, "HEAD "+KeyPath+" HTTP/1.1\r\nHost: "+s.config.Domain+"\r\nUser-Agent: wellkey-watchdog\r\nConnection: close\r\n\r\n")
	_, _ = conn.Read(make([]byte, 1))
	return ctx.Err() == nil
}
