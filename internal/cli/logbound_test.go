package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"wellkey/internal/config"
)

// said is a text that a library keeps to itself until it is logged.
type said string

func (s said) String() string { return string(s) }

func (s said) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("detail", string(s))
	return nil
}

// TestLogIsBounded: however a library hands over what a stranger said, little of it is
// logged, in both forms, and what is short stays as it is.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 20_000)
	for name, field := range map[string]zap.Field{
		"string":   zap.String("said", long),
		"error":    zap.Error(errors.New(long)),
		"stringer": zap.Stringer("said", said(long)),
		"bytes":    zap.ByteString("said", []byte(long)),
		"binary":   zap.Binary("said", []byte(long)),
		"strings":  zap.Strings("said", strings.Fields(long)),
		"any":      zap.Any("said", http.Header{"Server": {long}}),
		"object":   zap.Object("said", said(long)),
		"inline":   zap.Inline(said(long)),
	} {
		for _, format := range []config.LogFormat{config.LogJSON, config.LogConsole} {
			var out bytes.Buffer
			log := newLogger(&config.Settings{Log: config.Log{Level: zapcore.InfoLevel, Format: format}}, &out, nil)
			log.Info("an entry", field)
			log.With(field).Info("another one")
			if n := out.Len(); n < maxLogged || n > 6*maxLogged {
				t.Errorf("%s, %s: two entries have %d bytes", name, format, n)
			}
			for line := range strings.Lines(out.String()) {
				if format == config.LogJSON && !json.Valid([]byte(line)) {
					t.Errorf("%s: this is not JSON: %.100s", name, line)
				}
			}
		}
	}
	var out bytes.Buffer
	log := newLogger(&config.Settings{Log: config.Log{Level: zapcore.InfoLevel, Format: config.LogJSON}}, &out, nil)
	log.Info("short", zap.Strings("list", []string{"a", "b"}), zap.Object("object", said("c")), zap.Stringer("text", said("d")))
	if want := `"list":["a","b"],"object":{"detail":"c"},"text":"d"}`; !strings.Contains(out.String(), want) {
		t.Errorf("got %s, want in it %s", out.String(), want)
	}
}

// An evilError says little and is much more, in each of the ways that zap looks into an
// error.
type evilError struct {
	text   string
	more   string        // what %+v adds
	causes []error       // that it is made of
	fault  func() string // panics in the place of the text
}

func (e evilError) Error() string {
	if e.fault != nil {
		return e.fault()
	}
	return e.text
}

func (e evilError) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, e.text+e.more) }

// evilGroup is one that is made of several.
type evilGroup struct{ evilError }

func (e evilGroup) Errors() []error { return e.causes }

// evilObject panics while it is logged.
type evilObject struct{ said string }

func (e evilObject) MarshalLogObject(zapcore.ObjectEncoder) error { panic(e.said) }

// hidden has a text that JSON does not show.
type hidden struct{ text string }

// TestLogTamesHostileValues: whatever a value does when it is logged, the entry is
// bounded, on one line where it is JSON, and without control characters.
func TestLogTamesHostileValues(t *testing.T) {
	t.Parallel()
	const nasty = "\x1b]0;owned\x07\u202e\u0085\r\n{\"level\":\"error\"}"
	long := strings.Repeat(nasty+" long ", 10_000)
	for name, field := range map[string]zap.Field{
		"verbose":            zap.Error(evilError{text: "short", more: long}),
		"several":            zap.Error(evilGroup{evilError{text: "short", causes: []error{errors.New(long), evilError{text: "a", more: long}}}}),
		"joined":             zap.Error(errors.Join(errors.New(long), errors.New(long))),
		"long":               zap.Error(evilError{text: long}),
		"panics":             zap.Error(evilError{fault: func() string { panic(long) }}),
		"nil":                zap.Error((*evilError)(nil)),
		"errors":             zap.Errors("error", []error{evilError{text: "short", more: long}}),
		"object that panics": zap.Object("error", evilObject{long}),
		"hidden":             zap.Any("error", hidden{long}),
		"hidden in a list":   zap.Any("error", []any{hidden{long}}),
		"stack":              zap.String("stack", strings.Repeat(long, 2)),
		"name":               zap.String("said", nasty),
	} {
		for _, format := range []config.LogFormat{config.LogJSON, config.LogConsole} {
			var out bytes.Buffer
			log := newLogger(&config.Settings{Log: config.Log{Level: zapcore.InfoLevel, Format: format}}, &out, nil)
			log.Warn("an entry"+nasty, field)
			log.With(field).Warn(long)
			most := 6 * (maxLogged + maxLogged) // escaped, a byte may take six
			if name == "stack" {
				most += 2 * 6 * maxStack
			}
			if n := out.Len(); n > most {
				t.Errorf("%s, %s: two entries have %d bytes, which is more than %d", name, format, n, most)
			}
			if strings.ContainsFunc(strings.ReplaceAll(out.String(), "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s, %s: there is a character that is not seen as one: %.300q", name, format, out.String())
			}
			if format == config.LogJSON && strings.Count(out.String(), "\n") != 2 {
				t.Errorf("%s: two entries have %d lines", name, strings.Count(out.String(), "\n"))
			}
			for line := range strings.Lines(out.String()) {
				var entry map[string]any
				if format != config.LogJSON {
					continue
				}
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Errorf("%s: this is not JSON: %.100s", name, line)
				}
				for key, value := range entry {
					if text := fmt.Sprint(value); len(text) > maxLogged+3 && key != "stack" || strings.HasPrefix(key, "error") && key != "error" {
						t.Errorf("%s: the field %s is %.100q", name, key, text)
					}
				}
			}
		}
	}
}
