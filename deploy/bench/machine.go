package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// A machine says where and with what it was measured.
type machine struct {
	Processor, Kernel, Go string
	Cores                 int
	Versions              map[string]string // by peer
}

// look looks at this machine.
func look(ctx context.Context, p programs) machine {
	m := machine{Processor: processor(), Kernel: kernel(), Go: strings.TrimPrefix(runtime.Version(), "go"), Cores: runtime.NumCPU(), Versions: map[string]string{}}
	for name, command := range map[string][]string{
		wellkey: {p.wellkey, "version"}, nginx: {program(nginx), "-v"}, haproxy: {program(haproxy), "-v"}, caddy: {p.caddy, "version"}, "openssl": {"openssl", "version"},
	} {
		out, _ := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput() // "" is told as unknown
		m.Versions[name] = versionIn(string(out))
	}
	return m
}

var version = regexp.MustCompile(`v?[0-9]+\.[0-9]+\.[0-9]+\S*|\bdevel\S*|\(devel\)`)

// versionIn returns the first version that a program tells of itself.
func versionIn(out string) string {
	if v := version.FindString(out); v != "" {
		return v
	}
	return "unknown"
}

// processor returns the name of the processor, as the kernel has it.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // "" where there is none
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
