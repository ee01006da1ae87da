// Package footprint gives back the memory that the program's own file takes in this
// process, once its start is over: code and tables are mapped from the file, the
// start touches nearly all of them, and what serves needs a fraction.
package footprint

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
)

// A span is a part of the address space.
type span struct{ start, end uintptr }

// clean returns the mappings in a text of /proc/PID/smaps that can be dropped without
// a loss, since the file has what is in them: private, never written to, and with no
// page of their own. A debugger or a probe of the kernel makes such pages, and they
// would be lost. See https://docs.kernel.org/filesystems/proc.html, 3.4 and table 1-5.
func clean(smaps []byte) []span {
	var all []span
	var last *span // of the lines that follow; nil = it is not to be dropped
	lines := bufio.NewScanner(bytes.NewReader(smaps))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			// 00400000-00d2d000 r-xp 00000000 fe:00 9978618 /usr/bin/wellkey
			last = nil
			if s, ok := parseSpan(fields[0]); ok && (fields[1] == "r-xp" || fields[1] == "r--p") && fields[4] != "0" {
				all = append(all, s)
				last = &all[len(all)-1]
			}
		case last != nil && len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] != "0":
			all, last = all[:len(all)-1], nil
		}
	}
	return all
}

// parseSpan reads 00400000-00d2d000.
func parseSpan(text string) (span, bool) {
	from, to, _ := strings.Cut(text, "-")
	start, err1 := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	return span{uintptr(start), uintptr(end)}, err1 == nil && err2 == nil && start < end
}
