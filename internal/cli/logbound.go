package cli

import (
	"cmp"
	"fmt"
	"reflect"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"wellkey/internal/phrase"
)

// maxLogged is how many bytes of one text an entry of the log has: more than any that
// is ours. Libraries log what a stranger said as it came.
const maxLogged = 4 << 10

// maxStack is how many bytes of a stack it has: some hundred calls.
const maxStack = 32 << 10

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

// bound returns the fields with each text cut. The fields of the caller stay as they
// are: several cores may write them.
func bound(fields []zapcore.Field) []zapcore.Field {
	copied := false
	for i, f := range fields {
		tamed, changed := tame(f)
		if !changed {
			continue
		}
		if !copied {
			fields, copied = append([]zapcore.Field(nil), fields...), true
		}
		fields[i] = tamed
	}
	return fields
}

// tame returns a field that is no longer than it may be, and reports whether that is
// another one. An error becomes its text: zap would also log what %+v makes of it, and
// what it is made of, which says the same again at any length. Of what is made of
// several texts and too long, the JSON is cut. What panics is logged, too.
func tame(f zapcore.Field) (tamed zapcore.Field, changed bool) {
	defer func() {
		if fault := recover(); fault != nil {
			tamed, changed = asText(f, panicked(f.Interface, fault)), true
		}
	}()
	switch f.Type {
	case zapcore.StringType:
		if len(f.String) > mostOf(f) {
			return asText(f, f.String), true
		}
	case zapcore.ErrorType:
		return asText(f, f.Interface.(error).Error()), true
	case zapcore.StringerType:
		return asText(f, f.Interface.(fmt.Stringer).String()), true
	case zapcore.ByteStringType:
		if text := f.Interface.([]byte); len(text) > maxLogged {
			return asText(f, string(text)), true
		}
	case zapcore.BinaryType, zapcore.ArrayMarshalerType, zapcore.ObjectMarshalerType, zapcore.InlineMarshalerType, zapcore.ReflectType:
		encoder := zapcore.NewJSONEncoder(zapcore.EncoderConfig{SkipLineEnding: true})
		line, err := encoder.EncodeEntry(zapcore.Entry{}, []zapcore.Field{f})
		if err != nil {
			return asText(f, err.Error()), true
		}
		defer line.Free()
		if line.Len() > maxLogged {
			return asText(f, line.String()), true
		}
	}
	return f, false
}

// mostOf is how long a text may be. A stack is ours, and worth little in part.
func mostOf(f zapcore.Field) int {
	if f.Key == "stack" {
		return maxStack
	}
	return maxLogged
}

// asText returns a field of the same name that holds text.
func asText(f zapcore.Field, text string) zapcore.Field {
	return zapcore.Field{Key: cmp.Or(f.Key, "fields"), Type: zapcore.StringType, String: phrase.Cut(text, mostOf(f), "...")}
}

// panicked is what is logged in the place of a value that panics when it is asked for
// its text: what zap says, too.
func panicked(value, fault any) string {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer && v.IsNil() {
		return "<nil>"
	}
	return fmt.Sprintf("PANIC=%v", fault)
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
