package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/finding"
	"wellkey/internal/tty"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

func registerCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	asJSON := false
	cmd := &cobra.Command{
		Use:   "register [DOMAIN]",
		Short: "Register a key that is hosted anywhere, once, in every region",
		Long: `Make one attempt to register the domain in every region with the key that it
publishes, whoever hosts it: wellkey, a web server, GitHub Pages. Look from
outside first, ask Tesla which key it has, register where it has none, and read
the key back.

A registered key that is another one is never replaced, unless --accept-key
names the fingerprint of the published key: every owner must then pair again. If
the settings know the key file of the domain, the published key must be that
one.
No state is read or kept.

Exit status: 0 registered in every region, 1 something must be fixed, 2 wrong
usage or settings, 3 undecided, or Tesla is not available: try again later.`,
		Example: `  wellkey register example.com --client-id ID --client-secret-file secret
  wellkey register --json --config /etc/wellkey/wellkey.yaml`,
		Args: oneDomain,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newTarget(loader, args)
			if err != nil {
				return err
			}
			return register(cmd.Context(), p, t, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the outcome as JSON")
	loader.AddFlags(cmd.Flags())
	return cmd
}

// register makes the attempt and prints what came of it.
func register(ctx context.Context, p Process, t target, asJSON bool) error {
	if t.spelling.What != "" {
		return &usageError{fmt.Errorf("the domain %s. %s; nothing was registered", t.spelling.What, t.spelling.Fix)}
	}
	out := tty.New(p.Stdout, p.Environ)
	if !asJSON {
		out.Waiting("looking at " + t.spelling.Domain + ", and registering ...")
	}
	a, err := attempt(ctx, t, t.log(p))
	if err != nil {
		out.Waiting("")
		return err
	}
	if asJSON {
		return cmp.Or(printJSON(p.Stdout, a), ended(a.exit()))
	}
	a.print(out)
	return cmp.Or(out.Err(), ended(a.exit()))
}

// attempt looks from outside for the key to register, and registers it.
func attempt(ctx context.Context, t target, log *zap.Logger) (registration, error) {
	application, err := t.application(log)
	if err != nil {
		return registration{}, err
	}
	prober, err := t.prober(log)
	if err != nil {
		return registration{}, err
	}
	local := t.local()
	if local.Err != nil {
		return registration{}, local.Err
	}
	domain, key := t.spelling.Domain, local.Key
	if key.IsZero() {
		report := prober.Check(ctx, domain, key)
		if key = publishedKey(report); key.IsZero() {
			return newRegistration(registrar.SiteSnapshot{Domain: domain, Look: &report}), nil
		}
	}
	return newRegistration(registrar.Once(ctx, registrar.Site{
		Domain:      domain,
		Regions:     t.settings.Regions,
		Accept:      func(key, _ keystore.Key) bool { return key.Fingerprint() == t.settings.AcceptKey },
		Keys:        foundKey{key},
		Application: func() registrar.Application { return application },
	}, prober, log)), nil
}

// application returns the application of the domain. To have none is a mistake
// here.
func (t target) application(log *zap.Logger) (registrar.Application, error) {
	c, err := t.credentials()
	switch {
	case err != nil:
		return registrar.Application{}, err
	case c.IsZero() && !t.own():
		return registrar.Application{}, &usageError{fmt.Errorf("the settings, and so the credentials, are for %s, not for %s: Tesla wants an application of its own for every domain", t.settings.Domain, t.spelling.Domain)}
	case c.IsZero():
		return registrar.Application{}, &usageError{errors.New("there are no credentials: give client_id and client_secret_file, or a credentials_file that is there")}
	}
	client, err := t.client(c, log)
	if err != nil {
		return registrar.Application{}, &usageError{err}
	}
	return registrar.Application{ClientID: c.ClientID, Digest: digest(c), API: client}, nil
}

// publishedKey returns the key that the domain gives, the first where its
// addresses give several: that they differ is found when it is looked for.
func publishedKey(report reach.Report) keystore.Key {
	for _, a := range report.Addresses {
		if a.OK {
			return a.Key
		}
	}
	return keystore.Key{}
}

// foundKey is the key store of a key that somebody else keeps. Once only asks
// for the key.
type foundKey struct{ key keystore.Key }

func (k foundKey) Key() keystore.Key             { return k.key }
func (foundKey) Generate() (keystore.Key, error) { return keystore.Key{}, errElsewhere }
func (foundKey) Restore(keystore.Key) error      { return errElsewhere }

var errElsewhere = errors.New("the key is kept elsewhere")

// A registration is what one attempt came to. Its JSON is stable: fields are
// added, never renamed or taken away.
type registration struct {
	Domain  string            `json:"domain"`
	Key     string            `json:"key_fingerprint"` // of the key to register; "" where none was found
	Outcome string            `json:"outcome"`         // "registered" in every region, "fix" something, or "undecided"
	Verdict string            `json:"verdict"`         // for people
	Look    finding.Finding   `json:"look"`            // what the look from outside says, with the id of the deciding check
	Regions []regionOutcome   `json:"regions"`         // none where no key was found
	shown   []finding.Finding // the same as Regions, for people
}

// A regionOutcome is the registration in one region after the attempt.
type regionOutcome struct {
	Region      fleetapi.Region `json:"region"`
	State       registrar.State `json:"state"`
	Reason      string          `json:"reason,omitempty"`                 // the code behind the state
	Done        bool            `json:"done"`                             // this attempt registered it
	Registered  string          `json:"registered_fingerprint,omitempty"` // of the key that Tesla has now
	Seen        string          `json:"seen"`
	Cause       string          `json:"cause,omitempty"`
	Fix         string          `json:"fix,omitempty"`
	TxID        string          `json:"txid,omitempty"` // what Tesla's support asks for
	PairingLink string          `json:"pairing_link,omitempty"`
}

func newRegistration(s registrar.SiteSnapshot) registration {
	a := registration{Domain: s.Domain, Key: s.Key.Fingerprint(), Look: lookFinding(s), Regions: []regionOutcome{}}
	for _, r := range s.Regions {
		o := regionOutcome{Region: r.Region, State: r.State, Reason: r.Note.Reason, Done: !r.RegisteredAt.IsZero(),
			Registered: r.Registered.Fingerprint(), Seen: r.Note.Seen, Cause: r.Note.Cause, Fix: r.Note.Fix}
		if r.Failure != nil {
			o.TxID = r.Failure.TxID
		}
		switch {
		case r.State == registrar.Registered && o.Done:
			o.Seen = "Registered now, and read back."
		case r.State == registrar.Registered:
			o.Seen = "Tesla had this key already; nothing was done."
		case r.State == registrar.Unreachable:
			o.Seen, o.Cause, o.Fix = "Not registered, since the key cannot be fetched: see above.", "", ""
		case o.Seen == "":
			o.Seen = "Not registered (" + o.Reason + ")."
		default:
			o.Seen = strings.ToUpper(o.Seen[:1]) + o.Seen[1:] // the text of an error begins in lower case
		}
		if r.State == registrar.Registered {
			o.PairingLink = r.Region.PairingLink(s.Domain)
		}
		a.Regions = append(a.Regions, o)
		a.shown = append(a.shown, finding.Finding{ID: string(r.Region), Status: statusOfState(r.State), Seen: o.Seen, Cause: o.Cause, Fix: o.Fix})
	}
	a.conclude()
	return a
}

// lookFinding says in one finding what the look from outside came to.
func lookFinding(s registrar.SiteSnapshot) finding.Finding {
	if s.Look == nil {
		return finding.Finding{ID: "look", Status: finding.Unknown, Seen: "The look from outside did not come to an end.", Fix: "Run it again."}
	}
	if s.Look.Verdict == reach.Reachable {
		return finding.Finding{ID: "look", Status: finding.OK, Seen: fmt.Sprintf("%s gives the key %s.", s.Domain, s.Key.Fingerprint())}
	}
	f := s.Look.Deciding()
	if f.Seen == "" { // nothing but a reason
		f.Seen = "The look from outside did not come to an end (" + s.Look.Reason + ")."
		f.Fix = "Run it again."
	}
	return f
}

// statusOfState tells what a person must fix from what is open.
func statusOfState(s registrar.State) finding.Status {
	switch s {
	case registrar.Registered:
		return finding.OK
	case registrar.Mismatch, registrar.Refused, registrar.Unreachable:
		return finding.Fail
	}
	return finding.Unknown
}

// conclude sets outcome and verdict.
func (a *registration) conclude() {
	var registered, faulty, open []string
	for i, r := range a.Regions {
		switch a.shown[i].Status {
		case finding.OK:
			registered = append(registered, string(r.Region))
		case finding.Fail:
			faulty = append(faulty, string(r.Region))
		default:
			open = append(open, string(r.Region))
		}
	}
	done := "Nothing is registered"
	if len(registered) > 0 {
		done = "Registered in " + strings.Join(registered, " and ")
	}
	switch {
	case len(faulty) > 0 || len(a.Regions) == 0 && a.Look.Status == finding.Fail:
		a.Outcome, a.Verdict = "fix", done+"; fix what is told above and run this again."
	case len(open) > 0 || len(a.Regions) == 0:
		a.Outcome, a.Verdict = "undecided", done+"; the rest is open. This command tries once: run it again in a few minutes."
	default:
		a.Outcome, a.Verdict = "registered", fmt.Sprintf("%s is registered in %s.", a.Domain, strings.Join(registered, " and "))
	}
}

func (a registration) exit() int {
	switch a.Outcome {
	case "registered":
		return exitOK
	case "fix":
		return exitRuntime
	}
	return exitUndecided
}

// print prints the attempt for people.
func (a registration) print(out *tty.Printer) {
	width := len(a.Look.ID)
	out.Print(out.Bold("Registration of "+a.Domain) + "\n")
	printFinding(out, a.Look.ID, width, a.Look)
	for _, f := range a.shown {
		printFinding(out, f.ID, width, f)
	}
	out.Print("\n")
	status := map[string]finding.Status{"registered": finding.OK, "fix": finding.Fail}[a.Outcome]
	printVerdict(out, cmp.Or(status, finding.Unknown), a.Verdict)
	if a.Outcome == "registered" {
		out.Print("\n" + out.Wrap(0, "Owners pair their cars with this link, on their phone:") + "\n")
		links := map[string]bool{}
		for _, r := range a.Regions {
			if !links[r.PairingLink] {
				links[r.PairingLink] = true
				out.Print("  " + out.Bold(r.PairingLink) + "\n")
			}
		}
	}
}
