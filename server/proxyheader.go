package server

import (
	"bufio"
	"errors"
	"net"

	"github.com/pires/go-proxyproto"
)

// errHeaderAddress is a PROXY header of another network than TCP.
var errHeaderAddress = errors.New("the PROXY header is not about TCP")

// readProxyHeader reads the PROXY header (v1 or v2) with which a connection from a
// trusted proxy must begin, and returns the connection as its client's. Where the
// header says that the proxy speaks for itself (LOCAL, UNKNOWN), as in a health
// check, it stays the proxy's. The deadline is the caller's.
func readProxyHeader(conn net.Conn) (*replayed, error) {
	reader := bufio.NewReaderSize(conn, 256) // more than a header without extras
	header, err := proxyproto.Read(reader)
	if err != nil {
		return nil, err
	}
	client := &replayed{Conn: conn}
	if rest := reader.Buffered(); rest > 0 {
		client.read = make([]byte, rest)
		_, _ = reader.Read(client.read) // it is all there
	}
	if header.Command.IsLocal() || header.TransportProtocol == proxyproto.UNSPEC {
		return client, nil
	}
	source, ok := header.SourceAddr.(*net.TCPAddr)
	destination, alsoOK := header.DestinationAddr.(*net.TCPAddr)
	if !ok || !alsoOK {
		return nil, errHeaderAddress
	}
	client.remote, client.local = source, destination
	return client, nil
}
