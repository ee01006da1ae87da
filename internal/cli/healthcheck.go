package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/webconfig"
)

func healthcheckCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	ready := false
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the wellkey that runs here whether it is alive",
		Long: `Ask the admin listener of the wellkey that runs with the same settings whether
it is alive, or with --ready whether it can serve the key. Of the settings only
admin_addr and admin_web_config are used. Exit status 0: yes, 1: no, 2: they are
wrong.`,
		Example: "  wellkey healthcheck\n  wellkey healthcheck --ready --admin-addr :9090",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := loader.LoadAdmin()
			if err != nil {
				return &usageError{err}
			}
			if ready {
				return askAdmin(cmd.Context(), listener, "/readyz")
			}
			return healthcheck(cmd.Context(), listener)
		},
	}
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it can serve the key, not only whether it is alive")
	loader.AddFlags(cmd.Flags())
	return cmd
}

// healthcheck asks once whether wellkey is alive.
func healthcheck(ctx context.Context, listener config.Admin) error {
	return askAdmin(ctx, listener, webconfig.HealthPath)
}

// askAdmin asks for a path once, over loopback where the listener is on all
// addresses, and wants status 200.
func askAdmin(ctx context.Context, listener config.Admin, path string) error {
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
	resp, err := client.Get(ctx, reachable(adminAddr), path, nil)
	if err != nil {
		return fmt.Errorf("asking wellkey at %s: %w; is it running with this admin_addr?", adminAddr, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // the status says enough without
		return fmt.Errorf("wellkey at %s answers with status %d: %s", adminAddr, resp.StatusCode, strings.TrimSpace(string(why)))
	}
	return nil
}
