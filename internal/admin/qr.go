package admin

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// A code is a QR code as the path of an SVG image, one unit a module.
type code struct {
	Side int // with the quiet zone that the standard asks for
	Path string
}

// quietZone is how many empty modules surround a code (ISO/IEC 18004).
const quietZone = 4

// newCode returns the QR code of link. A quarter of it may be damaged or dirty
// (level Q), as Home Assistant does for the same link.
func newCode(link string) (code, error) {
	q, err := qr.Encode(link, qr.Q)
	if err != nil {
		return code{}, fmt.Errorf("encoding the pairing link: %w", err)
	}
	var path strings.Builder
	for y := range q.Size {
		for x := 0; x < q.Size; x++ {
			from := x
			for q.Black(x, y) { // white outside
				x++
			}
			if x > from {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quietZone, y+quietZone, x-from, x-from)
			}
		}
	}
	return code{Side: q.Size + 2*quietZone, Path: path.String()}, nil
}
