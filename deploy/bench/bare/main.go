// Bare is Go's floor in the comparison that deploy/bench makes: an accept loop of
// crypto/tls that writes the same bytes whatever it is asked, keep-alive included. It
// has no HTTP, no limits and no metrics, so it is no server for anybody.
//
// Usage: bare ADDR CERTIFICATE KEY ANSWER
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
)

func main() {
	fmt.Fprintf(os.Stderr, "bare: %v\n", run(os.Args[1:]))
	os.Exit(1)
}

// run serves until it cannot.
func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("%d arguments, want an address and three files", len(args))
	}
	certificate, err := tls.LoadX509KeyPair(args[1], args[2])
	if err != nil {
		return err
	}
	answer, err := os.ReadFile(args[3])
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", args[0], &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go serve(conn, answer)
	}
}

// serve answers each request of a connection until the client ends it. The client is
// ours: a request comes in one piece, after the answer to the last.
func serve(conn net.Conn, answer []byte) {
	defer func() { _ = conn.Close() }() // the client has gone
	request := make([]byte, 1024)
	for {
		n, err := conn.Read(request)
		if err != nil || !bytes.HasSuffix(request[:n], []byte("\r\n\r\n")) {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
