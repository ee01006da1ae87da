package certs_test

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/certmagic"

	"wellkey/server/certs"
)

// A hangingStorage answers nothing.
type hangingStorage struct{ certmagic.Storage }

func (hangingStorage) Load(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestHandshakesWaitForTheStorage: while the storage hangs, handshakes wait for it, but for
// no more than a bounded number, however many come.
func TestHandshakesWaitForTheStorage(t *testing.T) {
	t.Parallel()
	m, err := certs.New(certs.Config{Storage: hangingStorage{}, TLSAddr: func() string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	const domain = "hangs.example.test"
	m.Add(domain)
	// Nobody waits for so long that time passes here: there is always one who runs.
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		defer all.Wait()
		defer cancel()
		shake := func() error {
			near, far := net.Pipe()
			defer func() { _, _ = near.Close(), far.Close() }()
			all.Go(func() {
				_ = tls.Client(far, &tls.Config{ServerName: domain, InsecureSkipVerify: true}).HandshakeContext(ctx)
			})
			return tls.Server(near, m.TLSConfig()).HandshakeContext(ctx)
		}
		for range certs.MostReaders {
			all.Go(func() { _ = shake() })
		}
		for m.Readers() < certs.MostReaders {
			runtime.Gosched()
		}
		if err := shake(); err == nil || !strings.Contains(err.Error(), "too many handshakes wait for the storage") {
			t.Errorf("one more ended with %v", err)
		}
		cancel()
		all.Wait()
		if n := m.Readers(); n != 0 {
			t.Errorf("%d still wait at the end", n)
		}
	})
}
