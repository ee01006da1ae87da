package listen

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listening is the state of a socket that listens, in /proc/net/tcp
// (include/net/tcp_states.h of Linux).
const listening = "0A"

// holderOf returns the process that listens on a TCP port, and its name, as /proc has
// it; 0 where it is not there or may not be seen. There may be several: it is one
// of them.
func holderOf(proc string, port uint16) (pid int, name string) {
	inodes := socketsOf(proc, port)
	if len(inodes) == 0 {
		return 0, ""
	}
	processes, _ := os.ReadDir(proc) // what cannot be read is not there
	for _, process := range processes {
		id, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		folder := filepath.Join(proc, process.Name(), "fd")
		descriptors, _ := os.ReadDir(folder) // of another user: it may not be read
		for _, descriptor := range descriptors {
			target, _ := os.Readlink(filepath.Join(folder, descriptor.Name())) // "" if it was closed meanwhile
			if inodes[target] {
				name, _ := os.ReadFile(filepath.Join(proc, process.Name(), "comm"))
				return id, strings.TrimSpace(string(name))
			}
		}
	}
	return 0, ""
}

// socketsOf returns the sockets that listen on a port, as the links of descriptors
// name them.
func socketsOf(proc string, port uint16) map[string]bool {
	found := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		text, _ := os.ReadFile(filepath.Join(proc, "net", table)) // "" where there is none
		for line := range strings.Lines(string(text)) {
			// "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12345 ..."
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
				found["socket:["+fields[9]+"]"] = true
			}
		}
	}
	return found
}
