package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

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
