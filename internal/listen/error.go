package listen

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// passes reports whether a failure to bind is one that time may heal: another
// program holds the port, or the address is not on this host yet.
func passes(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// A bindError says which listener could not be bound, why, and what to do.
type bindError struct {
	name, addr string
	err        error
	holder     string // who holds the port; "" where that cannot be seen
}

func (e *bindError) Unwrap() error { return e.err }

func (e *bindError) Error() string {
	_, port, _ := net.SplitHostPort(e.addr)
	var cause, fix string
	switch {
	case errors.Is(e.err, syscall.EADDRINUSE):
		cause = cmp.Or(e.holder, "another program, or another wellkey,") + " already holds the port"
		fix = "stop it"
		if e.holder == "" {
			fix += fmt.Sprintf(" (\"ss -ltnp 'sport = :%s'\" names it)", port)
		}
		fix += fmt.Sprintf(", or choose another %s_addr", e.name)
		if e.name == "http" {
			fix += ", or leave http_addr empty: certificates can do without port 80"
		}
	case errors.Is(e.err, syscall.EADDRNOTAVAIL):
		cause = "the address is not, or not yet, one of this host"
		fix = fmt.Sprintf("leave the host out of %s_addr to listen on every address", e.name)
	case errors.Is(e.err, fs.ErrPermission):
		cause = "this user may not listen on a port below 1024"
		fix = fmt.Sprintf("choose a higher port as %s_addr and map it, or grant CAP_NET_BIND_SERVICE", e.name)
	default:
		cause = e.err.Error()
		fix = fmt.Sprintf("write %s_addr as host:port or :port", e.name)
	}
	return fmt.Sprintf("listening on %q (%s): %s; %s", e.addr, e.name, cause, fix)
}
