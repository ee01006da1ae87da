package cli

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quietZone is how many light modules surround a QR code (ISO/IEC 18004).
const quietZone = 4

// Black on white, whatever the theme of the terminal: cameras want dark modules
// on light ground. It is no decoration, so NO_COLOR does not apply.
const (
	inkOnPaper = "\x1b[38;5;16;48;5;231m"
	themeAgain = "\x1b[0m"
)

// qrCode returns the QR code of link in half blocks, two modules a character, and
// its width in columns. A quarter of it may be damaged (level Q), as in Home
// Assistant. For a terminal the colours are set; elsewhere ink is dark and paper
// light, as in an editor or a mail.
func qrCode(link string, terminal bool) (text string, width int, err error) {
	code, err := qr.Encode(link, qr.Q)
	if err != nil {
		return "", 0, fmt.Errorf("encoding the pairing link: %w", err)
	}
	width = code.Size + 2*quietZone
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		if terminal {
			b.WriteString(inkOnPaper)
		}
		for x := -quietZone; x < code.Size+quietZone; x++ {
			// Black is false outside of the code.
			switch top, bottom := code.Black(x, y), code.Black(x, y+1); {
			case top && bottom:
				b.WriteRune('█')
			case top:
				b.WriteRune('▀')
			case bottom:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		if terminal {
			b.WriteString(themeAgain)
		}
		b.WriteByte('\n')
	}
	return b.String(), width, nil
}
