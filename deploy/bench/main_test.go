package main

import (
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // what Pebble leaves running; see testca
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"))
}

// TestShort measures some of it for its functioning: .ci/run measures all.
func TestShort(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"-short", "-scenarios", "x25519,resumed,h1,start,idle,many-memory"}, &stdout, &stderr); code != 0 {
		t.Fatalf("got %d\n%s%s", code, &stdout, &stderr)
	}
	rows := regexp.MustCompile(`(?m)^  \S.* \d+\.\d\d$`).FindAllString(stdout.String(), -1)
	if want := 6 + 6 + 8 + 5 + 5 + 2; len(rows) != want {
		t.Errorf("%d rows, want %d in\n%s", len(rows), want, &stdout)
	}
	if !strings.Contains(stdout.String(), "short form: for its functioning only") || strings.Contains(stdout.String(), "×") {
		t.Errorf("tells ratios of a run that is too short:\n%s", &stdout)
	}
	if left, err := filepath.Glob(filepath.Join(temp, "wellkey-bench-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, error %v", left, err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-scenarios", "x25519,none"}, {"-repetitions", "0"}, {"-window", "1ms"}, {"-foreign", "-1"}, {"more"}, {"-none"}} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), args, &stdout, &stderr); code != 2 || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%q: got %d, %q, %q", args, code, &stdout, &stderr)
		}
	}
	var list, stderr strings.Builder
	if code := run(t.Context(), []string{"-list"}, &list, &stderr); code != 0 || strings.Count(list.String(), "\n") != len(scenarios) {
		t.Errorf("-list: got %d, %q", code, &list)
	}
}

func TestUntold(t *testing.T) {
	t.Parallel()
	for why, args := range map[string][]string{
		"": {"-scenarios", "h1"}, "fewer than 15 repetitions": {"-repetitions", "14"}, "others might use more than 0.05 of a core": {"-foreign", "0.1"},
		"the program was given with -binary": {"-binary", "/bin/true"},
	} {
		o, err := parse(args, t.Output())
		if got := o.untold(); err != nil || got != why {
			t.Errorf("%q: got %q, error %v, want %q", args, got, err, why)
		}
	}
}

// Every goal is about peers that its scenario has, and every scenario about peers that
// there are.
func TestGoals(t *testing.T) {
	t.Parallel()
	for _, g := range goals {
		s := scenarioOf(g.scenario)
		if !slices.Contains(s.peers, g.peer) || g.own != "" && g.own != s.own() {
			t.Errorf("%s has no %s", g.scenario, g.peer)
		}
	}
	for _, s := range scenarios {
		if own := s.own(); own != wellkey && own != wellkeyMany {
			t.Errorf("%s begins with %s", s.name, own)
		}
	}
}

func TestReading(t *testing.T) {
	t.Parallel()
	if kib, err := pssOf([]byte("55d0-7fff ---p 00000000 00:00 0 [rollup]\nRss: 100 kB\nPss:  87 kB\nPss_Anon: 3 kB\n")); err != nil || kib != 87 {
		t.Errorf("memory: %v, error %v", kib, err)
	}
	if _, err := pssOf([]byte("Rss: 1 kB\n")); err == nil {
		t.Error("memory without Pss")
	}
	busy, stolen, err := statOf("cpu  100 20 30 999 999 4 5 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	if err != nil || busy != 1590*time.Millisecond || stolen != 70*time.Millisecond {
		t.Errorf("busy %v, stolen %v, error %v", busy, stolen, err)
	}
	if n, err := requestsOf([]byte("requests: 900 total, 912 started, 900 done, 899 succeeded, 0 failed, 0 errored, 0 timeout\n")); err != nil || n != 899 {
		t.Errorf("requests: %d, error %v", n, err)
	}
	for _, bad := range []string{"", "requests: 9 total, 9 started, 9 done, 8 succeeded, 1 failed, 0 errored, 0 timeout\n"} {
		if n, err := requestsOf([]byte(bad)); err == nil {
			t.Errorf("%q: %d requests", bad, n)
		}
	}
	calls, err := totalCalls([]byte("    calls syscall\n--------- ----------------\n      400 read\n      200 epoll_wait\n        1 restart_syscall\n--------- ----------------\n      601 total\n"))
	if err != nil || calls != 600 {
		t.Errorf("%v calls, error %v", calls, err)
	}
	for said, want := range map[string]string{"nginx version: nginx/1.22.1\n": "1.22.1", "v2.11.9 h1:abc=\n": "v2.11.9", "HAProxy version 2.6.12-1+deb12u4 2026/10/17": "2.6.12-1+deb12u4", "": "unknown"} {
		if got := versionIn(said); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	contentType, lines := headersOf(http.Header{"Content-Type": {"application/x-pem-file"}, "Date": {"now"}, "Content-Length": {"178"}, "Etag": {`"1"`}})
	if contentType != "application/x-pem-file" || !slices.Equal(lines, []headerLine{{"Etag", `"1"`}}) {
		t.Errorf("got %q, %v", contentType, lines)
	}
}

// A server that has closed connections that were to stay open makes a measurement void.
func TestLost(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var conns kept
	defer func() { conns.close() }()
	var served []net.Conn
	for range 2 {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, tls.Client(conn, &tls.Config{ServerName: host}))
		other, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		served = append(served, other)
	}
	if n, err := conns.lost(); n != 0 || err != nil {
		t.Errorf("%d lost, error %v", n, err)
	}
	if err := served[1].Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := conns[1].(*tls.Conn).NetConn().Read(make([]byte, 1)); err == nil { // until the end has come
		t.Error("read from a closed connection")
	}
	if n, err := conns.lost(); n != 1 || err != nil {
		t.Errorf("%d lost, error %v", n, err)
	}
}
