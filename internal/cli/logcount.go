package cli

import (
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logCount counts the messages that are logged, by level.
type logCount struct {
	*prometheus.CounterVec
	byLevel map[zapcore.Level]prometheus.Counter
}

func newLogCount() *logCount {
	c := &logCount{byLevel: map[zapcore.Level]prometheus.Counter{}, CounterVec: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wellkey_log_messages_total",
		Help: "Messages logged, by level: warn recovers by itself, error needs a person.",
	}, []string{"level"})}
	for _, level := range []zapcore.Level{zap.DebugLevel, zap.InfoLevel, zap.WarnLevel, zap.ErrorLevel} {
		c.byLevel[level] = c.WithLabelValues(level.String())
	}
	return c
}

// hook is for zap.Hooks. The levels above error, which wellkey does not use,
// count as error.
func (c *logCount) hook(e zapcore.Entry) error {
	c.byLevel[min(e.Level, zap.ErrorLevel)].Inc()
	return nil
}
