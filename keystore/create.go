package keystore

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"wellkey/internal/durable"
)

// Generate makes a new key and its key file, and returns it once both are on the
// disk. It wants nothing to be there: while the Store has a key, or anything has
// the name of the key file or of the restored file, readable or not, it touches
// nothing and returns an error that is fs.ErrExist. Of several callers, in any
// number of processes, exactly one succeeds.
func (s *Store) Generate() (Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Key().IsZero() {
		return Key{}, fmt.Errorf("generating key: there is a key already, with fingerprint %s: %w", s.Key().Fingerprint(), fs.ErrExist)
	}
	for _, path := range []string{s.path, s.restoredPath} {
		if err := absent(path); err != nil {
			return Key{}, fmt.Errorf("generating key: %w", err)
		}
	}
	if err := durable.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return Key{}, fmt.Errorf("generating key: %w", err)
	}
	if err := writeNewKey(s.path); err != nil {
		return Key{}, fmt.Errorf("generating key: %w", err)
	}

	// What counts is what can be read back.
	file := takeSnapshot(s.path)
	defer clear(file.data)
	parsed, warnings, err := file.parse(s.modeless)
	if err != nil {
		return Key{}, s.keep(fmt.Errorf("reading back the new key: file %q %w", s.path, err))
	}
	s.seen = s.digest(file)
	s.hold(parsed.Key, Status{
		Origin: OriginGenerated, Path: s.path, Private: true, Quirks: parsed.Quirks, Warnings: warnings,
	})
	return parsed.Key, nil
}

// writeNewKey writes a new private key as Tesla's instructions have openssl write
// it: SEC 1, without an EC PARAMETERS block.
func writeNewKey(path string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return err
	}
	defer clear(der)
	text := pem.EncodeToMemory(&pem.Block{Type: labelSEC1, Bytes: der})
	defer clear(text)
	return durable.CreateFile(path, text, 0o600)
}

// Restore adopts the public half of a lost key, as Tesla has it on record, and
// keeps it in the restored file, so that pairing goes on while the operator looks
// for the private half. It is for where there is no key: if anything has the name
// of the key file, or the Store has another key, or the restored file holds
// anything else, it touches nothing and returns an error that is fs.ErrExist.
func (s *Store) Restore(key Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.Key()
	switch {
	case key.IsZero():
		return errors.New("restoring key: there is none")
	case s.restoredPath == "":
		return errors.New("restoring key: there is no place to keep it")
	case !last.IsZero() && last != key:
		return fmt.Errorf("restoring key %s: another one is in use, with fingerprint %s: %w", key.Fingerprint(), last.Fingerprint(), fs.ErrExist)
	}
	if err := absent(s.path); err != nil {
		return fmt.Errorf("restoring key: %w", err)
	}
	there, err := s.readRestored()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := s.writeRestored(key); err != nil {
			return fmt.Errorf("restoring key: %w", err)
		}
	case err != nil:
		// It might be a private key that was put into the wrong place.
		return fmt.Errorf("restoring key: %s: %w", s.badRestored(err), fs.ErrExist)
	case there != key:
		return fmt.Errorf("restoring key %s: %q holds another one, with fingerprint %s: %w",
			key.Fingerprint(), s.restoredPath, there.Fingerprint(), fs.ErrExist)
	}
	s.restored(key)
	return nil
}

func (s *Store) writeRestored(key Key) error {
	if err := durable.MkdirAll(filepath.Dir(s.restoredPath), 0o700); err != nil {
		return err
	}
	return durable.CreateFile(s.restoredPath, key.PEM(), 0o644)
}

// restored makes key the current one, without a private half.
func (s *Store) restored(key Key) {
	s.hold(key, Status{
		Origin: OriginRestored,
		Path:   s.restoredPath,
		Warnings: []string{fmt.Sprintf("the key file %q is gone, and only the public half of the registered key is served;"+
			" put the private key back there, or rotate to a new key and have every owner pair again", s.path)},
	})
}

// absent returns nil if nothing has the name path. "" is no name.
func absent(path string) error {
	if path == "" {
		return nil
	}
	_, err := os.Lstat(path) // Not Stat: a symbolic link to nowhere is something.
	switch {
	case err == nil:
		return fmt.Errorf("%q is there already and is not touched: %w", path, fs.ErrExist)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("looking whether %q exists: %w", path, err)
}
