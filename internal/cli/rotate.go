package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
)

func rotateCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	var o rotateOptions
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the key by a new one, after which owners must pair again",
		Long: `Replace the key that is hosted and registered by a new one.

Cars trust the registered key and no other: after a rotation every owner must
pair again, and the command proxy must be given the new private key. So it goes
in steps, with the settings of the wellkey that serves, which may be running:

  1. "rotate" puts a new key beside the one in use and shows both fingerprints.
  2. The new fingerprint, typed on a terminal or given by --confirm, publishes
     it: the old key goes into the archive in the data directory, and wellkey
     registers the new one over it in every region, and over no other key.
  3. "rotate --status" shows where it stands. Until a region has registered the
     new key, --rollback puts the old one back.

Every step can be repeated: what was cut off goes on. Where key_file holds a
public key only, the new key must come from a file, --new-key. Where the key
file is lost for good, this makes another.

Exit status: 0 done, 1 it failed or was refused, 2 wrong usage or settings,
3 something is still open: a confirmation, or a region.`,
		Example: `  wellkey rotate
  wellkey rotate --confirm FINGERPRINT
  wellkey rotate --new-key new-public-key.pem
  wellkey rotate --status --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return rotate(cmd.Context(), p, loader, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.newKey, "new-key", "", "stage the key in this `FILE` instead of making one")
	flags.StringVar(&o.confirm, "confirm", "", "publish the staged key, if `FINGERPRINT` is its own")
	flags.BoolVar(&o.status, "status", false, "show where the rotation stands, and change nothing")
	flags.BoolVar(&o.json, "json", false, "with --status: as JSON")
	flags.BoolVar(&o.rollback, "rollback", false, "put the old key back, unless a region has registered the new one")
	flags.BoolVar(&o.abort, "abort", false, "give the staged key up; it goes into the archive")
	loader.AddFlags(flags)
	return cmd
}

type rotateOptions struct {
	newKey, confirm               string
	status, json, rollback, abort bool
}

func (o rotateOptions) check() error {
	several := 0
	for _, on := range []bool{o.status, o.rollback, o.abort, o.newKey != "" || o.confirm != ""} {
		if on {
			several++
		}
	}
	switch {
	case several > 1:
		return &usageError{errors.New("--status, --rollback and --abort stand alone: give one of them, or --new-key and --confirm")}
	case o.json && !o.status:
		return &usageError{errors.New("--json goes with --status only")}
	}
	return nil
}

func rotate(ctx context.Context, p Process, loader *config.Loader, o rotateOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	settings, err := settingsOf(loader.Load)
	if err != nil {
		return err
	}
	if err := sameUser(settings); err != nil {
		return err
	}
	r, err := openRotation(ctx, p, settings, o.status)
	if err != nil {
		return err
	}
	defer r.close()
	switch {
	case o.status:
		return r.showStatus(o.json)
	case o.rollback:
		return r.rollback(ctx)
	case o.abort:
		return r.abort(ctx)
	}
	return r.forward(ctx, o)
}
