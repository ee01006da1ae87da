package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"wellkey/internal/admin"
	"wellkey/internal/config"
	"wellkey/internal/tty"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

func sitesListCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	asJSON := false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show every site, and how it stands",
		Long: `Show the sites that the settings list, with the fingerprint of the key, the
client id and the regions of each. Where the wellkey that serves answers on its
admin listener, show how each stands there. What is wrong with a site stands
below it.

Exit status: 0 shown, 1 shown, and something is wrong with a site, 2 wrong
usage or settings.`,
		Example: "  wellkey sites list\n  wellkey sites list --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := settingsOf(func() (*config.Settings, error) { return loader.LoadAll(true) })
			if err != nil {
				return err
			}
			return listSites(cmd.Context(), p, settings, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the sites as JSON")
	loader.AddProcessFlags(cmd.Flags())
	return cmd
}

// A siteList is what "sites list" gives as JSON.
type siteList struct {
	Sites   []siteView `json:"sites"`
	Running bool       `json:"running"`             // a wellkey answered
	Why     string     `json:"not_asked,omitempty"` // why none was asked, or did not answer
}

func listSites(ctx context.Context, p Process, settings *config.Settings, asJSON bool) error {
	list := siteList{Sites: []siteView{}}
	bad := false
	_, status, err := fetchStatus(ctx, settings.Admin(), "")
	if list.Running = err == nil; err != nil {
		list.Why = err.Error()
	}
	asRun := map[string]admin.SiteView{}
	for _, site := range status.Sites {
		asRun[site.Domain] = site
	}
	badAsRun := map[string]string{}
	for _, site := range status.BadSites {
		badAsRun[site.Name] = site.Error
	}
	for v := range readSites(settings) {
		if site, hosted := asRun[v.Domain]; hosted {
			v.State = string(site.Summary.State)
			v.Registrations = map[fleetapi.Region]registrar.State{}
			for _, r := range site.Registrations {
				v.Registrations[r.Region] = r.State
			}
		}
		if fault := badAsRun[v.Domain]; fault != "" && len(v.Faults) == 0 {
			v.Faults = append(v.Faults, fault)
		}
		bad = bad || len(v.Faults) > 0
		list.Sites = append(list.Sites, v)
	}
	code := exitOK
	if bad {
		code = exitRuntime
	}
	if asJSON {
		return cmp.Or(printJSON(p.Stdout, list), ended(code))
	}
	out := tty.New(p.Stdout, p.Environ)
	list.print(out)
	return cmp.Or(out.Err(), ended(code))
}

func (l siteList) print(out *tty.Printer) {
	if len(l.Sites) == 0 {
		out.Print(out.Wrap(0, "There are no sites yet. \"wellkey sites add DOMAIN\" makes one.") + "\n")
		return
	}
	rows := [][]string{{"DOMAIN", "KEY", "CLIENT ID", "REGIONS", "STATE"}}
	widths := make([]int, len(rows[0]))
	for _, v := range l.Sites {
		rows = append(rows, []string{printable(v.Domain), cmp.Or(short(v.Key), "none yet"), cmp.Or(v.ClientID, "none yet"), regionsOf(v), l.stateOf(v)})
	}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for i, row := range rows {
		line := ""
		for column, cell := range row {
			line += pad(cell, widths[column]+2)
		}
		line = strings.TrimRight(line, " ")
		if i == 0 {
			out.Print(out.Bold(line) + "\n")
			continue
		}
		out.Print(line + "\n")
		for _, fault := range l.Sites[i-1].Faults {
			out.Print("  " + out.Wrap(2, fault) + "\n")
		}
	}
	if !l.Running {
		out.Print("\n" + out.Wrap(0, "How they stand is not known: "+l.Why) + "\n")
	}
}

// shortKey is how many characters of a fingerprint tell keys apart for people.
const shortKey = 12

func short(fingerprint string) string { return fingerprint[:min(shortKey, len(fingerprint))] }

func regionsOf(v siteView) string {
	var names []string
	for _, r := range v.Regions {
		names = append(names, string(r))
	}
	return cmp.Or(strings.Join(names, ","), "-")
}

// stateOf says in few words how a site stands.
func (l siteList) stateOf(v siteView) string {
	switch {
	case len(v.Faults) > 0 && len(v.Registrations) > 0:
		return "bad, goes on as before"
	case len(v.Faults) > 0:
		return "bad"
	case !l.Running:
		return "-"
	case len(v.Registrations) == 0:
		return "not hosted"
	}
	words := map[registrar.State]bool{}
	var each []string
	for _, r := range v.Regions {
		state := v.Registrations[r]
		words[state] = true
		each = append(each, fmt.Sprintf("%s %s", r, wordsOf(state)))
	}
	if len(words) == 1 {
		return wordsOf(v.Registrations[v.Regions[0]])
	}
	return strings.Join(each, ", ")
}

func wordsOf(s registrar.State) string {
	return cmp.Or(strings.ReplaceAll(string(s), "_", " "), "not known")
}
