package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"wellkey/internal/durable"
)

// A RotationConfig says where the files of a rotation are. All but RestoredPath
// and Now are required.
type RotationConfig struct {
	Path         string           // the key file
	RestoredPath string           // as in Config
	StagedPath   string           // where the new key waits
	ArchiveDir   string           // where the keys go that are replaced or given up
	Now          func() time.Time // for the names in the archive; nil = time.Now
}

// A Rotation replaces the key file by a new key, in steps that a crash may part:
// each is durable before the next begins, every one can be done again, and a key
// leaves its place only when a copy of it is in the archive and was read back. It
// keeps nothing in memory, so the files alone say how far a rotation is, and
// another process may go on with it.
type Rotation struct {
	config   RotationConfig
	modeless func(dir string) bool
	reached  func(step string) error // called before each step; an error ends it there, as a crash would
}

// NewRotation returns a Rotation. It touches nothing.
func NewRotation(config RotationConfig) (*Rotation, error) {
	if config.Path == "" || config.StagedPath == "" || config.ArchiveDir == "" || config.StagedPath == config.Path {
		return nil, errors.New("preparing a rotation: the key file, the staged key and the archive need paths of their own")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Rotation{config: config, modeless: keepsNoModes, reached: func(string) error { return nil }}, nil
}

// Stored is a key in a file.
type Stored struct {
	Key     Key
	Private bool   // the private half is in the file
	Path    string // of the file
}

// Current returns the key that a Store of the same files would hold, and the
// zero Stored if there is none. Where it is the restored one, its Path says so.
func (r *Rotation) Current() (Stored, error) {
	stored, _, err := r.current()
	return stored, err
}

// current also returns the file, whose data the caller wipes.
func (r *Rotation) current() (Stored, snapshot, error) {
	stored, file, err := r.load(r.config.Path)
	if errors.Is(err, fs.ErrNotExist) && r.config.RestoredPath != "" {
		stored, file, err = r.load(r.config.RestoredPath)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Stored{}, file, nil
	}
	return stored, file, err
}

// Staged returns the key that waits to be published; the zero Stored if none does.
func (r *Rotation) Staged() (Stored, error) {
	stored, file, err := r.load(r.config.StagedPath)
	clear(file.data)
	if errors.Is(err, fs.ErrNotExist) {
		return Stored{}, nil
	}
	return stored, err
}

// load reads one key file. The error is fs.ErrNotExist if there is none.
func (r *Rotation) load(path string) (Stored, snapshot, error) {
	file := takeSnapshot(path)
	parsed, _, err := file.parse(r.modeless)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Stored{}, file, err
	case err != nil:
		clear(file.data)
		return Stored{}, file, fmt.Errorf("key file %q %w", path, err)
	}
	return Stored{Key: parsed.Key, Private: parsed.Private, Path: path}, file, nil
}

// Stage makes a new key and puts it, private half and all, where it waits. If
// something waits there already it touches nothing and returns an error that is
// fs.ErrExist.
func (r *Rotation) Stage() (Key, error) {
	if err := durable.MkdirAll(filepath.Dir(r.config.StagedPath), 0o700); err != nil {
		return Key{}, fmt.Errorf("staging a new key: %w", err)
	}
	if err := writeNewKey(r.config.StagedPath); err != nil {
		return Key{}, fmt.Errorf("staging a new key: %w", err)
	}
	staged, err := r.Staged() // What counts is what can be read back.
	return staged.Key, err
}

// StageFile is Stage with the key in the file at path, which stays as it is. If
// the key file holds a public key, so that the private half belongs elsewhere,
// only the public half of the new one is taken over.
func (r *Rotation) StageFile(path string) (Key, error) {
	given, file, err := r.load(path)
	defer clear(file.data)
	if err != nil {
		return Key{}, fmt.Errorf("staging a key: %w", err)
	}
	current, now, err := r.current()
	clear(now.data)
	switch {
	case err != nil:
		return Key{}, fmt.Errorf("staging a key: %w", err)
	case given.Key == current.Key:
		return Key{}, fmt.Errorf("staging a key: %q holds the key that is in use already", path)
	}
	data := file.data
	if current.Path == r.config.Path && !current.Private {
		data = given.Key.PEM()
	}
	if err := durable.MkdirAll(filepath.Dir(r.config.StagedPath), 0o700); err != nil {
		return Key{}, fmt.Errorf("staging a key: %w", err)
	}
	if err := durable.CreateFile(r.config.StagedPath, data, 0o600); err != nil {
		return Key{}, fmt.Errorf("staging a key: %w", err)
	}
	return given.Key, nil
}

