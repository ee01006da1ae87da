// Package testnetns gives a test a network of its own that can be made to fail:
// another host, which is a network namespace, and a line to it. The line is carried
// by this package, packet by packet, between two TUN devices, so loss, delay, small
// packets only and whatever else a Rule says need no module of the kernel (netem,
// nftables), and are the same on every Linux.
//
// The test itself runs in a network namespace, too, where nothing is but loopback:
// addresses of the whole internet are free to be used, and nothing leaves. All this
// wants root, the program ip (iproute2) and /dev/net/tun; where one is missing the
// tests fail and say so.
package testnetns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"wellkey/internal/testnamespace"
)

// entered, set in the environment, says that the network is ours.
const entered = "WELLKEY_TEST_NETNS"

// Main runs the tests of a package in a network namespace of its own, and returns
// the exit code: for TestMain.
func Main(run func() int) int {
	if os.Getenv(entered) == "" {
		return enter()
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "the tests of networks use the program ip (Debian package iproute2), and it fails: %v\n%s", err, out)
		return 1
	}
	return run()
}

// enter runs this binary again where the network is its own.
func enter() int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "the tests of networks make network namespaces and TUN devices, so they need root: run them as root, for example in a container")
		return 1
	}
	code, err := testnamespace.Again(context.Background(), syscall.CLONE_NEWNET, entered, syscall.SIGKILL)
	if err != nil {
		fmt.Fprintf(os.Stderr, "the tests of networks need a network namespace of their own (CAP_SYS_ADMIN), and there is none: %v\n", err)
	}
	return code
}

// A Net is the network of one test: the host Here, where the test runs, the host
// There, and the line between them.
type Net struct {
	Here, There Host
	t           testing.TB
	there       *os.File // the namespace
	rules       atomic.Pointer[[]Rule]
}

// A Host is one end of the line, with its addresses.
type Host struct{ IPv4, IPv6 netip.Addr }

// nets counts the networks, each of which has addresses of its own.
var nets atomic.Uint32

// New makes a network with a good line. What was made ends with the test.
//
// Its addresses are such as are used on the internet, so that nothing takes them
// for private ones; here they lead nowhere else.
func New(t testing.TB) *Net {
	t.Helper()
	number := nets.Add(1)
	at := func(host int) Host {
		return Host{
			IPv4: netip.MustParseAddr(fmt.Sprintf("11.%d.%d.%d", number/250, number%250, host)),
			IPv6: netip.MustParseAddr(fmt.Sprintf("2600:%x::%d", number, host)),
		}
	}
	n := &Net{Here: at(1), There: at(2), t: t}
	n.Set()
	n.namespace()
	here, there := n.end("here", number, n.Here, n.There, false), n.end("there", number, n.There, n.Here, true)
	stopped := make(chan struct{}, 2)
	go func() { n.carry(here, there, true); stopped <- struct{}{} }()
	go func() { n.carry(there, here, false); stopped <- struct{}{} }()
	t.Cleanup(func() {
		_, _ = here.Close(), there.Close() // ends both; there is nothing to do about an error
		<-stopped
		<-stopped
		_ = n.there.Close() // the namespace ends with its last process
	})
	return n
}

// namespace makes the namespace of the other host.
func (n *Net) namespace() {
	n.t.Helper()
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no more use, and ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			n.there, err = os.Open("/proc/thread-self/ns/net")
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		n.t.Fatalf("making a network namespace: %v", err)
	}
	n.Run("ip", "link", "set", "lo", "up")
}

// inThere calls f on a thread that is in the other host.
func (n *Net) inThere(f func() error) error {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked, as above
		if err := unix.Setns(int(n.there.Fd()), unix.CLONE_NEWNET); err != nil {
			failed <- err
			return
		}
		failed <- f()
	}()
	return <-failed
}

// Listen listens for TCP on the other host. The caller closes it.
func (n *Net) Listen(address string) (l net.Listener, err error) {
	err = n.inThere(func() error {
		l, err = net.Listen("tcp", address) // the socket is made on this thread
		return err
	})
	return l, err
}

// Start starts a command on the other host. The caller waits for it.
func (n *Net) Start(cmd *exec.Cmd) error { return n.inThere(cmd.Start) }

// Run runs a program on the other host and returns what it wrote. A failure fails
// the test.
func (n *Net) Run(name string, args ...string) string {
	n.t.Helper()
	cmd := exec.Command(name, args...)
	return n.output(cmd, n.inThere)
}

// RunHere is Run on the host of the test.
func (n *Net) RunHere(name string, args ...string) string {
	n.t.Helper()
	return n.output(exec.Command(name, args...), func(f func() error) error { return f() })
}

func (n *Net) output(cmd *exec.Cmd, where func(func() error) error) string {
	n.t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := where(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		n.t.Fatalf("running %q: %v\n%s", cmd.Args, err, &out)
	}
	return out.String()
}
