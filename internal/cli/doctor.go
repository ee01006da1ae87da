package cli

import (
	"cmp"
	"context"
	"slices"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/internal/tty"
	"wellkey/registrar/fleetapi"
)

func doctorCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	asJSON := false
	cmd := &cobra.Command{
		Use:   "doctor [DOMAIN]",
		Short: "Examine a domain from outside and say what to fix first",
		Long: `Examine the domain, whoever hosts its key, as Tesla and an owner's phone see it:
spelling, DNS, every address, TLS, HTTP, the key, the clock. Where the settings
hold credentials for the domain, ask Tesla in every region, too. Nothing is
changed anywhere, and no settings are needed.

DOMAIN defaults to the setting. Key file and credentials of the settings are
used only if they are for this domain.

Exit status: 0 all is well, 1 something must be fixed, 2 wrong usage or
settings, 3 nothing wrong was found, but something could not be decided from
here.`,
		Example: `  wellkey doctor example.com
  wellkey doctor --json example.com
  wellkey doctor --config /etc/wellkey/wellkey.yaml`,
		Args: oneDomain,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newTarget(loader.LoadLiveFor, args)
			if err != nil {
				return err
			}
			return examine(cmd.Context(), p, t, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the findings as JSON")
	loader.AddFlags(cmd.Flags())
	return cmd
}

// examine examines the target and prints what was found.
func examine(ctx context.Context, p Process, t target, asJSON bool) error {
	log := t.log(p)
	prober, err := t.prober(log)
	if err != nil {
		return err
	}
	c := doctor.Config{Domain: t.typed, Prober: prober, Local: t.local(), Regions: t.settings.Regions, Bases: t.settings.Tesla.APIURLs}
	credentials, err := t.credentials()
	c.Fault = err // a finding like others
	if t.own() {
		c.Storage = func() finding.Finding { return examineStorage(ctx, t.settings) }
		c.Passed = func() []finding.Finding { return examinePassthrough(ctx, t.settings) }
	}
	if !credentials.IsZero() {
		if c.Tesla, err = t.client(credentials, log); err != nil {
			return &usageError{err}
		}
	}
	if asJSON {
		report := doctor.Run(ctx, c)
		return cmp.Or(printJSON(p.Stdout, report), ended(exitOf(report.Outcome)))
	}
	out := tty.New(p.Stdout, p.Environ)
	c.Tell = func(g doctor.Group) {
		printGroup(out, g)
		out.Print("\n")
		out.Waiting("looking, and asking ...")
	}
	report := doctor.Run(ctx, c)
	printVerdict(out, statusOf(report.Outcome), report.Verdict)
	return cmp.Or(out.Err(), ended(exitOf(report.Outcome)))
}

func printGroup(out *tty.Printer, g doctor.Group) {
	width := 0
	for _, id := range doctor.Checks() {
		width = max(width, len(id))
	}
	out.Print(out.Bold(title(g)) + "\n")
	place := "At "
	if g.Name == doctor.NamePassthrough {
		place = "For "
	}
	for _, f := range g.Findings {
		if f.On != "" && f.On != g.On {
			f.Seen = place + f.On + ": " + f.Seen
		}
		printFinding(out, f.ID, width, f)
	}
}

func title(g doctor.Group) string {
	switch g.Name {
	case doctor.NameDomain:
		return "Domain"
	case doctor.NameDNS:
		return "DNS"
	case doctor.NameAddress:
		return "Address " + g.On
	case doctor.NameKey:
		return "Key"
	case doctor.NameClock:
		return "Clock"
	case doctor.NameStorage:
		return "Storage"
	case doctor.NamePassthrough:
		return "Connections for other servers"
	}
	if region := fleetapi.Region(g.On); slices.Contains(fleetapi.Regions(), region) {
		return "Tesla in " + g.On + " (" + region.Name() + ")"
	}
	return "Tesla"
}

func exitOf(o doctor.Outcome) int {
	switch o {
	case doctor.Well, registeredAll:
		return exitOK
	case doctor.Undecided:
		return exitUndecided
	}
	return exitRuntime
}

func statusOf(o doctor.Outcome) finding.Status {
	switch o {
	case doctor.Well, registeredAll:
		return finding.OK
	case doctor.Undecided:
		return finding.Unknown
	}
	return finding.Fail
}
