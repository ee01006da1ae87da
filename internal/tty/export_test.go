package tty

import "io"

// NewTerminal returns a Printer for a terminal of that width.
func NewTerminal(w io.Writer, width int, environ []string) *Printer {
	p := &Printer{w: w, width: width}
	p.become(environ)
	return p
}
