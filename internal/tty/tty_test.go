package tty_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"

	"wellkey/internal/finding"
	"wellkey/internal/tty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var statuses = []finding.Status{finding.OK, finding.Warn, finding.Fail, finding.Unknown, finding.Skipped}

func TestPipeIsPlain(t *testing.T) {
	var out bytes.Buffer
	p := tty.New(&out, []string{"TERM=xterm"})
	p.Waiting("asking")
	p.Print(p.Bold("bold ") + p.Dim("dim ") + p.Mark(finding.Fail) + p.Wrap(4, strings.Repeat("word ", 40)) + "\n")
	want := "bold dim fail       " + strings.Repeat("word ", 40) + "\n"
	if out.String() != want || p.Width() != 0 || p.Err() != nil {
		t.Errorf("got %q, width %d, %v; want %q", out.String(), p.Width(), p.Err(), want)
	}
}

func TestMarksHaveWordsAndOneWidth(t *testing.T) {
	for _, environ := range [][]string{{"TERM=xterm", "NO_COLOR=1"}, {"TERM=linux", "NO_COLOR=1"}, {"TERM=dumb"}} {
		p := tty.NewTerminal(&bytes.Buffer{}, 80, environ)
		for _, status := range statuses {
			mark := p.Mark(status)
			if !strings.Contains(mark, string(status)+" ") || utf8.RuneCountInString(mark) != tty.MarkWidth {
				t.Errorf("%v: mark of %s = %q, want the word in %d columns", environ, status, mark, tty.MarkWidth)
			}
			if ascii := len(mark) == tty.MarkWidth; !ascii && environ[0] != "TERM=xterm" {
				t.Errorf("%v: mark of %s = %q, want ASCII", environ, status, mark)
			}
		}
	}
}

func TestColour(t *testing.T) {
	for _, c := range []struct {
		environ []string
		want    bool
	}{
		{[]string{"TERM=xterm"}, true},
		{nil, true},
		{[]string{"TERM=xterm", "NO_COLOR="}, true}, // only a value counts
		{[]string{"TERM=xterm", "NO_COLOR=0"}, false},
		{[]string{"TERM=dumb"}, false},
	} {
		p := tty.NewTerminal(&bytes.Buffer{}, 80, c.environ)
		for _, text := range []string{p.Bold("x"), p.Dim("x"), p.Mark(finding.OK)} {
			if got := strings.Contains(text, "\x1b["); got != c.want {
				t.Errorf("%v: %q; coloured = %v, want %v", c.environ, text, got, c.want)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	p := tty.NewTerminal(&bytes.Buffer{}, 20, nil)
	for _, c := range []struct {
		indent     int
		text, want string
	}{
		{4, "", ""},
		{4, "sixteen columns!", "sixteen columns!"},
		{0, "  as  it is\nsee", "  as  it is\nsee"},
		{4, "seventeen columns", "seventeen\n    columns"},
		{0, "aaaaaaaaaaaaaaaaaaaaaaaaa b", "aaaaaaaaaaaaaaaaaaaaaaaaa\nb"},
		{8, "the eighteen-columns!! end", "the\n  eighteen-columns!!\n        end"},
		{8, "aaaaaaaaaaaaaaaaaaaaaaaaa b", "aaaaaaaaaaaaaaaaaaaaaaaaa\n        b"},
		{2, "one\ntwo", "one\n  two"},
		{4, "ünïcödé çölümns!", "ünïcödé çölümns!"},
		{4, "seventee " + p.Bold("columns"), "seventee " + p.Bold("columns")},
	} {
		if got := p.Wrap(c.indent, c.text); got != c.want {
			t.Errorf("Wrap(%d, %q) = %q, want %q", c.indent, c.text, got, c.want)
		}
	}
}

func TestWaitingIsReplaced(t *testing.T) {
	var out bytes.Buffer
	p := tty.NewTerminal(&out, 10, []string{"NO_COLOR=1"})
	p.Waiting("")
	p.Waiting("asking Tesla")
	p.Waiting("asking")
	p.Print("done\n")
	p.Print("more\n")
	if want := "asking Te\r\x1b[Kasking\r\x1b[Kdone\nmore\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

type broken struct{ writes int }

func (b *broken) Write([]byte) (int, error) { b.writes++; return 0, errors.New("broken pipe") }

func TestFirstErrorIsKept(t *testing.T) {
	var w broken
	p := tty.New(&w, nil)
	p.Printf("%d\n", 1)
	p.Print("2\n")
	if p.Err() == nil || w.writes != 1 {
		t.Errorf("Err() = %v after %d writes, want the error of one", p.Err(), w.writes)
	}
}

// What a stranger said reaches no place but as characters; styles stay on a terminal.
func TestHostileText(t *testing.T) {
	const text = "a\x1b[2J\x1b]0;owned\a\r\u202eb\x00\u2028\x9b\x1b[1mc\x1b[0m\n"
	for _, c := range []struct {
		name string
		make func(*bytes.Buffer) *tty.Printer
		want string
	}{
		{"pipe", func(b *bytes.Buffer) *tty.Printer { return tty.New(b, nil) }, `a\x1b[2J\x1b]0;owned\a\r\u202eb\x00\u2028\x9b\x1b[1mc\x1b[0m` + "\n"},
		{"terminal", func(b *bytes.Buffer) *tty.Printer { return tty.NewTerminal(b, 80, nil) }, `a\x1b[2J\x1b]0;owned\a\r\u202eb\x00\u2028\x9b` + "\x1b[1mc\x1b[0m\n"},
	} {
		var out bytes.Buffer
		p := c.make(&out)
		p.Print(text)
		if out.String() != c.want {
			t.Errorf("%s: got %q, want %q", c.name, out.String(), c.want)
		}
		out.Reset()
		p.Printf("%s", text)
		if out.String() != c.want {
			t.Errorf("%s, formatted: got %q, want %q", c.name, out.String(), c.want)
		}
	}
}
