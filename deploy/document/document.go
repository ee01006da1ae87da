// Package document is what the programs share that measure wellkey and put what they
// saw into a document.
package document

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// Report adds the flag for the document that a report is put into.
func Report(flags *flag.FlagSet, path *string) {
	flags.StringVar(path, "report", "", "put the report between the markers in this file, too")
}

// Tell prints a report, and puts it into the document at path, if that is not "".
func Tell(stdout io.Writer, path, name, text string) error {
	fmt.Fprintln(stdout, text)
	if path == "" {
		return nil
	}
	return Put(path, name, text)
}

// Put replaces what stands in the file at path between the lines <!-- name --> and
// <!-- /name --> by text and a line break. Where these are missing, the file stays
// as it is and the error says so.
func Put(path, name, text string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, found := strings.Cut(string(data), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no lines %s and %s", path, strings.TrimSpace(begin), end)
	}
	return os.WriteFile(path, []byte(before+begin+text+"\n"+end+after), 0o644)
}

// Processor returns the name of the processor, as the kernel has it.
func Processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // "" where there is none
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
