package server_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"wellkey/server"
	"wellkey/server/framing"
)

// The table of limits in docs/shapes.md is that of the code.
func TestLimitsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/shapes.md")
	must(t, err)
	key, upstream := server.KeyLimits, server.UpstreamLimits
	for _, want := range []string{
		fmt.Sprintf("| connections | %d | %d |", key.Connections(), upstream.Connections()),
		fmt.Sprintf("| of them over HTTP/2 | %d | %d |", key.Multiplexed(), upstream.Multiplexed()),
		fmt.Sprintf("| of them from one address | %d | %d |", key.PerAddress(), upstream.PerAddress()),
		fmt.Sprintf("| new ones from one address a second, after five times as many at once | %d | %d |", key.Rate(), upstream.Rate()),
		fmt.Sprintf("| idle connections are kept for | %v | %v |", key.IdleTimeout(), upstream.IdleTimeout()),
		fmt.Sprintf("| header of a request | %d KiB | %d KiB |", key.HeaderBytes()>>10, upstream.HeaderBytes()>>10),
		fmt.Sprintf("| fields in it | %d | %[1]d |", framing.MostFields),
		fmt.Sprintf("| requests at a time in one HTTP/2 connection | %d | %d |", key.Streams(), upstream.Streams()),
		fmt.Sprintf("| requests and websockets that are with the application at a time | | %d |", upstream.Requests()),
		fmt.Sprintf("| of them from one address | | %d |", upstream.PerAddress()),
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("there is no row %s", want)
		}
	}
}
