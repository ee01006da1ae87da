package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/tty"
	"wellkey/server/certs"
)

const (
	// takeUp is how long to wait for a wellkey that serves to take up what it was
	// asked for. It looks every two seconds, but not while it asks the authority.
	takeUp = 10 * time.Second

	takeUpPoll = 200 * time.Millisecond
)

func renewCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	now := false
	cmd := &cobra.Command{
		Use:   "renew --now",
		Short: "Order a certificate now, whatever the schedule says",
		Long: `Order a certificate now, whatever the schedule and the issuance budget say.

wellkey renews certificates by itself, and waits after failures so that the
certificate authority does not shut the domain out. Once you have fixed what was
wrong, or if you know why the budget of 2 certificates in 24 hours and 3 in
7 days was used up, this does not wait. Let's Encrypt gives 5 certificates in 7
days for the same name, and no way to get more.

Run it with the running server's settings; the server picks the request up
within seconds. "wellkey status" shows the result.

Exit status: 0 picked up, 1 it failed, 2 wrong usage or settings, 3 stored for a
server that is not running, or is busy.`,
		Example: `  wellkey renew --now
  wellkey renew --now --data-dir /data --domain example.com`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !now {
				return &usageError{errors.New("wellkey renews certificates by itself, when it is time; to order one at once, give --now")}
			}
			settings, err := settingsOf(loader.LoadLive)
			if err != nil {
				return err
			}
			return renew(cmd.Context(), p, settings)
		},
	}
	cmd.Flags().BoolVar(&now, "now", false, "do not wait for the schedule or the issuance budget")
	loader.AddFlags(cmd.Flags())
	return cmd
}

func renew(ctx context.Context, p Process, s *config.Settings) error {
	if s.TLS.Mode != config.TLSACME {
		return &usageError{fmt.Errorf("tls is %s, so wellkey orders no certificates: renew it where it comes from", s.TLS.Mode)}
	}
	if err := sameUser(s); err != nil {
		return err
	}
	store, err := openStorage(s, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // what was written is written
	taken, err := certs.AskForRenewal(ctx, store, s.Domain)
	if err != nil {
		return fmt.Errorf("leaving word in the storage: %w", err)
	}
	out := tty.New(p.Stdout, p.Environ)
	deadline, cancel := context.WithTimeout(ctx, takeUp)
	defer cancel()
	tick := time.NewTicker(takeUpPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if taken(ctx) {
				out.Print("The wellkey that serves " + s.Domain + " orders a certificate now; \"wellkey status\" shows what comes of it.\n")
				return nil
			}
		case <-deadline.Done():
			out.Print(out.Wrap(0, "Nothing has picked it up yet. Either no wellkey serves "+s.Domain+" from "+s.DataDir+", or it is busy with the certificate authority. "+
				"The request stays stored, and counts once, also at the next start.") + "\n")
			return exitCode(exitUndecided)
		}
	}
}
