package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"wellkey/deploy/document"
)

// A machine says where and with what it was measured.
type machine struct {
	Processor, Kernel, Go string
	Cores                 int
	Versions              map[string]string // by peer
}

// look looks at this machine.
func look(ctx context.Context, p programs) machine {
	m := machine{Processor: document.Processor(), Kernel: kernel(), Go: strings.TrimPrefix(runtime.Version(), "go"), Cores: runtime.NumCPU(), Versions: map[string]string{}}
	for name, command := range map[string][]string{
		wellkey: {p.wellkey, "version"}, nginx: {program(nginx), "-v"}, haproxy: {program(haproxy), "-v"}, caddy: {p.caddy, "version"}, "openssl": {"openssl", "version"},
	} {
		out, _ := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput() // "" is told as unknown
		m.Versions[name] = versionIn(string(out))
	}
	return m
}

// equal reports whether what was measured on both can differ by chance only.
func (m machine) equal(other machine) bool {
	return m.Processor == other.Processor && m.Kernel == other.Kernel && m.Go == other.Go && m.Cores == other.Cores && maps.Equal(m.Versions, other.Versions)
}

// hashOf returns a short hash of a program, which is the same however often it is built.
func hashOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // nothing was written
	hash := sha256.New()
	_, err = io.Copy(hash, file)
	return hex.EncodeToString(hash.Sum(nil)[:8]), err
}

var version = regexp.MustCompile(`v?[0-9]+\.[0-9]+\.[0-9]+\S*|\bdevel\S*|\(devel\)`)

// versionIn returns the first version that a program tells of itself.
func versionIn(out string) string {
	if v := version.FindString(out); v != "" {
		return v
	}
	return "unknown"
}
