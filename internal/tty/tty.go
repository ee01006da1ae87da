// Package tty prints for people: marks with words, colours and wrapped lines on a
// terminal, plain and whole lines in a pipe. Meaning is never in a colour alone.
package tty

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"wellkey/internal/finding"
	"wellkey/internal/pattern"
	"wellkey/internal/phrase"
)

// widest is where lines end on a terminal that is wider: longer ones are hard to
// read.
const widest = 96

// A Printer writes to one place. It is used by one goroutine at a time.
type Printer struct {
	w        io.Writer
	terminal bool
	symbols  bool // can the place show more than ASCII?
	colour   bool
	width    int // 0 = lines are not wrapped
	waiting  bool
	err      error
}

// New returns a Printer for w, which is a terminal if it is a file that is one.
// environ, in the form of os.Environ, may hold TERM and NO_COLOR
// (https://no-color.org).
func New(w io.Writer, environ []string) *Printer {
	p := &Printer{w: w}
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.width = 80
	if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
		p.width = min(columns, widest)
	}
	p.become(environ)
	return p
}

// become makes p the Printer of a terminal with the given environment.
func (p *Printer) become(environ []string) {
	kind := lookup(environ, "TERM")
	p.terminal = kind != "dumb" // which cannot rewrite a line either
	p.symbols = p.terminal && kind != "linux"
	p.colour = p.terminal && lookup(environ, "NO_COLOR") == ""
}

// lookup returns the value of variable; as in a process, the last one counts.
func lookup(environ []string, variable string) string {
	found := ""
	for _, entry := range environ {
		if name, text, _ := strings.Cut(entry, "="); name == variable {
			found = text
		}
	}
	return found
}

// Width returns at how many columns lines are wrapped; 0 means that they are not.
func (p *Printer) Width() int { return p.width }

// Print writes text in place of what Waiting shows. Whatever is in it, nothing but
// styles reaches the place as an escape: much of it was said by strangers, and a
// text that nobody quoted must not play with the terminal. Its first error is kept
// for Err, and nothing is written after it.
func (p *Printer) Print(text string) {
	text = p.plain(text)
	if p.waiting {
		p.waiting = false
		text = "\r\x1b[K" + text
	}
	if p.err == nil {
		_, p.err = io.WriteString(p.w, text)
	}
}

// styles are the escapes that set colours and weight (ECMA-48, SGR).
var styles = pattern.New("\x1b\\[[0-9;]*m")

// plain returns text without other escapes than styles, and without those where
// nobody sees them.
func (p *Printer) plain(text string) string {
	if p.width == 0 || !strings.Contains(text, "\x1b") {
		return phrase.Plain(text)
	}
	var b strings.Builder
	at := 0
	for _, style := range styles.FindAllStringIndex(text, -1) {
		b.WriteString(phrase.Plain(text[at:style[0]]) + text[style[0]:style[1]])
		at = style[1]
	}
	return b.String() + phrase.Plain(text[at:])
}

// Printf writes formatted text, as Print does.
func (p *Printer) Printf(format string, args ...any) { p.Print(fmt.Sprintf(format, args...)) }

// Waiting shows what is waited for on a line that the next output replaces. In a
// pipe it does nothing. An empty text takes the line away.
func (p *Printer) Waiting(text string) {
	if !p.terminal || text == "" && !p.waiting {
		return
	}
	p.Print("")
	if text == "" {
		return
	}
	if over := []rune(text); len(over) >= p.width {
		text = string(over[:p.width-1]) // a longer one would wrap, and could not be replaced
	}
	p.Print(p.Dim(text))
	p.waiting = true
}

// Err returns the first error of writing.
func (p *Printer) Err() error { return p.err }

// Bold is for what must be found at a glance. Without colours it changes nothing.
func (p *Printer) Bold(text string) string { return p.style("1", text) }

// Dim is for what may be passed over. Without colours it changes nothing.
func (p *Printer) Dim(text string) string { return p.style("2", text) }

func (p *Printer) style(code, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// MarkWidth is how many columns every mark takes.
const MarkWidth = 11

// Mark returns the status as a sign and a word, MarkWidth columns wide.
func (p *Printer) Mark(status finding.Status) string {
	sign, code := "-", "2"
	switch status {
	case finding.OK:
		sign, code = "✓", "32"
	case finding.Warn:
		sign, code = "!", "33"
	case finding.Fail:
		sign, code = "✗", "1;31"
	case finding.Unknown:
		sign, code = "?", "35"
	}
	word := string(status)
	if p.symbols {
		word = sign + " " + word
	}
	return p.style(code, word) + strings.Repeat(" ", max(0, MarkWidth-utf8.RuneCountInString(word)))
}

// Wrap breaks text at spaces so that it fits the width when its first line begins
// in column indent; further lines are indented by as many spaces. A word that is
// too long for that, such as a fingerprint or a link, stays whole, on a line that
// is indented less. A line that fits stays as it is. The result has no line end behind it. Line ends in text stay.
func (p *Printer) Wrap(indent int, text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = p.fold(indent, line)
	}
	return strings.Join(lines, "\n"+strings.Repeat(" ", indent))
}

// fold breaks one line.
func (p *Printer) fold(indent int, line string) string {
	if p.width == 0 || indent+columns(line) <= p.width {
		return line
	}
	var b strings.Builder
	at := indent
	for i, word := range strings.Fields(line) {
		n := columns(word)
		switch {
		case i == 0:
		case at+1+n <= p.width:
			b.WriteByte(' ')
			at++
		default:
			at = min(indent, max(0, p.width-n))
			b.WriteString("\n" + strings.Repeat(" ", at))
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// columns counts what is seen of a word: not the escapes of a style.
func columns(word string) int {
	n, inside := 0, false
	for _, c := range word {
		switch {
		case c == '\x1b':
			inside = true
		case inside:
			inside = c != 'm'
		default:
			n++
		}
	}
	return n
}
