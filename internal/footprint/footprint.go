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

// A fileID is the device and the inode of a mapped file, as the kernel writes them.
type fileID struct{ device, inode string }

// clean returns the mappings in a text of /proc/PID/smaps that can be dropped without
// a loss: those of the file that lies at an address, private, not to be written to,
// and with no page of their own, in memory or in the swap, so that the file has what
// is in them. The linker of a system, a debugger or a probe of the kernel makes such
// pages, and they would be lost. What other files there are may be unmapped meanwhile.
// See https://docs.kernel.org/filesystems/proc.html, 3.4 and table 1-5.
func clean(smaps []byte, at uintptr) []span {
	var own fileID // the zero one until it is found
	all := map[fileID][]span{}
	var last fileID // of the lines that follow; the zero one = they are of what is not to be dropped
	lines := bufio.NewScanner(bytes.NewReader(smaps))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			// 00400000-00d2d000 r-xp 00000000 fe:00 9978618 /usr/bin/wellkey
			last = fileID{}
			s, ok := parseSpan(fields[0])
			if !ok || fields[4] == "0" {
				continue
			}
			id := fileID{fields[3], fields[4]}
			if s.start <= at && at < s.end {
				own = id
			}
			if fields[1] == "r-xp" || fields[1] == "r--p" {
				all[id] = append(all[id], s)
				last = id
			}
		case last != (fileID{}) && len(fields) == 3 && (fields[0] == "Anonymous:" || fields[0] == "Swap:") && fields[1] != "0":
			all[last] = all[last][:len(all[last])-1]
			last = fileID{}
		}
	}
	return all[own]
}

// parseSpan reads 00400000-00d2d000.
func parseSpan(text string) (span, bool) {
	from, to, _ := strings.Cut(text, "-")
	start, err1 := strconv.ParseUint(from, 16, 64)
	end, err2 := strconv.ParseUint(to, 16, 64)
	return span{uintptr(start), uintptr(end)}, err1 == nil && err2 == nil && start < end
}
