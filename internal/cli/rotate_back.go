package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"wellkey/internal/phrase"
	"wellkey/registrar"
)

// rollback puts the key back that the last rotation replaced, where no region has
// registered the new one: a car that paired with that would be lost.
func (r *rotation) rollback(ctx context.Context) error {
	a := r.acceptance
	switch current := r.current.Key.Fingerprint(); {
	case a.Key == "":
		return errors.New("no rotation was published here, so nothing can be rolled back")
	case current == a.Former && r.confirmed():
		return fmt.Errorf("the old key is in use still; give the staged one up with %s --abort", r.command())
	case current == a.Former:
		r.out.Printf("The old key %s is in use.\n", a.Former)
		return r.out.Err()
	case current != a.Key:
		return fmt.Errorf("the key in use, %s, is not the one that the last rotation published, %s, so there is nothing to roll back", current, a.Key)
	}
	if a.Withdrawn.IsZero() {
		if err := r.unregistered(ctx); err != nil {
			return err
		}
		// From here on the running wellkey registers the new key no more; what it
		// was about to register shows when Tesla is asked again.
		if err := r.withdraw(ctx, time.Now().UTC()); err != nil {
			return err
		}
		if err := r.unregistered(ctx); err != nil {
			if again := r.withdraw(ctx, time.Time{}); again != nil {
				return again
			}
			return err
		}
	}
	if err := r.files.PutBack(a.Former); err != nil {
		return err
	}
	if r.staged.Key.Fingerprint() == a.Key { // its publication was cut off
		if _, err := r.files.Unstage(); err != nil {
			return err
		}
	}
	r.out.Printf("Rolled back: the old key is in use again, and the new one is in the archive.\n\n")
	r.out.Printf("  in use    %s\n  archived  %s\n\n", a.Former, a.Key)
	r.out.Print(r.out.Wrap(0, "Give the command proxy the old private key again, if it has the new one. A running wellkey picks the key up within seconds.") + "\n")
	return r.out.Err()
}

// unregistered returns an error unless it is sure that no region has registered
// the published key.
func (r *rotation) unregistered(ctx context.Context) error {
	answers, err := askTesla(ctx, r.settings)
	if err != nil {
		return err
	}
	var registered, silent []string
	if answers == nil && slices.ContainsFunc(r.regions, func(a regionAnswer) bool { return a.Known }) {
		silent = []string{"there are no credentials here, but the wellkey that serves had some, and may be registering; give this command the same"}
	}
	for _, a := range answers {
		switch {
		case a.Err != nil:
			silent = append(silent, a.Err.Error())
		case a.Key.Fingerprint() == r.acceptance.Key:
			registered = append(registered, string(a.Region))
		}
	}
	if len(registered) > 0 {
		return fmt.Errorf("the new key is registered in %s already, and owners may have paired with it, so it is not taken back.\n"+
			"To use the old key anyway, rotate to it: %s --new-key %s", phrase.List(registered), r.command(), r.archivedPath(r.acceptance.Former))
	}
	if len(silent) > 0 {
		fmt.Fprintf(r.process.Stderr, "wellkey: Tesla did not say whether the new key is registered already, so it was not taken back:\n%s\n"+
			"Run the same command again once that is fixed\n", strings.Join(silent, "\n"))
		return exitCode(exitUndecided)
	}
	return nil
}

func (r *rotation) archivedPath(fingerprint string) string {
	stored, err := r.files.Archived(fingerprint)
	if err != nil {
		return "FILE"
	}
	return stored.Path
}

// withdraw notes that the acceptance is taken back; a zero time gives it again.
func (r *rotation) withdraw(ctx context.Context, at time.Time) error {
	r.acceptance.Withdrawn = at
	return registrar.StoreAcceptance(ctx, r.store, r.settings.Domain, r.acceptance)
}

// abort gives the staged key up.
func (r *rotation) abort(ctx context.Context) error {
	switch {
	case r.staged.Key.IsZero():
		r.out.Print("No key is staged, so there is nothing to give up.\n")
		if r.published() {
			r.out.Print(r.out.Wrap(0, "The last rotation is published; "+r.command()+" --rollback takes it back, where that is still possible.") + "\n")
		}
		return r.out.Err()
	case r.staged.Key == r.current.Key:
		return fmt.Errorf("the staged key is published already; finish that with %[1]s, or take it back with %[1]s --rollback", r.command())
	}
	if r.confirmed() {
		if err := r.withdraw(ctx, time.Now().UTC()); err != nil {
			return err
		}
	}
	archived, err := r.files.Unstage()
	if err != nil {
		return err
	}
	r.out.Printf("Gave the staged key up. Nothing else was changed.\n\n  in use    %s\n  given up  %s\n            %s\n",
		r.current.Key.Fingerprint(), r.staged.Key.Fingerprint(), archived)
	return r.out.Err()
}
