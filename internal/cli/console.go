package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap/zapcore"

	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/internal/tty"
)

// A console is a zapcore.Core for people: a line an entry with its short fields,
// and below it the sentences, each on lines of its own.
type console struct {
	zapcore.LevelEnabler
	fields []zapcore.Field
	only   bool // there is one domain, so that nobody need be told which

	mu  *sync.Mutex  // held while writing; shared with the cores of With
	out *tty.Printer // guarded by mu
}

func newConsole(level zapcore.LevelEnabler, out *tty.Printer, only bool) *console {
	return &console{LevelEnabler: level, mu: &sync.Mutex{}, out: out, only: only}
}

// With implements zapcore.Core. The domain is left out where there is one: whoever
// reads knows it from the first line.
func (c *console) With(fields []zapcore.Field) zapcore.Core {
	more := *c
	more.fields = slices.Clone(c.fields)
	for _, f := range fields {
		if f.Key != "domain" || !c.only {
			more.fields = append(more.fields, f)
		}
	}
	return &more
}

// Check implements zapcore.Core.
func (c *console) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Sync implements zapcore.Core: nothing is held back.
func (c *console) Sync() error { return nil }

// Columns of the console: where a message begins, behind the time, and where the
// sentences below it do, behind their names.
const (
	messageColumn  = 10
	sentenceColumn = 19
)

// Write implements zapcore.Core.
func (c *console) Write(e zapcore.Entry, fields []zapcore.Field) error {
	line := c.mark(e.Level) + c.out.Bold(printable(e.Message))
	below := ""
	for _, f := range slices.Concat(c.fields, fields) {
		text := valueOf(f)
		switch {
		case text == "":
		case isSentence(f.Key, text):
			below += fmt.Sprintf("\n%*s%s%s", messageColumn, "", c.out.Dim(fmt.Sprintf("%-*s", sentenceColumn-messageColumn, f.Key)),
				c.out.Wrap(sentenceColumn, text))
		default:
			line += " " + c.out.Dim(f.Key+"=") + text
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.Print(c.out.Dim(e.Time.Format(time.TimeOnly)) + "  " + c.out.Wrap(messageColumn, line) + below + "\n")
	return c.out.Err()
}

// mark is for entries that somebody should look at, and for those nobody need.
func (c *console) mark(l zapcore.Level) string {
	switch {
	case l >= zapcore.ErrorLevel:
		return c.out.Mark(finding.Fail)
	case l == zapcore.WarnLevel:
		return c.out.Mark(finding.Warn)
	case l == zapcore.DebugLevel:
		return c.out.Dim("debug ")
	}
	return ""
}

// isSentence tells the fields that are read as text from those that are values.
func isSentence(key, text string) bool {
	switch key {
	case "seen", "cause", "fix", "error", "warning", "what":
		return true
	}
	return utf8.RuneCountInString(text) > 70 && strings.Contains(text, " ")
}

// valueOf returns the value of a field as text of one line.
func valueOf(f zapcore.Field) string {
	fields := zapcore.NewMapObjectEncoder()
	f.AddTo(fields)
	switch v := fields.Fields[f.Key].(type) {
	case nil:
		return ""
	case time.Time:
		return v.Local().Format("2006-01-02 15:04")
	case time.Duration:
		return v.Round(time.Millisecond).String()
	case []any:
		return printable(phrase.Cut(strings.Trim(fmt.Sprint(v), "[]"), maxLogged, "..."))
	case string:
		return printable(v)
	default: // which may have more to print than its JSON had
		return printable(phrase.Cut(fmt.Sprint(v), maxLogged, "..."))
	}
}

// printable quotes a text that could play tricks on a terminal.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(text) {
		return strconv.Quote(text)
	}
	return text
}