// Unstage gives the staged key up: it goes into the archive, under the name that
// is returned; "" if no key was staged.
func (r *Rotation) Unstage() (archived string, err error) {
	staged, file, err := r.load(r.config.StagedPath)
	defer clear(file.data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("giving up the staged key: %w", err)
	}
	if archived, err = r.archive(staged, file.data); err != nil {
		return "", fmt.Errorf("giving up the staged key: %w", err)
	}
	return archived, r.remove("unstage", r.config.StagedPath)
}

// Publish puts the staged key in the place of the current one. Before that, the
// current one is archived, and record notes, durably, that former gives way; if
// record fails nothing is published. Where an earlier Publish was cut off, it
// does what is left.
func (r *Rotation) Publish(record func(former Key) error) error {
	staged, data, err := r.load(r.config.StagedPath)
	defer clear(data.data)
	if err != nil {
		return fmt.Errorf("publishing the staged key: %w", err)
	}
	current, file, err := r.current()
	defer clear(file.data)
	switch {
	case err != nil:
		return fmt.Errorf("publishing the staged key: %w", err)
	case current.Key.IsZero():
		return errors.New("publishing the staged key: there is no key that it could replace")
	case current.Key != staged.Key:
		err = r.replace(current, file, staged, data.data, func() error { return record(current.Key) })
	case current.Path != r.config.Path:
		// Tesla gave the public half back, and what waits here is the lost key.
		err = r.replace(current, file, staged, data.data, func() error { return nil })
	}
	if err != nil {
		return fmt.Errorf("publishing the staged key: %w", err)
	}
	// The key file wins over the restored one from now on.
	if r.config.RestoredPath != "" {
		if err := r.retire("drop restored", r.config.RestoredPath); err != nil {
			return err
		}
	}
	return r.retire("drop staged", r.config.StagedPath)
}

// retire deletes the key at path, which the key file has taken the place of. If
// the key file holds another key, or the public half of this one only, it goes
// into the archive first. What cannot be read as a key stays: nobody knows what
// it is.
func (r *Rotation) retire(step, path string) error {
	stored, file, err := r.load(path)
	defer clear(file.data)
	if err != nil {
		return nil
	}
	hosted, now, err := r.load(r.config.Path)
	clear(now.data)
	if err != nil || hosted.Key != stored.Key || stored.Private && !hosted.Private {
		if _, err := r.archive(stored, file.data); err != nil {
			return err
		}
	}
	return r.remove(step, path)
}

// PutBack undoes a Publish: the key with the fingerprint former comes back from
// the archive into the key file, and what is there now is archived.
func (r *Rotation) PutBack(former string) error {
	current, file, err := r.current()
	defer clear(file.data)
	if err != nil {
		return fmt.Errorf("putting a key back: %w", err)
	}
	if current.Key.Fingerprint() == former {
		return nil
	}
	old, data, err := r.archived(former)
	defer clear(data.data)
	if err != nil {
		return fmt.Errorf("putting a key back: %w", err)
	}
	if err := r.replace(current, file, old, data.data, func() error { return nil }); err != nil {
		return fmt.Errorf("putting a key back: %w", err)
	}
	return nil
}

// replace archives the current key, has record note it, and writes the next one
// into the key file, unless that has changed since it was read.
func (r *Rotation) replace(current Stored, file snapshot, next Stored, data []byte, record func() error) error {
	if _, err := r.archive(current, file.data); err != nil {
		return err
	}
	if err := r.reached("record"); err != nil {
		return err
	}
	if err := record(); err != nil {
		return err
	}
	if err := r.reached("publish"); err != nil {
		return err
	}
	_, now, err := r.current()
	defer clear(now.data)
	if err != nil || now.path != file.path || !bytes.Equal(now.data, file.data) {
		return errors.Join(fmt.Errorf("key file %q changed meanwhile; look at it, and start again", r.config.Path), err)
	}
	mode := fs.FileMode(0o644)
	if next.Private {
		mode = 0o600
	}
	if current.Path != r.config.Path {
		err = durable.MkdirAll(filepath.Dir(r.config.Path), 0o700)
		if err == nil {
			err = durable.CreateFile(r.config.Path, data, mode)
		}
	} else {
		err = durable.WriteFile(resolve(r.config.Path), data, mode)
	}
	return r.explain(err)
}

// explain says what to do about a key file that cannot be replaced from here.
func (r *Rotation) explain(err error) error {
	if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; if the file is a mount by itself or read-only, such as a Secret, put the key of %q there in the way it is mounted:"+
			" its fingerprint is confirmed, so wellkey takes it up. Then run the same command again", err, r.config.StagedPath)
	}
	return err
}

// remove is one step: it deletes a file whose key is elsewhere by now.
func (r *Rotation) remove(step, path string) error {
	if err := r.reached(step); err != nil {
		return err
	}
	return durable.Remove(path)
}
