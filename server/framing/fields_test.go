package framing_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"wellkey/server/framing"
)

// many are so many fields.
func many(n int) string { return strings.Repeat("a: b\r\n", n) }

// However it is cut, what is read ends before the line that is too many, or is all.
func TestFields(t *testing.T) {
	const most = framing.MostFields
	get := "GET / HTTP/1.1\r\n"
	for name, tc := range map[string]struct{ good, bad string }{
		"as many as may be":           {get + many(most) + "\r\n" + get + many(most) + "\r\n", ""},
		"one more":                    {get + many(most), many(1) + "\r\n"},
		"one more later":              {get + many(most) + "\r\n" + get + many(most), many(1)},
		"without carriage returns":    {strings.ReplaceAll(get+many(most)+"\r\n"+get+many(most), "\r", ""), "a\n"},
		"folded":                      {get + many(most-1) + " c\r\n", " d\r\n"},
		"a carriage return is a line": {get + many(most-1) + "\r\r\n", many(1)},
		"a space is a line":           {get + many(most-1) + " \r\n", many(1)},
		"empty lines":                 {strings.Repeat("\n", 2*most) + strings.Repeat("\r\n", 2*most) + get + many(most), many(1)},
		"a long line":                 {get + many(most-1) + "a: " + strings.Repeat("b", 5000) + "\r\n", many(1)},
		"without end":                 {get + many(most) + "a", ""},
		"nothing":                     {"", ""},
	} {
		for _, cut := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.OneByteReader} {
			got, err := io.ReadAll(framing.Few(stub{Reader: cut(strings.NewReader(tc.good + tc.bad))}))
			fault, ok := errors.AsType[*framing.Error](err)
			if ok != (tc.bad != "") || ok && fault.What != "more than 100 fields" {
				t.Errorf("%s: got %v", name, err)
			}
			// The beginning of a line may be through before its end is seen.
			rest, ok := strings.CutPrefix(string(got), tc.good)
			if !ok || !strings.HasPrefix(tc.bad, rest) || strings.Contains(rest, "\n") {
				t.Errorf("%s: got %d bytes, want %d", name, len(got), len(tc.good))
			}
		}
	}
}

// Trailers are counted apart.
func TestFieldsOfTrailers(t *testing.T) {
	chunks := "POST / HTTP/1.1\r\n" + many(framing.MostFields-1) + "Transfer-Encoding: chunked\r\n\r\n0\r\n"
	good := strings.Repeat(chunks+many(framing.MostFields)+"\r\n", 2)
	if got, wrong := read(strings.NewReader(good)); got != good || wrong != "" {
		t.Errorf("as many as may be: got %q, %q", got, wrong)
	}
	for _, text := range []string{good + chunks + many(framing.MostFields), "GET / HTTP/1.1\r\n" + many(framing.MostFields)} {
		if got, wrong := read(strings.NewReader(text + many(1))); got != text+"a: b\r" || wrong != "more than 100 fields" {
			t.Errorf("one more: got %q, %q", got, wrong)
		}
	}
}
