package cli

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/config"
)

// TestListensBeforeAnyNetwork: until the listeners have their addresses, a start asks
// nobody: not the CA, not Tesla, not a resolver. Nor does it write into the state.
func TestListensBeforeAnyNetwork(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	resolver, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer resolver.Close()
	url := "http://" + outside.Addr().String()
	environ := []string{"HOME=" + dir, "WELLKEY_DOMAIN=example.com", "WELLKEY_DATA_DIR=" + dir,
		"WELLKEY_CLIENT_ID=7a1c2d3e-4f50-4a61-8b72-93c4d5e6f708", "WELLKEY_CLIENT_SECRET=ta-secret.order",
		"WELLKEY_HTTP_ADDR=127.0.0.1:0", "WELLKEY_HTTPS_ADDR=127.0.0.1:0", "WELLKEY_ADMIN_ADDR=127.0.0.1:0",
		"WELLKEY_ACME_DIRECTORY=https://" + outside.Addr().String() + "/dir",
		"WELLKEY_TESLA_AUTH_URL=" + url, "WELLKEY_TESLA_API_URL_NA=" + url, "WELLKEY_TESLA_API_URL_EU=" + url,
		"WELLKEY_PROBE_RESOLVERS=" + resolver.LocalAddr().String()}
	loader := config.New(environ)
	load := func() (*config.Settings, error) { return loader.LoadAll(true) }
	settings, err := load()
	if err != nil {
		t.Fatal(err)
	}
	d, err := build(settings, load, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.server.Close()
	if !d.serves() {
		t.Error("the listener of the key has no address")
	}

	// What was sent lies in the queues of the sockets by now: loopback does not delay.
	soon := time.Now().Add(10 * time.Millisecond)
	if err := errors.Join(outside.(*net.TCPListener).SetDeadline(soon), resolver.SetDeadline(soon)); err != nil {
		t.Fatal(err)
	}
	if conn, err := outside.Accept(); err == nil {
		_ = conn.Close()
		t.Error("the CA or Tesla was asked before the listeners stood")
	}
	if n, _, err := resolver.ReadFrom(make([]byte, 512)); err == nil {
		t.Errorf("a resolver was asked before the listeners stood, in %d bytes", n)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "state")); err != nil || len(entries) != 0 {
		t.Errorf("the state has %v, %v before the listeners stood, want nothing", entries, err)
	}
}
