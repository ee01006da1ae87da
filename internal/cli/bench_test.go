package cli_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"wellkey/internal/testworld"
	"wellkey/registrar"
)

// BenchmarkRestart builds the program as it is shipped, stripped, and starts it
// again and again with a stored key and certificate. It reports how long it is
// from exec to the first 200, what the process then holds in memory at rest, and
// how large the binary is.
//
//	go test ./internal/cli -run '^$' -bench Restart -benchtime 5x
func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	program := filepath.Join(dir, "wellkey")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "wellkey")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building: %v\n%s", err, out)
	}
	w, err := testworld.Start(testworld.Config{Domain: "bench.example.com", Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := w.WriteCredentials(); err != nil {
		b.Fatal(err)
	}
	benchRun(b, w, program) // obtains and registers
	var start, memory float64
	rounds := 0
	for b.Loop() {
		took, kib := benchRun(b, w, program)
		start, memory, rounds = start+took.Seconds()*1000, memory+kib/1024, rounds+1
	}
	info, err := os.Stat(program)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(start/float64(rounds), "ms/first-200")
	b.ReportMetric(memory/float64(rounds), "MiB/rss")
	b.ReportMetric(float64(info.Size())/(1<<20), "MiB/binary")
}

// benchRun runs the program until it is registered, and returns when it first
// served the key, and its resident memory in KiB.
func benchRun(b *testing.B, w *testworld.World, program string) (first time.Duration, kib float64) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	p, err := w.Exec(program, []string{"HOME=" + b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = p.Signal(os.Kill); p.Wait() }()
	if _, err := w.AwaitFetch(ctx); err != nil {
		b.Fatalf("fetching the key: %v\n%s", err, p.Log)
	}
	first = time.Since(began)
	if _, err := p.Log.Await(ctx, line("key reachable from outside")); err != nil {
		b.Fatal(err)
	}
	status, err := w.Status(ctx)
	if err != nil || status.Sites[0].Registrations[0].State == registrar.Mismatch {
		b.Fatalf("%v, %+v", err, status)
	}
	return first, residentMemory(b, p.Pid())
}

// residentMemory returns how much memory a process has, in kB.
func residentMemory(b *testing.B, pid int) float64 {
	b.Helper()
	bytes, err := testworld.Memory(pid, testworld.Resident)
	if err != nil {
		b.Fatal(err)
	}
	return float64(bytes) / 1024
}
