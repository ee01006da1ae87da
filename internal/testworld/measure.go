package testworld

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// Metrics returns the value of each series at /metrics, by its name with labels.
func (w *World) Metrics(ctx context.Context) (map[string]float64, error) {
	return Metrics(ctx, w.AdminAddr)
}

// Metrics is the same of the wellkey whose admin listener has an address, for another
// process.
func Metrics(ctx context.Context, admin string) (map[string]float64, error) {
	got, err := ask(ctx, admin, "/metrics")
	switch {
	case err != nil:
		return nil, err
	case got.Status != http.StatusOK:
		return nil, fmt.Errorf("getting the metrics: status %d", got.Status)
	}
	values := map[string]float64{}
	return values, EachSeries(got.Body, func(name string, value float64) { values[name] = value })
}

// EachSeries calls f for each series in a text of /metrics. A label may have spaces in it.
func EachSeries(text []byte, f func(name string, value float64)) error {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		at := bytes.LastIndexByte(line, ' ')
		if at < 0 {
			return fmt.Errorf("reading the metrics: %q has no value", line)
		}
		value, err := strconv.ParseFloat(string(line[at+1:]), 64)
		if err != nil {
			return fmt.Errorf("reading the metrics: %w", err)
		}
		f(string(line[:at]), value)
	}
	return nil
}

// What Memory tells; see proc_pid_status(5).
const (
	Resident = "VmRSS" // now
	Peak     = "VmHWM" // at the most
)

// Memory returns how much memory a process has, in bytes.
func Memory(pid int, what string) (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == what+":" {
			kib, err := strconv.Atoi(words[1])
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel does not say %s of process %d", what, pid)
}
