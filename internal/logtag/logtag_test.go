package logtag_test

import (
	"bytes"
	"runtime"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"wellkey/internal/logtag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLog(out *bytes.Buffer, options ...zap.Option) *zap.Logger {
	encoding := zap.NewProductionEncoderConfig()
	encoding.TimeKey = ""
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.AddSync(out), zap.InfoLevel), options...)
}

// TestSameAsZap logs the same by a logger of zap and by one of ours.
func TestSameAsZap(t *testing.T) {
	t.Parallel()
	var zaps, ours bytes.Buffer
	counted := map[zapcore.Level]int{}
	count := zap.Hooks(func(e zapcore.Entry) error { counted[e.Level]++; return nil })
	domain := zap.String("domain", "example.com")
	for _, log := range []*zap.Logger{
		newLog(&zaps, count).With(domain),
		logtag.With(newLog(&ours, count), domain),
	} {
		log.Named("part").With(zap.Int("n", 1)).Info("first", zap.Bool("yes", true))
		log.Debug("not written")
		log.WithLazy(zap.Int("n", 2)).Error("second")
		if log.Check(zap.DebugLevel, "none") != nil {
			t.Error("what is not written is to be known beforehand")
		}
	}
	if ours.String() != zaps.String() || ours.Len() == 0 {
		t.Errorf("got\n%s, want\n%s", &ours, &zaps)
	}
	if counted[zap.InfoLevel] != 2 || counted[zap.ErrorLevel] != 2 || counted[zap.DebugLevel] != 0 {
		t.Errorf("counted %v", counted)
	}
}

// TestKeepsLittle is what the package is for.
func TestKeepsLittle(t *testing.T) {
	var out bytes.Buffer
	log := newLog(&out)
	const many = 1000
	kept := make([]*zap.Logger, many)
	before := inUse()
	for i := range kept {
		kept[i] = logtag.With(log, zap.String("domain", "example.com"))
		kept[i].Info("said something")
		out.Reset()
	}
	if each := (inUse() - before) / many; each > 512 {
		t.Errorf("a logger keeps %d bytes", each)
	}
	runtime.KeepAlive(kept)
}

func inUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
