package cli

import (
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"wellkey/internal/phrase"
)

// maxLogged is how many bytes of one text an entry of the log has: more than any that
// is ours. Libraries log what a stranger said as it came.
const maxLogged = 4 << 10

// bounded is a core that logs no more of a text than that.
type bounded struct{ zapcore.Core }

// With implements zapcore.Core.
func (b bounded) With(fields []zapcore.Field) zapcore.Core {
	return bounded{b.Core.With(bound(fields))}
}

// Check implements zapcore.Core.
func (b bounded) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return checked.AddCore(e, b)
	}
	return checked
}

// Write implements zapcore.Core.
func (b bounded) Write(e zapcore.Entry, fields []zapcore.Field) error {
	e.Message = phrase.Cut(e.Message, maxLogged, "...")
	return b.Core.Write(e, bound(fields))
}

// bound returns the fields with each text cut. The fields of the caller stay as they
// are: several cores may write them.
func bound(fields []zapcore.Field) []zapcore.Field {
	copied := false
	for i, f := range fields {
		switch f.Type {
		case zapcore.StringType:
			if f.Key == "stack" { // ours, and worth nothing in part
				continue
			}
		case zapcore.ErrorType:
			f.String = textOf(f.Interface.(error))
		default:
			continue
		}
		if len(f.String) <= maxLogged {
			continue
		}
		if !copied {
			fields, copied = append([]zapcore.Field(nil), fields...), true
		}
		fields[i] = zapcore.Field{Key: f.Key, Type: zapcore.StringType, String: phrase.Cut(f.String, maxLogged, "...")}
	}
	return fields
}

// textOf returns what an error says, "" where it is one that panics: zap says that.
func textOf(err error) (text string) {
	defer func() { _ = recover() }()
	return err.Error()
}

// plainEncoder is an encoder of JSON that escapes what zap's lets pass: characters
// that turn the direction of a line, and control characters beyond ASCII.
type plainEncoder struct{ zapcore.Encoder }

// Clone implements zapcore.Encoder.
func (e plainEncoder) Clone() zapcore.Encoder { return plainEncoder{e.Encoder.Clone()} }

// EncodeEntry implements zapcore.Encoder.
func (e plainEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line, err := e.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil, err
	}
	if plain := phrase.PlainJSON(line.Bytes()); len(plain) > line.Len() {
		line.Reset()
		_, _ = line.Write(plain) // into memory
	}
	return line, nil
}
