package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"wellkey/internal/teststore"
)

// The environment of a process that does nothing but write, until it is killed.
const (
	writesInto = "WELLKEY_FAULTS_WRITES_INTO" // the directory
	writesFrom = "WELLKEY_FAULTS_WRITES_FROM" // the number of the first version
	writesTo   = "WELLKEY_FAULTS_WRITES_TO"   // the URL of a shared store
)

// A writing is one kind of what wellkey writes, as versions with rising numbers.
type writing struct {
	name string

	// apart says that each version has a place of its own, and stays.
	apart bool

	// write writes a version, and returns once it is to last.
	write func(n int) error

	// holds reads as wellkey does, and reports whether version n is there. An error
	// is something that nobody wrote: half of a version, or some of two.
	holds func(n int) (bool, error)
}

// TestKilledWhileWriting kills a process 100 times that writes everything which
// wellkey writes, all at once and without a pause, so that each kill comes in the
// middle of each. What it said it had written is there after the kill, or what it was
// about to write, whole: never neither, and never some of each. What a kill cut off
// is in nobody's way: the next process writes on.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const workers, kills = 2, 50
	for worker := range workers {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			killWhileWriting(t, rand.New(rand.NewPCG(seed, uint64(worker))), kills)
		})
	}
}

func killWhileWriting(t *testing.T, random *rand.Rand, kills int) {
	dir := t.TempDir()
	mountTmpfs(t, dir, 256<<10) // a kill leaves what the kernel has, so that disks need not be waited for
	store := teststore.StartRedis(t).URL("/0")
	all := writings(dir, store)
	written, cut := map[string]int{}, map[string]int{}
	last := map[string]int{}
	for round := range kills {
		first := (round + 1) * 10_000
		acked := writeAndKill(t, dir, store, first, all[random.IntN(len(all))].name, 1+random.IntN(3), time.Duration(random.IntN(4000))*time.Microsecond)
		for _, w := range all {
			next := first
			if n, ok := acked[w.name]; ok {
				last[w.name], next = n, n+1
				written[w.name] += n - first + 1
			}
			for n := first; w.apart && n < next; n++ {
				wantHeld(t, w, n)
			}
			if isHeld(t, w, next) {
				cut[w.name]++
				if !w.apart {
					last[w.name] = next
				}
			} else if n, ok := last[w.name]; ok {
				wantHeld(t, w, n)
			}
		}
		if t.Failed() {
			t.Fatalf("after kill %d", round)
		}
	}
	for _, w := range all {
		t.Logf("%-12s %5d versions, of the last of each process %d were there before it said so", w.name, written[w.name], cut[w.name])
		if written[w.name]+cut[w.name] == 0 {
			t.Errorf("%s: nothing was ever written", w.name)
		}
	}
	for _, found := range quarantined(filepath.Join(dir, "state")) {
		if !strings.Contains(found, "/damaged/") {
			t.Errorf("a kill left what had to go into quarantine: %s", found)
		}
	}
}

func isHeld(t *testing.T, w writing, n int) bool {
	t.Helper()
	held, err := w.holds(n)
	if err != nil {
		t.Errorf("%s, version %d: %v", w.name, n, err)
	}
	return held
}

func wantHeld(t *testing.T, w writing, n int) {
	t.Helper()
	if !isHeld(t, w, n) {
		t.Errorf("%s: version %d was written, and is not there, nor is the next", w.name, n)
	}
}

// writeAndKill starts a process that writes, and kills it some time after it has said
// so often that it wrote one kind: the quick kinds are in the middle of something at
// any time, and the slow ones have to get there. It returns the last version of each
// that it said it had written.
func writeAndKill(t *testing.T, dir, store string, first int, kind string, enough int, after time.Duration) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), writesInto+"="+dir, writesFrom+"="+strconv.Itoa(first), writesTo+"="+store)
	child.Stderr = os.Stderr
	held, err := child.StdinPipe() // it ends when we do
	must(t, err)
	defer held.Close()
	said, err := child.StdoutPipe()
	must(t, err, child.Start())
	acked := map[string]int{}
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Errorf("%s: %s", name, text)
			break
		}
		acked[name] = n
		if name == kind && n == first+enough-1 {
			<-time.After(after) // the moment is to be a random one
			must(t, child.Process.Kill())
		}
	}
	_ = child.Process.Kill() // where that was not done
	_ = child.Wait()
	if err := ctx.Err(); err != nil {
		t.Fatalf("the process that writes has only said %v: %v", acked, err)
	}
	return acked
}

// writeUntilKilled is the process that writes. It says so after each version.
func writeUntilKilled(dir string) int {
	first, err := strconv.Atoi(os.Getenv(writesFrom))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, w := range writings(dir, os.Getenv(writesTo)) {
		go func() {
			for n := first; ; n++ {
				err := w.write(n)
				if err != nil {
					fmt.Printf("%s writing version %d: %v\n", w.name, n, err)
					return
				}
				fmt.Printf("%s %d\n", w.name, n) // one write, so whole
			}
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // for ever, or until the test is gone
	return 0
}

// version returns the text of a version: of every size, and such that no part of it
// is another one.
func version(n int) []byte {
	return []byte(fmt.Sprintf("begin %d;", n) + strings.Repeat(fmt.Sprintf(" %d,", n), n%7001) + fmt.Sprintf(" end %d", n))
}

// isVersion reports whether a text is version n.
func isVersion(text []byte, n int) (bool, error) {
	var found int
	if _, err := fmt.Sscanf(string(text), "begin %d;", &found); err != nil || string(text) != string(version(found)) {
		return false, fmt.Errorf("it holds %d bytes that nobody wrote: %.40q", len(text), text)
	}
	return found == n, nil
}
