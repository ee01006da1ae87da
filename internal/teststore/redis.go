package teststore

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A Redis is a server that keeps nothing on disk: stopped and started again, it
// is empty.
type Redis struct {
	process
	Addr string
}

// StartRedis starts one with these arguments beside its own.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	addr, host, port := freeAddr(t)
	r := &Redis{Addr: addr}
	r.process = process{t: t, attr: attributes(), signal: syscall.SIGTERM, args: append([]string{"redis-server",
		"--bind", host, "--port", port, "--dir", tempDir(t), "--save", "", "--appendonly", "no"}, args...)}
	r.ready = func() error { return answers(r.Addr, "PING", "+PONG", "-NOAUTH", "-DENIED") }
	r.Start()
	t.Cleanup(r.Kill)
	return r
}

// StartRedisTLS starts one that speaks TLS alone, with a certificate of these
// files.
func StartRedisTLS(t testing.TB, certFile, keyFile string) *Redis {
	t.Helper()
	addr, host, port := freeAddr(t)
	r := &Redis{Addr: addr}
	r.process = process{t: t, attr: attributes(), signal: syscall.SIGTERM, args: []string{"redis-server",
		"--bind", host, "--port", "0", "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile,
		"--tls-auth-clients", "no", "--dir", tempDir(t), "--save", ""}}
	r.ready = func() error {
		conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	r.Start()
	t.Cleanup(r.Kill)
	return r
}

// URL returns what wellkey calls it; path is "/0" or the like, with a query.
func (r *Redis) URL(path string) string { return "redis://" + r.Addr + path }

// Say sends a command, and fails the test if the answer is an error.
func (r *Redis) Say(command string) string {
	r.t.Helper()
	answer, err := say(r.Addr, command)
	if err != nil || strings.HasPrefix(answer, "-") {
		r.t.Fatalf("%s: %q, %v", command, answer, err)
	}
	return answer
}

func answers(addr, line string, want ...string) error {
	answer, err := say(addr, line)
	if err != nil {
		return err
	}
	for _, prefix := range want {
		if strings.HasPrefix(answer, prefix) {
			return nil
		}
	}
	return fmt.Errorf("it says %q", answer)
}

// StartCluster starts a Cluster of one node, which has all slots.
func StartCluster(t testing.TB) *Redis {
	t.Helper()
	// The bus of a Cluster has the port 10000 further on, unless it is told.
	_, _, bus := freeAddr(t)
	r := StartRedis(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", bus)
	host, _, _ := strings.Cut(r.Addr, ":")
	r.Say("CONFIG SET cluster-announce-ip " + host) // else it is whence clients come
	r.Say("CLUSTER ADDSLOTSRANGE 0 16383")
	await(t, func() error {
		answer, err := say(r.Addr, "CLUSTER INFO")
		if err == nil && !strings.Contains(answer, "cluster_state:ok") {
			err = fmt.Errorf("it says %q", answer)
		}
		return err
	})
	return r
}

// StartSentinel starts a Sentinel that watches master under the name "primary".
func StartSentinel(t testing.TB, master *Redis) *Redis {
	t.Helper()
	addr, host, port := freeAddr(t)
	file := filepath.Join(tempDir(t), "sentinel.conf")
	masterHost, masterPort, _ := strings.Cut(master.Addr, ":")
	text := fmt.Sprintf("bind %s\nport %s\nsentinel monitor primary %s %s 1\nsentinel down-after-milliseconds primary 1000\n", host, port, masterHost, masterPort)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &Redis{Addr: addr}
	s.process = process{t: t, attr: attributes(), signal: syscall.SIGTERM, args: []string{"redis-server", file, "--sentinel"}}
	s.ready = func() error { return answers(s.Addr, "SENTINEL get-master-addr-by-name primary", "*2") }
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// await calls check until it returns nil.
func await(t testing.TB, check func() error) {
	t.Helper()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			t.Fatal(err)
		}
		<-time.After(10 * time.Millisecond)
	}
}
