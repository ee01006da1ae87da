package cli

import (
	"context"
	"math"
	"runtime/debug"
	"slices"
	"strings"

	"go.uber.org/zap"

	"wellkey/internal/ceiling"
	"wellkey/internal/headroom"
)

// limitMemory has the collector of garbage keep below what the control groups around
// this process allow, with a tenth left for what is not Go's heap. Where GOMEMLIMIT
// is set, the runtime has read it, and it takes the place of that. As long as little is
// in use, headroom has a limit that is no higher than either, but where GOGC is set.
func limitMemory(environ []string, log *zap.Logger) {
	if given(environ, "GOMEMLIMIT") {
		return
	}
	if limit := ceiling.Of("/") / 10 * 9; limit > 0 {
		debug.SetMemoryLimit(int64(limit)) // #nosec G115 -- below 1 << 60: see ceiling
		log.Info("memory limit of the container or service applies", zap.Uint64("limit_bytes", limit))
	}
}

// given reports whether a variable is in the environment.
func given(environ []string, name string) bool {
	return slices.ContainsFunc(environ, func(variable string) bool {
		value, ok := strings.CutPrefix(variable, name+"=")
		return ok && value != ""
	})
}

// keepHeadroom has the collector run seldom while much is asked of a small heap, but
// for the time in which many sites are loaded. Where GOGC is set, it wins.
func (d *daemon) keepHeadroom(ctx context.Context) error {
	if d.many() {
		d.awaitSettled(ctx)
	}
	if d.headroom {
		headroom.Keep(ctx, memoryLimit())
	}
	<-ctx.Done()
	return nil
}

// memoryLimit returns how many bytes this process may have, 0 where nothing says so. A
// limit that does not grow with what is in use makes everything several times as
// slow when it is nearly reached, so the number of connections goes by it.
func memoryLimit() uint64 {
	limit := debug.SetMemoryLimit(-1) // only asks
	if limit == math.MaxInt64 {
		return 0
	}
	return uint64(limit) // #nosec G115 -- it is never negative
}
