package systemd_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testprogram"
	"wellkey/internal/testworld"
)

// Started by the first visitor, with the sockets bound already and named as the units
// name them, the program serves on them and binds nothing; it tells the manager when
// it serves and that it lives, and ends with 0 when it is told to.
func TestActivation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := deploytest.Start(t, testworld.Config{Domain: "activated.example.com", Dir: dir, Files: true})
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()

	var names, args []string
	for socket, addr := range map[string]string{"wellkey-http.socket": w.HTTPAddr, "wellkey-https.socket": w.HTTPSAddr} {
		names = append(names, readUnit(t, socket).one(t, "Socket.FileDescriptorName"))
		args = append(args, "--listen="+addr)
	}
	args = append(args, "--fdname="+strings.Join(names, ":"))
	// The addresses of the settings are none that could be bound.
	for _, variable := range w.Environ("HTTP_ADDR=192.0.2.1:80", "HTTPS_ADDR=192.0.2.1:443") {
		args = append(args, "--setenv="+variable)
	}
	args = append(args, "--setenv=NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "--setenv=WATCHDOG_USEC=300000")
	command := exec.Command("systemd-socket-activate", append(args, testprogram.Path(t), "serve")...)
	log := testworld.NewLog()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	defer func() { _ = command.Process.Kill() }() // it has ended, if all went well

	ctx, cancel := context.WithTimeout(t.Context(), deploytest.Patience)
	defer cancel()
	if _, err := w.AwaitFetch(ctx); err != nil {
		t.Fatalf("the key is not served over the socket: %v\n%s", err, log)
	}
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
	resp, err := client.Get("http://" + w.HTTPAddr + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // a redirect
	if resp.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("over the HTTP socket comes %s", resp.Status)
	}

	var told []string
	message := make([]byte, 4096)
	for !slices.Contains(told, "READY=1") || !slices.Contains(told, "WATCHDOG=1") {
		if err := manager.SetReadDeadline(time.Now().Add(deploytest.Patience)); err != nil {
			t.Fatal(err)
		}
		n, err := manager.Read(message)
		if err != nil {
			t.Fatalf("the manager was told only %q: %v\n%s", told, err, log)
		}
		told = append(told, strings.Split(string(message[:n]), "\n")...)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-exited; err != nil {
		t.Errorf("after SIGTERM it ended with %v\n%s", err, log)
	}
	if _, err := os.Stat(filepath.Join(w.DataDir, "key.pem")); err != nil {
		t.Error(err)
	}
}
