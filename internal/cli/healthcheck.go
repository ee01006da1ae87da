package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/webconfig"
)

func healthcheckCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the wellkey that runs here whether it is alive",
		Long: `Ask the admin listener of the wellkey that runs with the same settings whether
it is alive. Exit status 0: it is, 1: it is not, 2: the settings are wrong.`,
		Example: "  wellkey healthcheck\n  wellkey healthcheck --admin-addr :9090 --domain example.com",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := settingsOf(loader.LoadLive)
			if err != nil {
				return err
			}
			return healthcheck(cmd.Context(), settings.Admin())
		},
	}
	loader.AddFlags(cmd.Flags())
	return cmd
}

// healthcheck asks once, over loopback where the listener is on all addresses.
func healthcheck(ctx context.Context, listener config.Admin) error {
	adminAddr := listener.Addr
	if adminAddr == "" {
		return &usageError{errors.New("the admin listener is switched off, so nobody can be asked; set admin_addr")}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	client, err := webconfig.NewClient(listener.WebConfig)
	if err != nil {
		return err
	}
	resp, err := client.Get(ctx, reachable(adminAddr), webconfig.HealthPath, nil)
	if err != nil {
		return fmt.Errorf("asking wellkey at %s: %w; is it running with this admin_addr?", adminAddr, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("wellkey at %s answers with status %d", adminAddr, resp.StatusCode)
	}
	return nil
}
