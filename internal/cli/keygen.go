package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/tty"
	"wellkey/keystore"
	"wellkey/registrar"
)

func keygenCommand(p Process) *cobra.Command {
	k := keygen{process: p, loader: config.New(p.Environ)}
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a P-256 key where there is none",
		Long: `Make a P-256 key, exactly as "wellkey serve" does at its first start: private,
readable by its owner only, and never over an existing file.

Without --out it becomes the key that is hosted (key_file). Cars trust the key
that is registered with Tesla, so where there are credentials Tesla is asked
first, and no key is made where a region has one already.

Exit status: 0 made, 1 there is a key already, or it failed, 2 wrong usage or
settings, 3 Tesla did not answer.`,
		Example: `  wellkey keygen --domain example.com
  wellkey keygen --out new-key.pem
  wellkey keygen --out private-key.pem --public > public-key.pem`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return k.run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&k.out, "out", "", "write the key to this `FILE` instead of key_file; no settings are needed then")
	cmd.Flags().BoolVar(&k.public, "public", false, "print the public key in PEM on standard output, and the rest on standard error")
	cmd.Flags().BoolVar(&k.evenIfRegistered, "even-if-registered", false, "make the key though Tesla has one for this domain, or does not answer")
	k.loader.AddFlags(cmd.Flags())
	return cmd
}

// keygen is one run of the command.
type keygen struct {
	process          Process
	loader           *config.Loader
	out              string
	public           bool
	evenIfRegistered bool
}

func (k *keygen) run(ctx context.Context) error {
	c := keystore.Config{Path: k.out}
	settings, err := k.loader.Load()
	switch {
	case err != nil && k.out == "":
		return &usageError{fmt.Errorf("the settings are wrong, so no key was made (--out FILE needs none):\n%w", err)}
	case err == nil && (k.out == "" || samePath(k.out, settings.KeyFile)):
		c.Path, c.RestoredPath = settings.KeyFile, filepath.Join(settings.Dir, "restored-key.pem")
		if err := sameUser(settings); err != nil {
			return err
		}
	}
	store, err := keystore.Open(c)
	if err != nil {
		return fmt.Errorf("%w\nNothing was changed: what is there may be a key that cars trust", err)
	}
	if key := store.Key(); !key.IsZero() {
		rotate := "wellkey rotate"
		if settings != nil {
			rotate = commandFor("rotate", settings)
		}
		return fmt.Errorf("there is a key already, and nothing was changed:\n"+
			"  fingerprint  %s\n  file         %s\n"+
			"Cars may trust it. To replace the key that is hosted: %s. For a key in another place: --out FILE",
			key.Fingerprint(), store.Status().Path, rotate)
	}
	if c.RestoredPath != "" && !k.evenIfRegistered {
		if err := k.mayMake(ctx, settings); err != nil {
			return err
		}
	}
	key, err := store.Generate()
	if err != nil {
		return err
	}
	return k.tell(key, store.Status())
}

// mayMake asks Tesla whether a new key is what the domain needs.
func (k *keygen) mayMake(ctx context.Context, settings *config.Settings) error {
	answers, err := askTesla(ctx, settings)
	if err != nil {
		return err
	}
	asked := answers != nil
	if !asked {
		answers = remembered(ctx, settings)
	}
	var registered, silent []string
	for _, a := range answers {
		switch {
		case a.Err != nil:
			silent = append(silent, a.Err.Error())
		case !a.Key.IsZero():
			registered = append(registered, fmt.Sprintf("  %s  %s", a.Region, a.Key.Fingerprint()))
		}
	}
	if len(registered) > 0 {
		return fmt.Errorf("there is a key for %s on record at Tesla already, so no other was made:\n%s\n"+
			"Cars trust that one only. Put it back to %s; until then wellkey serve hosts its public half."+
			" If it is lost: run wellkey serve, then %s, and every owner must pair again",
			settings.Domain, strings.Join(registered, "\n"), settings.KeyFile, commandFor("rotate", settings))
	}
	if !asked {
		out := tty.New(k.process.Stderr, k.process.Environ)
		out.Print(out.Wrap(0, fmt.Sprintf("warning: there are no credentials, so Tesla was not asked whether it has a key for %s already."+
			" If it has, cars trust that one, and wellkey will report a mismatch instead of replacing it.", settings.Domain)) + "\n")
	}
	if len(silent) > 0 {
		fmt.Fprintf(k.process.Stderr, "wellkey: Tesla did not say whether it has a key for %s, so none was made:\n%s\n"+
			"Try again later; --even-if-registered makes one anyway\n", settings.Domain, strings.Join(silent, "\n"))
		return exitCode(exitUndecided)
	}
	return nil
}

func (k *keygen) tell(key keystore.Key, status keystore.Status) error {
	var to io.Writer = k.process.Stdout
	if k.public {
		if _, err := k.process.Stdout.Write(key.PEM()); err != nil {
			return fmt.Errorf("printing the public key: %w", err)
		}
		to = k.process.Stderr
	}
	out := tty.New(to, k.process.Environ)
	out.Print("Made a new P-256 key.\n\n")
	out.Printf("  fingerprint  %s\n", out.Bold(key.Fingerprint()))
	out.Printf("  key file     %s (private, mode 0600)\n\n", status.Path)
	out.Print(out.Wrap(0, "Keep a copy in a safe place: once cars are paired they trust this key only, and nobody can make it again.") + "\n")
	for _, w := range status.Warnings {
		out.Print(out.Wrap(0, "warning: "+w) + "\n")
	}
	return out.Err()
}

// remembered returns what Tesla last said to the wellkey that serves here. What
// cannot be read is as good as nothing.
func remembered(ctx context.Context, settings *config.Settings) []answer {
	store, done, err := lookIntoStorage(settings)
	if err != nil {
		return nil
	}
	defer done()
	var answers []answer
	for _, region := range settings.Regions {
		if last, err := registrar.LastAnswer(ctx, store, settings.Domain, region, ""); err == nil && last != nil {
			answers = append(answers, answer{Region: region, Key: last.Registered()})
		}
	}
	return answers
}

// samePath reports whether two paths name one place, also through links to its
// directory.
func samePath(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	if errors.Join(errA, errB) != nil || filepath.Base(absA) != filepath.Base(absB) {
		return false
	}
	dirA, errA := filepath.EvalSymlinks(filepath.Dir(absA))
	dirB, errB := filepath.EvalSymlinks(filepath.Dir(absB))
	return absA == absB || errors.Join(errA, errB) == nil && dirA == dirB
}
