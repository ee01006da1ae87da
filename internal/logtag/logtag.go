// Package logtag makes loggers that name what they are about, for thousands of
// things. Those that zap makes encode the name at once, or when they first log, and
// keep the buffer, which takes a kilobyte each.
package logtag

import (
	"slices"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// With returns log with fields that are added to each entry when it is written,
// before those of the entry.
func With(log *zap.Logger, fields ...zap.Field) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(below zapcore.Core) zapcore.Core { return core{below, fields} }))
}

type core struct {
	zapcore.Core
	fields []zap.Field
}

// With implements zapcore.Core.
func (c core) With(fields []zap.Field) zapcore.Core {
	return core{c.Core, slices.Concat(c.fields, fields)}
}

// Check implements zapcore.Core.
func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) {
		return checked
	}
	return checked.AddCore(entry, c)
}

// Write implements zapcore.Core. The core below decides by itself, as it may count
// or leave out what comes too often.
func (c core) Write(entry zapcore.Entry, fields []zap.Field) error {
	if below := c.Core.Check(entry, nil); below != nil {
		below.Write(slices.Concat(c.fields, fields)...)
	}
	return nil
}
