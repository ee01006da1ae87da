package keystore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/durable"
)

// An Origin says where the key of a [Store] came from.
type Origin string

// The origins of a key.
const (
	OriginNone      Origin = "none"      // there is no key
	OriginFile      Origin = "file"      // the key file was there
	OriginGenerated Origin = "generated" // Generate made the key file in this process
	OriginRestored  Origin = "restored"  // the public half that Tesla has on record
)

// A Config says where the key of a [Store] is. Only Path is required.
type Config struct {
	Path         string      // the key file, public or private
	RestoredPath string      // where Restore keeps the public half; "" = there is no such place
	Logger       *zap.Logger // nil = none

	// Allow, if set, is asked before another key is taken from a file. Its error,
	// the end of a sentence "key file ...", refuses the key, and the last good one
	// stays. It must call no method of the Store but Key and Status.
	Allow func(Key) error

	// OnChange, if set, is told every new key after Open, however it came, one
	// after the other. It must return at once and call no method of the Store
	// but Key and Status.
	OnChange func(Key)
}

// A Status tells all about the key of a [Store] that an operator wants to know.
// It holds nothing secret.
type Status struct {
	Origin    Origin
	Path      string    // of the file the key came from, or is expected in
	Private   bool      // the key file holds the private half
	Quirks    []Quirk   // of the key file
	LoadedAt  time.Time // when the current key was read; zero if there is none
	ReadAt    time.Time // when the key file was last read anew and found good, or missing where none was expected
	LastError string    // what is wrong with the key file now, while the last good key is served; "" if nothing
	Warnings  []string  // what somebody should look at, in whole sentences
}

// A Store holds the key of one domain and follows its key file. It is safe for
// concurrent use; [Store.Key] and [Store.Status] never wait.
type Store struct {
	path, restoredPath string
	log                *zap.Logger
	allow              func(Key) error
	onChange           func(Key)
	modeless           func(dir string) bool

	current atomic.Pointer[held]

	mu   sync.Mutex        // held by whoever reads or writes the files; guards seen
	seen [sha256.Size]byte // the key file and the restored file as they were at the last look
}

// held is the key and what there is to say about it. It never changes once stored.
type held struct {
	key    Key
	status Status
}

// Open reads the key file, or else the restored file, once. Where there is
// neither, the Store has no key, which is no error; a key file that cannot be
// used is one.
func Open(config Config) (*Store, error) { return open(config, keepsNoModes) }

func open(config Config, modeless func(dir string) bool) (*Store, error) {
	if config.Path == "" || config.Path == config.RestoredPath {
		return nil, errors.New("opening keystore: the key file needs a path of its own")
	}
	s := &Store{
		path:         config.Path,
		restoredPath: config.RestoredPath,
		log:          zap.NewNop(),
		allow:        config.Allow,
		onChange:     func(Key) {}, // What Open finds is no change.
		modeless:     modeless,
	}
	if s.allow == nil {
		s.allow = func(Key) error { return nil }
	}
	s.current.Store(&held{status: Status{Origin: OriginNone, Path: s.path}})
	if err := s.Reload(); err != nil {
		return nil, err
	}
	if config.Logger != nil {
		s.log = config.Logger.Named("keystore")
	}
	if config.OnChange != nil {
		s.onChange = config.OnChange
	}
	return s, nil
}

// Key returns the key to host now; the zero Key if there is none.
func (s *Store) Key() Key { return s.current.Load().key }

// Status returns a copy of the current status.
func (s *Store) Status() Status {
	status := s.current.Load().status
	status.Quirks = slices.Clone(status.Quirks)
	status.Warnings = slices.Clone(status.Warnings)
	return status
}

// Look looks at the key file, which whoever has the Store does again and again. A
// change is told by content, so neither time stamps nor symbolic links matter. A bad
// or vanished file is logged once, and the last good key stays.
func (s *Store) Look() {
	if err := s.look(false); err != nil {
		s.log.Error("key file is bad, the last good key stays", zap.String("path", s.path), zap.Error(err),
			zap.String("fix", "Put a good key back there; it is taken over within seconds. A restart before that would leave no key to serve."))
	}
}

// Reload looks at the key file now. An error says what is wrong with the file;
// the last good key stays.
func (s *Store) Reload() error { return s.look(true) }

// look reads the key file and takes in what has changed; always also looks at an
// unchanged one.
func (s *Store) look(always bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := takeSnapshot(s.path)
	defer clear(file.data)
	digest := s.digest(file)
	if digest == s.seen && !always {
		return nil
	}
	s.seen = digest
	if errors.Is(file.err, fs.ErrNotExist) {
		return s.withoutFile()
	}
	parsed, warnings, err := file.parse(s.modeless)
	if err == nil && parsed.Key != s.Key() {
		err = s.allow(parsed.Key)
	}
	if err != nil {
		return s.keep(fmt.Errorf("key file %q %w", s.path, err))
	}
	s.adopt(parsed, warnings)
	return nil
}

