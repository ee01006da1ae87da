package cli

import (
	"cmp"
	"fmt"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"wellkey/internal/phrase"
)

// maxLogged is how many bytes of one text an entry of the log has: more than any that
// is ours. Libraries log what a stranger said as it came.
const maxLogged = 4 << 10

// bounded is a core that logs no more of a text than that, nor of a list or whatever
// else has texts in it.
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

// bound returns the fields with each text cut; of what is made of several, the JSON.
// The fields of the caller stay as they are: several cores may write them.
func bound(fields []zapcore.Field) []zapcore.Field {
	copied := false
	for i, f := range fields {
		text := textOf(f)
		if len(text) <= maxLogged {
			continue
		}
		if !copied {
			fields, copied = append([]zapcore.Field(nil), fields...), true
		}
		fields[i] = zapcore.Field{Key: cmp.Or(f.Key, "fields"), Type: zapcore.StringType, String: phrase.Cut(text, maxLogged, "...")}
	}
	return fields
}

// textOf returns the text that a field is logged as; "" where it is known to be short,
// or is ours. Of one that panics, zap says so.
func textOf(f zapcore.Field) (text string) {
	defer func() { _ = recover() }()
	switch f.Type {
	case zapcore.StringType:
		if f.Key != "stack" { // ours, and worth nothing in part
			text = f.String
		}
	case zapcore.ErrorType:
		text = f.Interface.(error).Error()
	case zapcore.StringerType:
		text = f.Interface.(fmt.Stringer).String()
	case zapcore.ByteStringType:
		text = string(f.Interface.([]byte))
	case zapcore.BinaryType, zapcore.ArrayMarshalerType, zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType, zapcore.ReflectType:
		encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{SkipLineEnding: true})
		if line, err := encoder.EncodeEntry(zapcore.Entry{}, []zapcore.Field{f}); err == nil {
			text = line.String()
			line.Free()
		}
	}
	return text
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
