package faults_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"wellkey/internal/fleetsim"
)

// headStart is for how long those who waited for the start have the process to
// themselves, as in internal/cli.
const headStart = 100 * time.Millisecond

// TestWarmStartAsksNobody: with key and certificate on the disk, the first visitor is
// served while DNS, CA and Tesla hang, and nobody is asked before visitors had their
// head start. The kernel's order of events says so, and a time that a busy machine only
// makes longer.
func TestWarmStartAsksNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.WriteCredentials())
	w.start()
	w.await("a certificate", have)
	since := w.kill()
	w.DNS.Hang(w.Domain)
	w.ca.breaks(hang)
	w.Tesla.Break(fleetsim.Hang, fleetsim.Limit{})
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatalf("what a start does is seen with strace (Debian package strace), which is missing: %v", err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	w.startAs(w.wrapper("", "strace -D -f -qq -ttt -s 0 -o '"+trace+"' -e signal=none -e trace=listen,connect,sendto,sendmsg,sendmmsg"))
	w.watcher.up(since)

	var listening, asking []time.Duration // since 1970, in the order of the trace
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(asking) == 0 {
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			t.Fatal("nobody is asked at all")
		}
		text, err := os.ReadFile(trace)
		must(t, err)
		listening, asking = nil, nil
		for line := range strings.Lines(string(text)) {
			if called := socketCall.FindStringSubmatch(line); called != nil {
				seconds, err := strconv.ParseFloat(called[1], 64)
				must(t, err)
				at := time.Duration(seconds * float64(time.Second))
				if called[2] == "listen" {
					listening = append(listening, at)
				} else {
					asking = append(asking, at)
				}
			}
		}
	}
	if len(listening) != 3 {
		t.Fatalf("%d listeners are bound, want 3", len(listening))
	}
	if head := asking[0] - listening[2]; head < headStart {
		text, _ := os.ReadFile(trace)
		t.Errorf("somebody is asked %v after the last listener was bound, want %v at least:\n%s", head, headStart, text)
	}
}

// socketCall is a line of strace that tells of a listener, or of a word to somebody who
// is not on a socket of this machine's own kind.
var socketCall = regexp.MustCompile(`^\d+ +(\d+\.\d+) (?:(listen)\(|(?:connect|sendto|sendmsg|sendmmsg)\(.*sa_family=AF_INET6?\b)`)