// digest tells whether anything has changed since the last look. The restored
// file counts, since it is what a warning is about while there is a key file.
func (s *Store) digest(file snapshot) [sha256.Size]byte {
	digest := file.digest()
	if s.restoredPath == "" {
		return digest
	}
	restored := takeSnapshot(s.restoredPath)
	defer clear(restored.data)
	other := restored.digest()
	return sha256.Sum256(append(digest[:], other[:]...))
}

// withoutFile goes on where there is no key file.
func (s *Store) withoutFile() error {
	switch origin := s.current.Load().status.Origin; origin {
	case OriginFile, OriginGenerated:
		return s.keep(fmt.Errorf("key file %q has vanished; its key is served from memory until the next restart: put the file back", s.path))
	case OriginRestored:
		s.restored(s.Key()) // which forgets a bad key file that is gone by now
		return nil
	}
	key, err := s.readRestored()
	switch {
	case err == nil:
		s.restored(key)
	case errors.Is(err, fs.ErrNotExist):
		s.hold(Key{}, Status{Origin: OriginNone, Path: s.path})
	default:
		s.hold(Key{}, Status{Origin: OriginNone, Path: s.path, Warnings: []string{s.badRestored(err)}})
	}
	return nil
}

// keep stays with the last good key after err, which it returns.
func (s *Store) keep(err error) error {
	next := *s.current.Load()
	next.status.LastError = err.Error()
	// Whether the private half is still there, nobody knows.
	next.status.Private = false
	s.current.Store(&next)
	return err
}

// adopt takes the key of a good key file.
func (s *Store) adopt(parsed Parsed, warnings []string) {
	status := Status{
		Origin:   OriginFile,
		Path:     s.path,
		Private:  parsed.Private,
		Quirks:   parsed.Quirks,
		Warnings: warnings,
	}
	if last := s.current.Load(); last.status.Origin == OriginGenerated && last.key == parsed.Key {
		status.Origin = OriginGenerated
	}
	if warning := s.settleRestored(parsed.Key); warning != "" {
		status.Warnings = append(status.Warnings, warning)
	}
	s.hold(parsed.Key, status)
}

// hold makes key the current one, and tells whom it concerns if it is new.
func (s *Store) hold(key Key, status Status) {
	last := s.current.Load()
	status.LoadedAt, status.ReadAt = last.status.LoadedAt, time.Now()
	if key != last.key {
		status.LoadedAt = time.Now()
	}
	s.current.Store(&held{key: key, status: status})
	switch {
	case key != last.key:
		s.log.Info("key changed",
			zap.String("path", status.Path), zap.String("origin", string(status.Origin)),
			zap.String("fingerprint", key.Fingerprint()), zap.String("former_fingerprint", last.key.Fingerprint()))
		s.onChange(key)
	case last.status.LastError != "":
		s.log.Info("key file is good again", zap.String("path", s.path))
	}
	for _, warning := range status.Warnings {
		if !slices.Contains(last.status.Warnings, warning) {
			s.log.Warn("key needs attention", zap.String("warning", warning))
		}
	}
}

// settleRestored deletes a restored file that the key file has made needless. The
// warning it returns says why one stays.
func (s *Store) settleRestored(key Key) string {
	restored, err := s.readRestored()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return s.badRestored(err)
	case restored != key:
		return fmt.Sprintf("the key file %q holds another key than the registered one (fingerprint %s) that was kept in %q while there was no key file;"+
			" if vehicles are paired with that one, put its private half back, otherwise delete %s",
			s.path, restored.Fingerprint(), s.restoredPath, shellWord(s.restoredPath))
	}
	if err := durable.Remove(s.restoredPath); err != nil {
		return fmt.Sprintf("the restored key file %q is no longer needed and cannot be deleted: %v", s.restoredPath, err)
	}
	return ""
}

// readRestored returns the restored key; the error is fs.ErrNotExist if there is none.
func (s *Store) readRestored() (Key, error) {
	if s.restoredPath == "" {
		return Key{}, fs.ErrNotExist
	}
	file := takeSnapshot(s.restoredPath)
	defer clear(file.data)
	if file.err != nil {
		return Key{}, file.err
	}
	parsed, err := Parse(file.data)
	if err == nil && parsed.Private {
		err = errors.New("holds a private key where only a public one belongs; a private key goes into the key file")
	}
	return parsed.Key, err
}

func (s *Store) badRestored(err error) string {
	return fmt.Sprintf("the restored key file %q %v; it is not touched, and once it is deleted the key is taken from Tesla again", s.restoredPath, err)
}
