package listen

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"wellkey/internal/phrase"
)

// maxName is how much is shown of the name of a program, which it chose itself. The
// kernel keeps 15 bytes.
const maxName = 40

// holder returns who holds the port of addr, as the subject of a sentence; "" where
// err is not about that, or it cannot be seen: the program is in another container,
// belongs to another user, or the system has no /proc.
func holder(addr string, err error) string {
	_, service, split := net.SplitHostPort(addr)
	port, number := strconv.ParseUint(service, 10, 16)
	if !errors.Is(err, syscall.EADDRINUSE) || split != nil || number != nil {
		return ""
	}
	pid, name := holderOf("/proc", uint16(port))
	if pid == 0 {
		return ""
	}
	return fmt.Sprintf("the program %s (process %d)", phrase.Quote(name, maxName), pid)
}
