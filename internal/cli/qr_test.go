package cli

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// Read back as a camera sees it, module by module, the code is the one of the
// link, with its quiet zone all around.
func TestQRCode(t *testing.T) {
	const link = "https://tesla.com/_ak/keys.example.com"
	want, err := qr.Encode(link, qr.Q)
	if err != nil {
		t.Fatal(err)
	}
	for _, terminal := range []bool{false, true} {
		text, width, err := qrCode(link, terminal)
		if err != nil || width != want.Size+8 {
			t.Fatalf("width %d, %v; want %d", width, err, want.Size+8)
		}
		wantOn := 0
		if terminal {
			wantOn = strings.Count(text, "\n")
		}
		if on := strings.Count(text, inkOnPaper); on != wantOn || strings.Count(text, themeAgain) != on {
			t.Errorf("terminal %v: %d lines are coloured, want %d", terminal, on, wantOn)
		}
		modules := readBack(strings.NewReplacer(inkOnPaper, "", themeAgain, "").Replace(text))
		if len(modules) != width+1 { // one more, since it is odd
			t.Fatalf("%d rows, want %d", len(modules), width+1)
		}
		for y, row := range modules {
			if len(row) != width {
				t.Fatalf("row %d has %d modules, want %d", y, len(row), width)
			}
			for x, dark := range row {
				if dark != want.Black(x-4, y-4) {
					t.Errorf("module %d, %d is %v", x, y, dark)
				}
			}
		}
	}
}

// readBack returns the modules that half blocks show.
func readBack(text string) (modules [][]bool) {
	for line := range strings.Lines(text) {
		var top, bottom []bool
		for _, c := range strings.TrimSuffix(line, "\n") {
			top, bottom = append(top, c == '█' || c == '▀'), append(bottom, c == '█' || c == '▄')
		}
		modules = append(modules, top, bottom)
	}
	return modules
}

func TestQRCodeOfTooMuch(t *testing.T) {
	_, _, err := qrCode(strings.Repeat("x", 4000), false)
	if err == nil || !strings.HasPrefix(err.Error(), "encoding the pairing link: ") {
		t.Errorf("got %v", err)
	}
}
