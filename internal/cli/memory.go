package cli

import (
	"math"
	"runtime/debug"
	"slices"
	"strings"

	"go.uber.org/zap"

	"wellkey/internal/ceiling"
)

// limitMemory has the collector of garbage keep below what the control groups around
// this process allow, with a tenth left for what is not Go's heap. Where GOMEMLIMIT
// is set, the runtime has read it, and it wins. Without either the collector goes by
// GOGC alone.
func limitMemory(environ []string, log *zap.Logger) {
	given := func(variable string) bool {
		value, ok := strings.CutPrefix(variable, "GOMEMLIMIT=")
		return ok && value != ""
	}
	if slices.ContainsFunc(environ, given) {
		return
	}
	if limit := ceiling.Of("/") / 10 * 9; limit > 0 {
		debug.SetMemoryLimit(int64(limit)) // #nosec G115 -- below 1 << 60: see ceiling
		log.Info("memory is limited, as this container or service is", zap.Uint64("limit_bytes", limit))
	}
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
