package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"wellkey/internal/testnamespace"
)

// inNamespace, set in the environment, says that the network is ours.
const inNamespace = "WELLKEY_TORTURE_NAMESPACE"

// enterNamespace runs this program again in a network of its own, and returns its
// exit code.
func enterNamespace(ctx context.Context) int {
	code, err := testnamespace.Again(ctx, syscall.CLONE_NEWNET, inNamespace, syscall.SIGTERM)
	if err != nil {
		fmt.Fprintf(os.Stderr, "torture: a network of its own (CAP_SYS_ADMIN) cannot be had: %v\n", err)
	}
	return code
}

// network makes this machine every host of three networks: one for benchmarks (RFC
// 2544) and one for documents (RFC 3849), which wellkey takes for public, and
// 127.0.0.0/8, which it takes for a place behind which many may stand.
func network(ctx context.Context) error {
	if os.Getenv(inNamespace) == "" {
		return errors.New("it makes a network of its own, so it needs root: run it as root, for example in a container")
	}
	for _, line := range []string{
		"link set lo up", "route add local 198.18.0.0/15 dev lo", "-6 route add local 2001:db8::/32 dev lo",
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s (Debian package iproute2): %w\n%s", line, err, out)
		}
	}
	// Addresses of version 6 are bound only where they are set, or where this is.
	if err := os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0); err != nil {
		return fmt.Errorf("letting attackers have any IPv6 address: %w", err)
	}
	return nil
}
