package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wellkey/internal/config"
	"wellkey/internal/tty"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// A rotation is what is known of one at the start of a command, from the disk
// alone: the key files, the acceptance, and what Tesla last said.
type rotation struct {
	process    Process
	settings   *config.Settings
	store      registrar.Storage
	close      func() // the store
	files      *keystore.Rotation
	current    keystore.Stored
	staged     keystore.Stored
	acceptance registrar.Acceptance
	regions    []regionAnswer
	out        *tty.Printer
}

// A regionAnswer is what Tesla last said about one region.
type regionAnswer struct {
	Region     fleetapi.Region
	Known      bool         // it said something
	Key        keystore.Key // zero: no key is registered
	AnsweredAt time.Time
}

// openRotation reads it. Only to look at it, nothing is made or tried out.
func openRotation(ctx context.Context, p Process, s *config.Settings, onlyLook bool) (_ *rotation, err error) {
	r := &rotation{process: p, settings: s, out: tty.New(p.Stdout, p.Environ)}
	if onlyLook {
		r.store, r.close, err = lookIntoStorage(s)
	} else {
		r.store, r.close, err = useStorage(s)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.files, err = keystore.NewRotation(keystore.RotationConfig{
		Path:         s.KeyFile,
		RestoredPath: filepath.Join(s.Dir, "restored-key.pem"),
		StagedPath:   filepath.Join(s.Dir, "staged-key.pem"),
		ArchiveDir:   filepath.Join(s.Dir, "archive"),
	}); err != nil {
		return nil, err
	}
	if r.current, err = r.files.Current(); err != nil {
		return nil, err
	}
	if r.staged, err = r.files.Staged(); err != nil {
		return nil, fmt.Errorf("%w\nNothing was changed. If it is of no use, move it away, and start again", err)
	}
	if r.acceptance, err = registrar.LoadAcceptance(ctx, r.store, s.Domain); err != nil {
		return nil, err
	}
	id, _, err := config.LoadCredentials(s)
	if err != nil {
		return nil, &usageError{err}
	}
	for _, region := range s.Regions {
		a := regionAnswer{Region: region}
		last, err := registrar.LastAnswer(ctx, r.store, s.Domain, region, id)
		if err == nil && last != nil { // A damaged record is as good as none: it is rebuilt.
			a.Known, a.Key, a.AnsweredAt = true, last.Registered(), last.At
		}
		r.regions = append(r.regions, a)
	}
	return r, nil
}

// command is what to type to go on with the rotation.
func (r *rotation) command() string { return commandFor("rotate", r.settings) }

// commandFor is what to type for the domain of the settings: of several, it must
// be named.
func commandFor(name string, s *config.Settings) string {
	if s.Several() {
		return "wellkey " + name + " --domain " + s.Domain
	}
	return "wellkey " + name
}

// confirmed reports whether the staged key was confirmed already.
func (r *rotation) confirmed() bool {
	return !r.staged.Key.IsZero() && r.acceptance.Withdrawn.IsZero() && r.acceptance.Key == r.staged.Key.Fingerprint()
}

// published reports whether the key in use is the one that a rotation published
// and did not take back.
func (r *rotation) published() bool {
	return !r.current.Key.IsZero() && r.acceptance.Withdrawn.IsZero() && r.acceptance.Key == r.current.Key.Fingerprint()
}

// forward takes the rotation as far as it may go: stage, ask for the
// confirmation, publish.
func (r *rotation) forward(ctx context.Context, o rotateOptions) error {
	confirm := ""
	if o.confirm != "" {
		var err error
		if confirm, err = keystore.NormalizeFingerprint(o.confirm); err != nil {
			return &usageError{fmt.Errorf("--confirm: %w; nothing was changed", err)}
		}
	}
	if confirm != "" && r.staged.Key.IsZero() && r.published() && confirm == r.current.Key.Fingerprint() {
		return r.showStatus(false) // an earlier run did it
	}
	// What was cut off after the confirmation needs no other; a key that was
	// confirmed once and is staged again does.
	goesOn := r.confirmed() && r.acceptance.Former == r.current.Key.Fingerprint()
	if err := r.stage(o.newKey, confirm); err != nil {
		return err
	}
	if r.staged.Key != r.current.Key && !goesOn {
		r.explain()
		if err := r.ask(confirm); err != nil {
			return err
		}
	}
	if err := r.files.Publish(func(former keystore.Key) error {
		if goesOn {
			return nil
		}
		return r.accept(ctx, former)
	}); err != nil {
		return err
	}
	return r.tellPublished(ctx)
}

// stage sees to it that there is a staged key.
func (r *rotation) stage(newKey, confirm string) error {
	var err error
	switch {
	case r.current.Key.IsZero():
		return fmt.Errorf("there is no key at %s that could be rotated; wellkey serve or %s makes the first one", r.settings.KeyFile, commandFor("keygen", r.settings))
	case !r.staged.Key.IsZero() && newKey == "":
		return nil
	case newKey == "" && confirm != "":
		return &usageError{fmt.Errorf("--confirm: no key is staged that could be confirmed; run %s first, and it shows the fingerprint", r.command())}
	case newKey == "" && !r.current.Private && !r.lost():
		return fmt.Errorf("%s holds a public key only, so the private half is for another place to keep, and wellkey does not make one here.\n"+
			"Make the new key there, or with wellkey keygen --out FILE, and give it (its public half is enough) with --new-key FILE", r.current.Path)
	case newKey == "":
		_, err = r.files.Stage()
	case r.staged.Key.IsZero():
		_, err = r.files.StageFile(newKey)
	default:
		err = r.sameStaged(newKey)
	}
	if err == nil {
		r.staged, err = r.files.Staged()
	}
	return err
}

// lost reports whether the key file is gone, and the key in use is what Tesla gave
// back of it. Whether somebody keeps its private half elsewhere is not known.
func (r *rotation) lost() bool { return r.current.Path != r.settings.KeyFile }

// sameStaged returns an error unless the file holds the key that is staged, as
// it does where a command is repeated.
func (r *rotation) sameStaged(path string) error {
	given, err := keystore.NewRotation(keystore.RotationConfig{Path: path, StagedPath: path + ".none", ArchiveDir: path + ".none"})
	if err != nil {
		return err
	}
	stored, err := given.Current()
	if err == nil && stored.Key != r.staged.Key {
		err = fmt.Errorf("another key is staged already: %s in %s; publish it with --confirm, or give it up with --abort",
			r.staged.Key.Fingerprint(), r.staged.Path)
	}
	return err
}

// typedEnough is how many characters of the fingerprint must be typed at least:
// as many as cannot be guessed or typed by habit.
const typedEnough = 12

// ask wants the new fingerprint: given already, or typed now.
func (r *rotation) ask(confirm string) error {
	fingerprint := r.staged.Key.Fingerprint()
	switch {
	case confirm == fingerprint:
		return nil
	case confirm != "":
		return &usageError{fmt.Errorf("--confirm names another key than the staged one, %s; nothing was published", fingerprint)}
	case !isTerminal(r.process.Stdin) || !isTerminal(r.process.Stdout):
		r.out.Printf("\nNothing is published yet. To publish the new key:\n  %[1]s --confirm %[2]s\nTo give it up:\n  %[1]s --abort\n", r.command(), fingerprint)
		return errors.Join(exitCode(exitUndecided), r.out.Err())
	}
	r.out.Printf("\nTo publish it, type its fingerprint, or at least the first %d characters.\n> ", typedEnough)
	line, err := bufio.NewReader(r.process.Stdin).ReadString('\n')
	typed := strings.NewReplacer(":", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(line)))
	if err == nil && len(typed) >= typedEnough && strings.HasPrefix(fingerprint, typed) {
		return r.out.Err()
	}
	r.out.Print("\n" + r.out.Wrap(0, "That is not the fingerprint of the new key. Nothing was published; the new key stays staged, and the old one in use.") + "\n")
	return errors.Join(exitCode(exitUndecided), r.out.Err())
}

// accept records that the staged key may replace the former one, and what Tesla
// has on record instead of it, as the operator was shown.
func (r *rotation) accept(ctx context.Context, former keystore.Key) error {
	a := registrar.Acceptance{
		Key:    r.staged.Key.Fingerprint(),
		Over:   []string{former.Fingerprint()},
		Former: former.Fingerprint(),
		At:     time.Now().UTC(),
	}
	for _, region := range r.regions {
		if over := region.Key.Fingerprint(); over != "" && over != a.Key && !slices.Contains(a.Over, over) {
			a.Over = append(a.Over, over)
		}
	}
	r.acceptance = a
	return registrar.StoreAcceptance(ctx, r.store, r.settings.Domain, a)
}
