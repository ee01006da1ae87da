// Package phrase makes the sentences of findings, errors and pages out of
// smaller words.
package phrase

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Sentence returns text with a capital letter and, unless it ends like a
// sentence already, a full stop; "" stays "".
func Sentence(text string) string {
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

// List joins words as in "a, b and c".
func List(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// Cut returns text if it has at most most bytes, and else its beginning, of
// whole characters, with end after it. Of what is no text, no more than three bytes
// are left out.
func Cut(text string, most int, end string) string {
	if len(text) <= most {
		return text
	}
	for back := range min(most+1, utf8.UTFMax) {
		if utf8.RuneStart(text[most-back]) {
			return text[:most-back] + end
		}
	}
	return text[:most] + end
}

// Plain returns text with everything escaped that is not seen as a character of its
// own, but for line ends and tabs: control characters, which move the cursor, and
// those that turn the direction of a line. It is for texts that are shown as they
// are; what a stranger said goes through Quote where it becomes part of a sentence.
func Plain(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, odd) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		if odd(r) || r == utf8.RuneError && size == 1 {
			quoted := strconv.Quote(text[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(text[:size])
		}
		text = text[size:]
	}
	return b.String()
}

// odd reports whether a character is not seen as one of its own, and is neither a line
// end nor a tab.
func odd(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }

// PlainJSON returns JSON with everything escaped that Plain escapes, so that it says
// the same and plays with no terminal: encoders let much of that pass.
func PlainJSON(data []byte) []byte {
	if !bytes.ContainsFunc(data, odd) && utf8.Valid(data) {
		return data
	}
	plain := make([]byte, 0, len(data)+64)
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			plain = append(plain, `\ufffd`...)
		case odd(r):
			for _, unit := range utf16.AppendRune(nil, r) {
				plain = fmt.Appendf(plain, `\u%04x`, unit)
			}
		default:
			plain = append(plain, data[:size]...)
		}
		data = data[size:]
	}
	return plain
}

// Quote returns what a stranger said as it may be shown: between quotes, with
// control characters escaped, and cut after most bytes.
func Quote(text string, most int) string {
	kept := Cut(text, most, "")
	quoted := fmt.Sprintf("%q", kept)
	if len(kept) < len(text) {
		quoted += "..."
	}
	return quoted
}
