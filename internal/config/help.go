package config

import (
	"fmt"
	"strings"
)

// usage is the help line of a row with its default, as a flag shows it.
func (r row) usage() string {
	if r.shownDefault() == "" {
		return r.help
	}
	return r.help + " (default " + r.shownDefault() + ")"
}

// shownDefault is the default, in words where it depends on something else.
func (r row) shownDefault() string {
	if r.derived != "" {
		return r.derived
	}
	return r.standard
}

// HelpTable returns all settings for a terminal: three spellings, help, default.
func HelpTable() string {
	var b strings.Builder
	for _, r := range table() {
		var spellings []string
		if !r.secret && !r.fileOnly {
			spellings = append(spellings, "--"+flagName(r.name))
		}
		if !r.fileOnly {
			spellings = append(spellings, envName(r.name))
		}
		if r.name != "config" {
			spellings = append(spellings, r.name+":")
		}
		line := strings.Join(spellings, "  ")
		if len(line) > width-2 {
			line = strings.Join(spellings, "\n  ")
		}
		fmt.Fprintf(&b, "  %s\n%s", line, fold(r.usage(), 6, width))
	}
	return b.String()
}

// width is that of a terminal.
const width = 80

// fold breaks text at spaces into lines of at most so many columns, each indented.
func fold(text string, indent, columns int) string {
	margin := strings.Repeat(" ", indent)
	var b strings.Builder
	line := margin
	for word := range strings.FieldsSeq(text) {
		if line != margin && len(line)+1+len(word) > columns {
			b.WriteString(line + "\n")
			line = margin
		}
		if line != margin {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}

// MarkdownTable returns all settings for docs/settings.md, by the name they have in
// the file: a heading and a table for each group.
func MarkdownTable() string {
	var b strings.Builder
	for _, g := range groups() {
		fmt.Fprintf(&b, "\n## %s\n\n| setting | default | meaning | example |\n|---|---|---|---|\n", g.title)
		b.WriteString(markdownRows(g.rows))
	}
	return b.String()
}

func markdownRows(rows []row) string {
	var b strings.Builder
	cell := strings.NewReplacer("|", `\|`)
	for _, r := range rows {
		standard := r.derived
		if standard == "" && r.standard != "" {
			standard = "`" + r.standard + "`"
		}
		if standard == "" {
			standard = "none"
		}
		help := r.help
		if r.secret {
			help += "; has no flag, since a command line is public"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |\n", r.name, cell.Replace(standard), cell.Replace(help), r.example)
	}
	return b.String()
}
