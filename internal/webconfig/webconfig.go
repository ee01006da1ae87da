// Package webconfig guards an HTTP listener by a file in the format that
// Prometheus and its exporters share (exporter-toolkit,
// docs/web-configuration.md): TLS, client certificates, users with passwords, and
// a few header fields. Unlike there, the file and what it names are followed, not
// read for each request, and a bad change leaves the last good state in use.
//
// Taken are tls_server_config (all but the inline cert, key and client_ca),
// http_server_config and basic_auth_users. Every other key is refused.
//
// Programs on the same machine have ways of their own, see Handler and Client.
package webconfig

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// A Follower holds the last good state of a file. It is safe for concurrent use.
type Follower struct {
	path    string
	poll    time.Duration
	log     *zap.Logger
	current atomic.Pointer[file]
	proven  proven

	mu     sync.Mutex        // held while reading; guards what follows
	seen   [sha256.Size]byte // the contents at the last look
	err    error             // what is wrong with them
	readAt time.Time         // when they were last read and good
}

// Check returns what is wrong with a file, for the operator; it shows no secret.
func Check(path string) error {
	_, err := load(path)
	return err
}

// New reads the file at path once. It must be good.
func New(path string, log *zap.Logger) (*Follower, error) {
	if log == nil {
		log = zap.NewNop()
	}
	f := &Follower{path: path, poll: 2 * time.Second, log: log.Named("webconfig")}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Run follows the file, and the files that it names, until ctx is done; then it
// returns nil. What counts is the content.
func (f *Follower) Run(ctx context.Context) error {
	ticker := time.NewTicker(f.poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err, news := f.look(false); err != nil && news {
				f.log.Error("changed web configuration is not usable; the last good one stays in use", zap.Error(err),
					zap.String("fix", "Correct the file that the error names; it is taken over within seconds, and a restart before that fails."))
			}
		}
	}
}

// Reload looks at the files now. An error says what is wrong; the last good state
// stays in use.
func (f *Follower) Reload() error {
	err, _ := f.look(true)
	return err
}

// State returns whether the files are good as they are now, and when they were
// last read anew and were.
func (f *Follower) State() (good bool, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err == nil, f.readAt
}

// look reads the files, and takes them over if they are good. News is whether they
// changed since the last look.
func (f *Follower) look(always bool) (err error, news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next, err := load(f.path)
	if news = next.digest != f.seen; !news && !always {
		return f.err, false
	}
	f.seen = next.digest
	was := f.current.Load()
	switch {
	case err != nil:
	case was != nil && (was.tls == nil) != (next.tls == nil):
		err = fmt.Errorf("%s: tls_server_config came or went; restart wellkey to change between http and https", f.path)
	case was != nil && was.http2 != next.http2:
		err = errors.New(f.path + ": http_server_config.http2 changed; restart wellkey")
	default:
		f.current.Store(next)
		f.readAt = time.Now()
		if news {
			f.log.Info("web configuration in use", zap.String("path", f.path), zap.Bool("tls", next.tls != nil), zap.Int("users", len(next.users)))
		}
	}
	f.err = err
	return err, news
}

// TLSConfig returns the TLS of the listener, nil where it speaks plain HTTP. Each
// handshake goes by the state of that moment.
func (f *Follower) TLSConfig() *tls.Config {
	if f.current.Load().tls == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		now := f.current.Load().tls
		if now.ClientAuth > tls.RequestClientCert && SameHost(hello.Conn.RemoteAddr(), hello.Conn.LocalAddr()) {
			// The handler decides: see there.
			lenient := now.Clone()
			lenient.ClientAuth = tls.RequestClientCert
			if now.ClientCAs != nil {
				lenient.ClientAuth = tls.VerifyClientCertIfGiven
			}
			return lenient, nil
		}
		return now, nil
	}}
}

// Files returns the path of the file and of those that it names.
func (f *Follower) Files() []string { return slices.Clone(f.current.Load().named) }

// HTTP2 reports whether the listener may speak HTTP/2.
func (f *Follower) HTTP2() bool { return f.current.Load().http2 }
