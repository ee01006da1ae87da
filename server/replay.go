package server

import "net"

// A replayed is a connection of which somebody has read the beginning, and
// perhaps learnt there whose it really is.
type replayed struct {
	net.Conn
	read          []byte   // comes first
	remote, local net.Addr // nil: those of Conn
}

// Read implements net.Conn.
func (r *replayed) Read(b []byte) (int, error) {
	if len(r.read) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.read)
	if r.read = r.read[n:]; len(r.read) == 0 {
		r.read = nil // let go of the buffer
	}
	return n, nil
}

// NetConn returns the connection beneath.
func (r *replayed) NetConn() net.Conn { return r.Conn }

// CloseWrite closes the way to the client alone, where that can be.
func (r *replayed) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// RemoteAddr implements net.Conn.
func (r *replayed) RemoteAddr() net.Addr {
	if r.remote != nil {
		return r.remote
	}
	return r.Conn.RemoteAddr()
}

// LocalAddr implements net.Conn.
func (r *replayed) LocalAddr() net.Addr {
	if r.local != nil {
		return r.local
	}
	return r.Conn.LocalAddr()
}
