package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"

	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/internal/tty"
)

// printFinding prints a finding as a line of a checklist: mark, name, what was
// seen; cause and fix below it. Names are padded to width columns.
func printFinding(out *tty.Printer, name string, width int, f finding.Finding) {
	const margin = "  "
	at := len(margin) + tty.MarkWidth
	seen := out.Wrap(at+width+2, f.Seen)
	if f.Status == finding.Skipped {
		name, seen = out.Dim(pad(name, width)), out.Dim(seen)
	}
	out.Print(margin + out.Mark(f.Status) + pad(name, width) + "  " + seen + "\n")
	for _, more := range []struct{ name, text string }{{"cause", f.Cause}, {"fix", f.Fix}} {
		if more.text != "" && f.Status != finding.OK {
			out.Print(strings.Repeat(" ", at) + out.Dim(pad(more.name, 5)) + "  " + out.Wrap(at+7, more.text) + "\n")
		}
	}
}

// printVerdict prints the last word of an examination.
func printVerdict(out *tty.Printer, status finding.Status, verdict string) {
	out.Print(out.Mark(status) + out.Bold(out.Wrap(tty.MarkWidth, verdict)) + "\n")
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-len(text)))
}

// printJSON prints v for machines.
func printJSON(w io.Writer, v any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false) // nobody puts it into a page, and links stay readable
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(phrase.PlainJSON(text.Bytes()))
	return err
}
