package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// A quarantiner is a storage that can move an item, or all below it, out of the
// way without reading it. It is a consumer contract for storage.Store.
type quarantiner interface {
	Quarantine(ctx context.Context, key, reason string) error
}

// quarantine moves an item out of the way: it is bad, and would stop us for
// ever. The storage logs it; one that has no quarantine loses the item.
func (m *subject) quarantine(ctx context.Context, key, reason string) error {
	if m.onlyLooks() {
		return nil // it may be in the writing
	}
	if q, ok := m.cfg.Storage.(quarantiner); ok {
		return q.Quarantine(ctx, key, reason)
	}
	m.log.Warn("damaged item is deleted", zap.String("key", key), zap.String("reason", reason))
	return m.cfg.Storage.Delete(ctx, key)
}

// fetch loads an item. Something that cannot be an item, such as a directory in
// its place or a file in place of a directory above it, moves to quarantine, and
// then the item does not exist.
func (m *subject) fetch(ctx context.Context, key string) ([]byte, error) {
	data, err := m.cfg.Storage.Load(ctx, key)
	if !obstructed(err) {
		return data, err
	}
	why := err.Error()
	if errors.Is(err, syscall.ENOTDIR) {
		for info, statErr := m.cfg.Storage.Stat(ctx, key); (statErr != nil || !info.IsTerminal) && path.Dir(key) != "."; {
			key = path.Dir(key)
			info, statErr = m.cfg.Storage.Stat(ctx, key)
		}
	}
	// What cannot be moved may be below a directory that cannot be entered.
	quarantined := m.quarantine(ctx, key, why)
	for ; quarantined != nil && path.Dir(key) != "."; quarantined = m.quarantine(ctx, key, why) {
		key = path.Dir(key)
	}
	if quarantined != nil {
		return nil, errors.Join(err, quarantined)
	}
	return nil, fs.ErrNotExist
}

// obstructed reports whether err means that there is something which is not an
// item and never will be.
func obstructed(err error) bool {
	for _, kind := range []error{syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, fs.ErrPermission} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// accountKeys returns where certmagic stores our account at the CA.
func (a *authority) accountKeys() (registration, private string) {
	email := a.m.cfg.Email
	if email == "" {
		email = noEmail
	}
	user := certmagic.StorageKeys.Safe(email)
	name, _, _ := strings.Cut(email, "@")
	name = certmagic.StorageKeys.Safe(name)
	folder := path.Join("acme", certmagic.StorageKeys.Safe(a.issuerKey), "users", user)
	return path.Join(folder, name+".json"), path.Join(folder, name+".key")
}

// mendAccount makes sure that the account which certmagic finds in the storage is
// one that the CA knows. The key is the account; the rest is asked for again. An
// account whose key is lost is replaced, once a day at most.
func (a *authority) mendAccount(ctx context.Context) error {
	select { // all domains have the same account
	case a.ca.account <- struct{}{}:
		defer func() { <-a.ca.account }()
	case <-ctx.Done():
		return ctx.Err()
	}
	registration, private := a.accountKeys()
	saved, err := a.m.fetch(ctx, registration)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &localError{err}
	}
	keyPEM, keyErr := a.m.fetch(ctx, private)
	if keyErr != nil && !errors.Is(keyErr, fs.ErrNotExist) {
		return &localError{keyErr}
	}
	if err != nil && keyErr != nil {
		return nil // certmagic makes the first one
	}
	key, err := decodeKey(keyPEM)
	if err != nil {
		return a.dropAccount(ctx, "the key of the account is missing or damaged")
	}
	account, err := a.accountOf(ctx, key)
	problem := acme.Problem{}
	switch errors.As(err, &problem); {
	case problem.Type == acme.ProblemTypeAccountDoesNotExist:
		return a.dropAccount(ctx, "the CA does not know the account")
	case problem.Type == acme.ProblemTypeUnauthorized, account.Status == acme.StatusDeactivated, account.Status == acme.StatusRevoked:
		return a.dropAccount(ctx, "the CA has closed the account")
	case err != nil:
		return fmt.Errorf("looking up the account: %w", err)
	}
	var known acme.Account
	if json.Unmarshal(saved, &known) == nil && known.Location == account.Location && known.Status == account.Status {
		return nil
	}
	if a.m.cfg.Email != "" {
		account.Contact = []string{"mailto:" + a.m.cfg.Email}
	}
	data, err := json.Marshal(account)
	if err != nil {
		return fmt.Errorf("encoding the account: %w", err)
	}
	if saved != nil {
		if err := a.m.quarantine(ctx, registration, "the registration of the account is damaged or not that of its key"); err != nil {
			return &localError{err}
		}
	}
	a.log.Warn("account found at the CA by its key", zap.String("account", account.Location))
	if err := a.m.cfg.Storage.Store(ctx, registration, data); err != nil {
		return &localError{err}
	}
	return nil
}

// decodeKey reads the key of an account. One with which no request can be signed (RFC
// 8555, section 6.2, and what crypto/rsa takes for too short) is none.
func decodeKey(data []byte) (crypto.Signer, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("there is no key")
	}
	key, err := certmagic.PEMDecodePrivateKey(data)
	if err != nil {
		return nil, err
	}
	switch public := key.Public().(type) {
	case *rsa.PublicKey:
		if public.Size() >= 1024/8 {
			return key, nil
		}
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P224() {
			return key, nil
		}
	}
	return nil, errors.New("it is of a kind that signs no request")
}

// accountOf asks the CA for the account of a key; it makes none.
func (a *authority) accountOf(ctx context.Context, key crypto.Signer) (acme.Account, error) {
	reader := acme.Client{
		Directory:  a.directory.URL,
		HTTPClient: a.http,
		Logger:     slog.New(zapslog.NewHandler(a.client.log.Core())), // so that the wire reads along
	}
	return reader.GetAccount(ctx, acme.Account{PrivateKey: key})
}

// dropAccount gives up an account, so that certmagic makes another.
func (a *authority) dropAccount(ctx context.Context, why string) error {
	now := a.m.cfg.Now()
	made := later(a.rec.AccountMade, time.Unix(0, a.accountMade.Load())) // for whichever domain
	if again := made.Add(day); now.Before(again) {
		return &holdError{ReasonAccount, again, why + ", and another account was made within a day", false}
	}
	registration, _ := a.accountKeys()
	if err := a.m.quarantine(ctx, path.Dir(registration), why); err != nil {
		return &localError{err}
	}
	a.rec.AccountMade, a.rec.Unlinked = now, true
	a.accountMade.Store(now.UnixNano())
	return nil
}
