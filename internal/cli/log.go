package cli

import (
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"wellkey/internal/config"
	"wellkey/internal/tty"
)

// newLogger returns a logger that writes to w: JSON, one line an entry, or lines
// for people. Foreign texts are bounded in both forms, and what is not seen as a
// character of its own is escaped.
func newLogger(s *config.Settings, w io.Writer, environ []string) *zap.Logger {
	c := s.Log
	if c.Format == config.LogConsole || c.Format == config.LogAuto && isTerminal(w) {
		return zap.New(bounded{newConsole(c.Level, tty.New(w, environ), !s.Several())})
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = "time"
	encoding.MessageKey = "message"
	encoding.EncodeTime = zapcore.RFC3339TimeEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	return zap.New(bounded{zapcore.NewCore(plainEncoder{zapcore.NewJSONEncoder(encoding)}, zapcore.Lock(zapcore.AddSync(w)), c.Level)})
}

// isTerminal reports whether a reader or writer is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
