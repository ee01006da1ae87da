package faults_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"wellkey/internal/testca"
	"wellkey/internal/testhost"
	"wellkey/internal/testleak"
	"wellkey/internal/testnamespace"
	"wellkey/internal/testprogram"
)

// inNamespace, set in the environment, says that mounts are ours.
const inNamespace = "WELLKEY_FAULTS_NAMESPACE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writesInto); dir != "" {
		os.Exit(writeUntilKilled(dir))
	}
	if os.Getenv(inNamespace) == "" {
		os.Exit(enterNamespace())
	}
	flag.Parse()
	log.SetOutput(io.Discard) // certmagic's words about listeners that are ours
	if !given("test.parallel") {
		// The tests mostly wait for an ACME client that polls four times a second.
		_ = flag.Set("test.parallel", "24")
	}
	if err := nameTheCA(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	testleak.Main(func() int { return testprogram.Main(m) })
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// enterNamespace runs this binary again where it may mount, and returns its exit
// code.
func enterNamespace() int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "the fault suite mounts file systems and changes owners, so it needs root: run it as root, for example in a container")
		return 1
	}
	code, err := testnamespace.Again(context.Background(), syscall.CLONE_NEWNS, inNamespace, syscall.SIGKILL)
	if err != nil {
		fmt.Fprintf(os.Stderr, "the fault suite needs a mount namespace of its own (CAP_SYS_ADMIN), and there is none: %v\n", err)
	}
	return code
}

// nameTheCA lets testca.APIName resolve: a CA of that name is not on this very
// machine, for all wellkey knows.
func nameTheCA() error {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	file := filepath.Join(os.TempDir(), fmt.Sprintf("wellkey-faults-hosts-%d", os.Getpid()))
	if err := os.WriteFile(file, append(hosts, "\n127.0.0.1 "+testca.APIName+"\n"...), 0o644); err != nil {
		return err
	}
	defer os.Remove(file) // the mount keeps it
	if err := syscall.Mount(file, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting over /etc/hosts: %w", err)
	}
	return nil
}

// hosts counts what was given to tests, so that each has a domain of its own, since
// certmagic keeps challenges by domain in a global. Each has a loopback address of its own, too.
var hosts atomic.Uint32

func newHost() (host, domain string) {
	n := hosts.Add(1)
	return testhost.New(), fmt.Sprintf("faults%d.example.com", n)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
