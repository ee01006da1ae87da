package certs

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"wellkey/internal/skew"
)

func wordKey(domain string) string { return "issuance/" + domain + ".renew" }

// AskForRenewal leaves word in the storage that a certificate for domain is to be
// ordered now, whatever the schedule and the issuance budget say: for an operator
// who knows better. A running Manager takes it up within seconds, one that starts
// later at its start. It returns what reports whether it was taken up.
func AskForRenewal(ctx context.Context, storage certmagic.Storage, domain string) (taken func(context.Context) bool, err error) {
	if err := storage.Store(ctx, wordKey(domain), []byte(time.Now().UTC().Format(time.RFC3339)+"\n")); err != nil {
		return nil, err
	}
	return func(ctx context.Context) bool { return !storage.Exists(ctx, wordKey(domain)) }, nil
}

// wordLeft takes up the word that somebody left, and reports whether there was
// any. Word that cannot be taken away does not count: it would count for ever.
func (m *Manager) wordLeft(ctx context.Context) bool {
	if m.deaf || !m.cfg.Storage.Exists(ctx, wordKey(m.cfg.Domain)) {
		return false
	}
	if m.onlyLooks() {
		return true // who has the lock takes it up
	}
	if err := m.cfg.Storage.Delete(ctx, wordKey(m.cfg.Domain)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("a renewal was asked for, but the word cannot be taken up", zap.Error(err))
		m.deaf = true
		return false
	}
	m.log.Info("a renewal was asked for: the schedule and the issuance budget do not count this time")
	return true
}

// pause waits for d, or until somebody leaves word, or until the clock jumps:
// whatever was to be waited for is to be judged anew. It returns the context's
// error when that is done.
func (m *Manager) pause(ctx context.Context, d time.Duration) error {
	waiting, wake := context.WithCancel(ctx)
	defer wake()
	watched := make(chan struct{})
	deaf := m.deaf
	go func() {
		defer close(watched)
		begin := time.Now()
		for wait(waiting, m.cfg.Poll) == nil {
			if skew.Jumped(begin, time.Now()) || !deaf && m.cfg.Storage.Exists(waiting, wordKey(m.cfg.Domain)) {
				wake()
			}
		}
	}()
	_ = m.cfg.Wait(waiting, d) // whatever ended it
	wake()
	<-watched
	return ctx.Err()
}
