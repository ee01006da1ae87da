package storage

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"wellkey/internal/storage/tree"

	"go.uber.org/zap"
)

// A sealed value is the header, the name of the key that sealed it, and what
// AES-256-GCM made of it, with a random nonce before it. The name of the item
// goes into the seal, so that none can be put in the place of another.
var sealHeader = []byte("wellkey-sealed-1\n")

const keyName = 8 // bytes of the SHA-256 of a key

// ErrSealed is the error of a value that was sealed with a key that we have not
// got, or changed since.
var ErrSealed = errors.New("sealed with another key")

// Keys seal what must stay secret from whoever can read the store: the first one
// seals, and each opens what it sealed. They do not print.
type Keys struct{ all []sealingKey }

type sealingKey struct {
	name [keyName]byte
	aead cipher.AEAD
}

// ParseKeys reads keys of 32 bytes in base64, one a line. An error does not tell
// what is there.
func ParseKeys(text string) (Keys, error) {
	var k Keys
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		if err != nil {
			return Keys{}, fmt.Errorf("line %d is not base64", i+1)
		}
		if len(raw) != 32 {
			return Keys{}, fmt.Errorf("line %d has %d bytes, not 32", i+1, len(raw))
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return Keys{}, fmt.Errorf("line %d: %w", i+1, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return Keys{}, fmt.Errorf("line %d: %w", i+1, err)
		}
		sum := sha256.Sum256(raw)
		k.all = append(k.all, sealingKey{[keyName]byte(sum[:]), aead})
	}
	return k, nil
}

// String names the keys by what tells them apart.
func (k Keys) String() string {
	var names []string
	for _, key := range k.all {
		names = append(names, hex.EncodeToString(key.name[:]))
	}
	return strings.Join(names, ", ")
}

// GoString is String.
func (k Keys) GoString() string { return k.String() }

// IsZero reports whether there are none.
func (k Keys) IsZero() bool { return len(k.all) == 0 }

// public reports whether an item may be read by all who can read the store. All
// else is sealed, so that a new kind of item is sealed unless somebody says that
// it need not be.
func public(key string) bool {
	top, _, _ := strings.Cut(tree.Trim(key), "/")
	switch top {
	case "registrations", "accepted", "issuance", "probe", "rejected":
		return true
	case "certificates", "acme":
		return path.Ext(key) == ".crt" || path.Ext(key) == ".json"
	}
	return false
}

func (s *Store) seal(key string, value []byte) ([]byte, error) {
	if s.keys.IsZero() || public(key) {
		return value, nil
	}
	first := s.keys.all[0]
	sealed := append(bytes.Clone(sealHeader), first.name[:]...)
	return first.aead.Seal(sealed, nil, value, []byte(tree.Trim(key))), nil // #nosec G407 -- this cipher takes none: it makes one at random
}

// unseal opens what is sealed, and leaves alone what is not: sealing can begin
// at any time. What lies in quarantine stays as it is.
func (s *Store) unseal(key string, value []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(value, sealHeader)
	if !ok || strings.HasPrefix(tree.Trim(key), "quarantine/") {
		return value, nil
	}
	if len(rest) < keyName {
		return nil, &sealError{key, "it was cut short: restore it from a backup"}
	}
	name, body := rest[:keyName], rest[keyName:]
	for _, k := range s.keys.all {
		if !bytes.Equal(k.name[:], name) {
			continue
		}
		plain, err := k.aead.Open(nil, nil, body, []byte(tree.Trim(key)))
		if err != nil {
			return nil, &sealError{key, "it was changed since, or is of another item: restore it from a backup"}
		}
		return plain, nil
	}
	if s.keys.IsZero() {
		return nil, &sealError{key, fmt.Sprintf("no key was given, and it was sealed with %x: set storage_key_file", name)}
	}
	return nil, &sealError{key, fmt.Sprintf("it was sealed with %x, and storage_key_file has %s: add the line with that key to the file", name, s.keys)}
}

// A sealError says why a value cannot be opened. Nothing becomes of the value.
type sealError struct{ key, why string }

func (e *sealError) Error() string {
	return fmt.Sprintf("item %q is sealed, and cannot be opened: %s", e.key, e.why)
}

func (e *sealError) Unwrap() error { return ErrSealed }

// sealCheck is an item that says with which key the store is sealed, so that a
// wrong key is seen at the start.
const sealCheck = "sealed/check"

// checkSeal returns an error where the store was sealed with a key that we have
// not got. With a key and no check yet, it leaves one. A store that is down is not
// checked: its items are, one by one.
func (s *Store) checkSeal(ctx context.Context, lookOnly bool) error {
	_, err := s.Load(ctx, sealCheck)
	if errors.Is(err, ErrSealed) {
		return err
	}
	if !errors.Is(err, fs.ErrNotExist) || s.keys.IsZero() || lookOnly {
		return nil
	}
	if err := s.Store(ctx, sealCheck, []byte("wellkey")); err != nil {
		s.log.Warn("the check value of storage_key_file could not be stored", zap.Error(err),
			zap.String("fix", "Let the user of storage write there, and restart one replica; until then a replica with a wrong storage_key_file is not detected at its start."))
	}
	return nil
}
