package footprint

import (
	"reflect"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestClean: what of the address space is the program's file's, and nothing else.
func TestClean(t *testing.T) {
	t.Parallel()
	const smaps = `00400000-00d2d000 r-xp 00000000 fe:00 9978618                            /usr/bin/wellkey
Size:               9396 kB
Rss:                8308 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00d2d000-016ec000 r--p 0092d000 fe:00 9978618                            /usr/bin/well key (deleted)
Anonymous:             0 kB
016ec000-01792000 rw-p 012ec000 fe:00 9978618                            /usr/bin/wellkey
Anonymous:           600 kB
01792000-037d8000 rw-p 00000000 00:00 0 
Anonymous:           108 kB
02100000-02101000 r--p 00000000 fe:00 9978621                            /usr/share/table
Anonymous:             0 kB
02101000-02102000 rw-p 00000000 00:00 0 
Anonymous:             4 kB
02103000-02104000 r--p 01392000 fe:00 9978618                            /usr/bin/wellkey
Anonymous:             0 kB
Swap:                  0 kB
SwapPss:               0 kB
02104000-02105000 r--p 01393000 fe:00 9978618                            /usr/bin/wellkey
Anonymous:             0 kB
Swap:                  4 kB
SwapPss:               4 kB
02105000-02106000 r-xp 01394000 fe:00 9978618                            /usr/bin/wellkey
Anonymous:             4 kB
Swap:                  8 kB
02106000-02107000 r--s 01395000 fe:00 9978618                            /usr/bin/wellkey
Anonymous:             0 kB
02107000-02108000 r--p 00000000 fe:01 9978618                            /mnt/of-another-device
Anonymous:             0 kB
7ffd1000-7ffd3000 r-xp 00000000 00:00 0                                  [vdso]
Anonymous:             0 kB
`
	const code = 0x400123
	want := []span{{0x400000, 0xd2d000}, {0xd2d000, 0x16ec000}, {0x2103000, 0x2104000}}
	if got := clean([]byte(smaps), code); !reflect.DeepEqual(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := clean([]byte(smaps), 0x5000000); len(got) != 0 {
		t.Errorf("of no file: got %x", got)
	}
	for _, broken := range []string{"", "\n", "x-y r-xp 0 0 1 /a\nAnonymous: 0 kB\n", "2-1 r-xp 0 0 1 /a\nAnonymous: 0 kB\n"} {
		if got := clean([]byte(broken), code); len(got) != 0 {
			t.Errorf("%q: got %x", broken, got)
		}
	}
}
