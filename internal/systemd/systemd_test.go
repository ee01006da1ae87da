package systemd_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/systemd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// manager listens where a service manager would, until the test ends.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", addr.Name)
	return conn
}

func TestNotify(t *testing.T) {
	conn := manager(t)
	for _, tc := range []struct {
		say  func() error
		want string
	}{
		{systemd.Ready, "^READY=1$"},
		{systemd.Reloading, "^RELOADING=1\nMONOTONIC_USEC=[0-9]+\n?$"},
		{systemd.Stopping, "^STOPPING=1$"},
		{systemd.Alive, "^WATCHDOG=1$"},
		{func() error { return systemd.Status("a\nREADY=1\tb ") }, "^STATUS=a READY=1 b$"},
	} {
		if err := tc.say(); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1000)
		n, err := conn.Read(got)
		if err != nil || !regexp.MustCompile(tc.want).Match(got[:n]) {
			t.Errorf("got %q, %v, want %s", got[:n], err, tc.want)
		}
	}
	if !systemd.Present() {
		t.Error("the manager is not seen")
	}
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := systemd.Ready(); err != nil || systemd.Present() {
		t.Errorf("got %v, present %v", err, systemd.Present())
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	if err := systemd.Ready(); err == nil {
		t.Error("a manager that is not there heard it")
	}
}

func TestWatchdog(t *testing.T) {
	for _, tc := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"60000000", "", time.Minute}, {"60000000", strconv.Itoa(os.Getpid()), time.Minute}, {"60000000", "1", 0}, {"x", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", tc.usec)
		t.Setenv("WATCHDOG_PID", tc.pid)
		if got := systemd.Watchdog(); got != tc.want {
			t.Errorf("%+v: got %v", tc, got)
		}
	}
}

func TestSockets(t *testing.T) {
	for _, tc := range []struct {
		names string // of TCP sockets; "udp" and "unix" are such
		want  string // listener=number of the socket, or the error
	}{
		{"", ""},
		{"http https admin", "admin=2 http=0 https=1"},
		{"https http", "http=1 https=0"},
		{"wellkey-https.socket", "https=0"},
		{"wellkey-http.socket admin.socket", "admin=1 http=0"},
		{"wellkey.socket", "https=0"},
		{"LISTEN_FD_3", "https=0"},
		{"wellkey.socket wellkey.socket", "http=0 https=1"},
		{"http http", "the service manager passed two sockets for http: write one ListenStream=, such as 443, which takes IPv4 and IPv6"},
		{"http wellkey.socket", `the service manager passed 2 sockets, and "wellkey.socket" does not say for which listener it is: set FileDescriptorName= of its unit to http, https or admin`},
		{"a b c", `the service manager passed 3 sockets, and "a" does not say for which listener it is: set FileDescriptorName= of its unit to http, https or admin`},
		{"udp-http", "the socket that the service manager passed for http is no TCP socket that listens: "},
		{"unix-admin", "the socket that the service manager passed for admin is no TCP socket that listens: it is of another kind; write ListenStream= with a port or an address and a port"},
	} {
		t.Run(tc.names, func(t *testing.T) {
			var files []*os.File
			number := map[string]int{}
			for i, name := range strings.Fields(tc.names) {
				f, addr := bind(t, name)
				number[addr] = i
				files = append(files, f)
			}
			sockets, err := systemd.Assign(files, "https")
			if err != nil {
				if tc.want == "" || !strings.HasPrefix(err.Error(), tc.want) {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				return
			}
			var got []string
			for _, name := range []string{"admin", "http", "https"} {
				if l := sockets[name]; l != nil {
					got = append(got, fmt.Sprintf("%s=%d", name, number[l.Addr().String()]))
					_ = l.Close()
				}
			}
			if text := strings.Join(got, " "); text != tc.want {
				t.Errorf("got %s, want %s", text, tc.want)
			}
		})
	}
}

// bind returns a socket as a service manager passes it.
func bind(t *testing.T, name string) (*os.File, string) {
	t.Helper()
	var from interface {
		File() (*os.File, error)
		Close() error
	}
	var addr string
	switch {
	case strings.HasPrefix(name, "udp"):
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		from, addr = conn, conn.LocalAddr().String()
	case strings.HasPrefix(name, "unix"):
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s")})
		if err != nil {
			t.Fatal(err)
		}
		from, addr = l, l.Addr().String()
	default:
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		from, addr = l, l.Addr().String()
	}
	defer func() { _ = from.Close() }()
	f, err := from.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), name), addr
}
