package certs

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"wellkey/internal/pause"
)

// words is where word is left, by domain: there is nothing else, so that looking
// there costs next to nothing, however many domains there are.
const words = "issuance/wanted"

func wordKey(domain string) string { return words + "/" + domain }

// AskForRenewal leaves word in the storage that a certificate for domain is to be
// ordered now, whatever the schedule and the issuance budget say: for an operator
// who knows better. A running Manager picks it up within seconds, one that starts
// later at its start. It returns what reports whether it was taken up.
func AskForRenewal(ctx context.Context, storage certmagic.Storage, domain string) (taken func(context.Context) bool, err error) {
	if err := storage.Store(ctx, wordKey(domain), []byte(time.Now().UTC().Format(time.RFC3339)+"\n")); err != nil {
		return nil, err
	}
	return func(ctx context.Context) bool { return !storage.Exists(ctx, wordKey(domain)) }, nil
}

// wordLeft takes up the word that somebody left, and reports whether there was
// any. Word that cannot be taken away does not count: it would count for ever.
func (m *subject) wordLeft(ctx context.Context) bool {
	if m.deaf.Load() || !m.cfg.Storage.Exists(ctx, wordKey(m.domain)) {
		return false
	}
	if m.onlyLooks() {
		return true // who has the lock takes it up
	}
	if err := m.cfg.Storage.Delete(ctx, wordKey(m.domain)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("a renewal was requested, but the request cannot be read", zap.Error(err),
			zap.String("fix", "Fix what the error names, restart wellkey, and request it again: wellkey renew --now."))
		m.deaf.Store(true)
		return false
	}
	m.log.Info("a renewal was requested: schedule and issuance budget are ignored this time")
	return true
}

// watch wakes domains that somebody left word for, and all when the clock jumps:
// whatever was to be waited for is to be judged anew. So it is when a shared storage
// has lost what was in it. It returns when ctx is done.
func (m *Manager) watch(ctx context.Context) {
	begin, seen := time.Now(), ""
	for pause.For(ctx, m.cfg.Poll) == nil {
		if now := time.Now(); m.jumped(begin, now) {
			begin = now
			for s := range m.all {
				s.wake()
			}
		}
		if m.cfg.Shared {
			seen = m.noticeLoss(ctx, seen)
		}
		keys, err := m.cfg.Storage.List(ctx, words, false)
		if err != nil {
			continue // mostly since there is none
		}
		for _, key := range keys {
			if s := m.get(path.Base(key)); s != nil && !s.deaf.Load() {
				s.wake()
			}
		}
	}
}
