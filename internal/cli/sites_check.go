package cli

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/internal/tty"
)

func sitesCheckCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	asJSON := false
	cmd := &cobra.Command{
		Use:   "check [DOMAIN...]",
		Short: "Say what is wrong with the files of sites",
		Long: `Read the settings, the key and the credentials of the sites that are named, or
of all, and say what is wrong with each: what cannot be read, what is not set
or set wrongly, and which key or application two sites have. Nobody is asked
over the network, for which there is "wellkey doctor DOMAIN", and nothing is
changed.

Exit status: 0 all is well, 1 something must be fixed, 2 wrong usage or
settings, 3 nothing is wrong, but a key or credentials are still to come.`,
		Example: "  wellkey sites check\n  wellkey sites check example.com --json",
		Args:    cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			settings, err := settingsOf(func() (*config.Settings, error) { return loader.LoadAll(false) })
			if err != nil {
				return err
			}
			return checkSites(p, settings, args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what was found as JSON")
	loader.AddProcessFlags(cmd.Flags())
	return cmd
}

func checkSites(p Process, settings *config.Settings, domains []string, asJSON bool) error {
	found := map[string]bool{}
	checked := []siteView{}
	bad, open := 0, 0
	for v := range readSites(settings) { // all, since one may have what another has
		if len(domains) > 0 && !slices.Contains(domains, v.Domain) {
			continue
		}
		found[v.Domain] = true
		checked = append(checked, v)
		switch {
		case len(v.Faults) > 0:
			bad++
		case len(v.Open) > 0:
			open++
		}
	}
	var unknown []string
	for _, domain := range domains {
		if !found[domain] {
			unknown = append(unknown, domain)
		}
	}
	if len(unknown) > 0 {
		return &usageError{fmt.Errorf("%s: none of the sites; \"wellkey sites list\" shows them", phrase.List(unknown))}
	}
	code, mark, verdict := exitOK, finding.OK, "All is well with "+countOf(len(checked))+"."
	switch {
	case bad > 0:
		code, mark, verdict = exitRuntime, finding.Fail, fmt.Sprintf("Of %s, %d must be fixed.", countOf(len(checked)), bad)
	case open > 0:
		code, mark, verdict = exitUndecided, finding.Unknown, fmt.Sprintf("Nothing is wrong; of %s, %d wait for something.", countOf(len(checked)), open)
	}
	if asJSON {
		return cmp.Or(printJSON(p.Stdout, struct {
			Sites []siteView `json:"sites"`
		}{checked}), ended(code))
	}
	out := tty.New(p.Stdout, p.Environ)
	width := 0
	for _, v := range checked {
		width = max(width, len(printable(v.Domain)))
	}
	for _, v := range checked {
		for _, f := range findingsOf(v) {
			printFinding(out, printable(v.Domain), width, f)
		}
	}
	out.Print("\n")
	printVerdict(out, mark, verdict)
	return cmp.Or(out.Err(), ended(code))
}

// findingsOf returns what was found of a site, the worst first.
func findingsOf(v siteView) []finding.Finding {
	var all []finding.Finding
	add := func(status finding.Status, texts []string) {
		for _, text := range texts {
			all = append(all, finding.Finding{Status: status, Seen: phrase.Sentence(text)})
		}
	}
	add(finding.Fail, v.Faults)
	add(finding.Warn, v.Warnings)
	add(finding.Unknown, v.Open)
	if len(v.Faults)+len(v.Open) == 0 {
		add(finding.OK, []string{"key " + short(v.Key) + ", client id " + v.ClientID + ", regions " + regionsOf(v)})
	}
	return all
}

func countOf(n int) string {
	if n == 1 {
		return "1 site"
	}
	return fmt.Sprintf("%d sites", n)
}
