package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wellkey/internal/admin"
	"wellkey/internal/config"
	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/internal/tty"
	"wellkey/internal/webconfig"
	"wellkey/registrar"
	"wellkey/server/certs"
)

func statusCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	asJSON, code := false, false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the wellkey that runs here stands, and the pairing link",
		Long: `Ask the wellkey that runs on this machine, on its admin listener, how it stands:
key, certificate, reachability and every region as a checklist with cause and
fix, and the link with which owners pair their cars, on a terminal also as a QR
code. Only two settings are used: admin_addr, and admin_web_config where the
running wellkey has one; whoever can read that file is answered. Of several
domains, --domain shows one. Of more than some ten thousand, only those are
shown where somebody must act.

Exit status: 0 registered in every region, 1 something is wrong, or wellkey does
not run, 2 wrong usage or settings, 3 nothing is wrong, but it is not done yet.`,
		Example: `  wellkey status
  wellkey status --admin-addr 127.0.0.1:9090 --json
  wellkey status --domain example.com
  docker compose exec wellkey /wellkey status`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON && code {
				return &usageError{errors.New("--qr has no place in JSON: leave one of the two out")}
			}
			listener, err := loader.LoadAdmin()
			if err != nil {
				return &usageError{err}
			}
			body, status, err := fetchStatus(cmd.Context(), listener, "")
			troubled := errors.As(err, new(*tooLargeError))
			if troubled {
				body, status, err = fetchStatus(cmd.Context(), listener, string(admin.Action))
			}
			if err != nil {
				return err
			}
			if asJSON {
				_, err := p.Stdout.Write(phrase.PlainJSON(body)) // somebody else may have answered
				return cmp.Or(err, ended(statusExit(status)))
			}
			out := tty.New(p.Stdout, p.Environ)
			terminal := isTerminal(p.Stdout)
			for i, site := range status.Sites {
				if i > 0 {
					out.Print("\n")
				}
				printSite(out, site, status.At)
				if code || terminal && !cmd.Flags().Changed("qr") && len(status.Sites) == 1 && registered(site) {
					printCode(out, site.PairingLink, terminal)
				}
			}
			if troubled {
				printOnlyTroubled(out, status)
				return cmp.Or(out.Err(), ended(cmp.Or(statusExit(status), exitUndecided)))
			}
			printBadSites(out, status)
			printBehind(out, status)
			return cmp.Or(out.Err(), ended(statusExit(status)))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what the admin listener gives, as it is")
	cmd.Flags().BoolVar(&code, "qr", false, "print the QR code also in a pipe and before the registration; --qr=false never does")
	loader.AddFlags(cmd.Flags())
	return cmd
}

// maxStatus is the status of some ten thousand sites.
const maxStatus = 64 << 20

// statusPatience is longer than it takes to tell of a hundred thousand sites.
const statusPatience = 30 * time.Second

// A tooLargeError is that the status of all sites is larger than what is read.
type tooLargeError struct{ addr string }

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("the status of all sites of the wellkey at %s is larger than %d MB: name one with --domain, or open http://%s/status", e.addr, maxStatus>>20, e.addr)
}

// printOnlyTroubled says which sites are shown, where all would be too many.
func printOnlyTroubled(out *tty.Printer, s admin.Status) {
	if len(s.BadSites) > 0 {
		printBadSites(out, s)
	}
	printBehind(out, s)
	what := "Shown above are those where somebody must act"
	if len(s.Sites) == 0 {
		what = "There is none where somebody must act"
	}
	out.Print("\n" + out.Wrap(0, what+"; there are too many sites to show all of them. \"wellkey status --domain DOMAIN\" shows one.") + "\n")
}

// fetchStatus asks the admin listener, and returns what it says also as it is; with
// state, of the sites in that condition only.
func fetchStatus(ctx context.Context, listener config.Admin, state string) ([]byte, admin.Status, error) {
	var status admin.Status
	adminAddr := listener.Addr
	if adminAddr == "" {
		return nil, status, &usageError{errors.New("the admin listener is switched off, so nobody can be asked; set admin_addr")}
	}
	ctx, cancel := context.WithTimeout(ctx, statusPatience)
	defer cancel()
	client, err := webconfig.NewClient(listener.WebConfig)
	if err != nil {
		return nil, status, err
	}
	path, query := "/status", url.Values{}
	if listener.Domain != "" {
		query.Set("domain", listener.Domain)
	}
	if state != "" {
		query.Set("state", state)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	resp, err := client.Get(ctx, reachable(adminAddr), path, http.Header{"Accept": {"application/json"}})
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, status, fmt.Errorf("no wellkey answers at %s: nobody listens there.\n"+
			"Start it with wellkey serve; if it runs, give the admin_addr that it has (--admin-addr or WELLKEY_ADMIN_ADDR)."+
			" In a container ask from inside: docker compose exec wellkey /wellkey status", adminAddr)
	case err != nil:
		return nil, status, fmt.Errorf("asking wellkey at %s: %w; is it running with this admin_addr?", adminAddr, err)
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxStatus+1))
	if err != nil {
		return nil, status, fmt.Errorf("reading the answer of wellkey at %s: %w", adminAddr, err)
	}
	if len(body) > maxStatus {
		return nil, status, &tooLargeError{reachable(adminAddr)}
	}
	answered := resp.StatusCode == http.StatusOK || listener.Domain != "" && resp.StatusCode == http.StatusNotFound // which is told below
	if err := json.Unmarshal(body, &status); !answered || err != nil || status.Version == "" {
		return nil, status, fmt.Errorf("what answers at %s is no wellkey (status %d, %.40q); give the admin_addr that wellkey has", adminAddr, resp.StatusCode, body)
	}
	if listener.Domain != "" {
		return oneOfStatus(body, status, listener)
	}
	return body, status, nil
}

// oneOfStatus leaves out what an answer says of other domains than the one that is
// asked for. Where it says nothing of that, it is an error.
func oneOfStatus(body []byte, status admin.Status, listener config.Admin) ([]byte, admin.Status, error) {
	status.BadSites = slices.DeleteFunc(status.BadSites, func(bad admin.BadSite) bool { return bad.Name != listener.Domain })
	if len(status.Sites)+len(status.BadSites) == 0 {
		return nil, status, fmt.Errorf("the wellkey at %s does not host %s; \"wellkey sites list\" shows what its settings have", listener.Addr, listener.Domain)
	}
	return body, status, nil
}

// reachable returns the address with which to reach a listener on this host: of
// one that is on all addresses, the loopback one.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// statusExit returns the exit code that says how all sites stand.
func statusExit(s admin.Status) int {
	code := exitOK
	if len(s.BadSites) > 0 {
		return exitRuntime
	}
	for _, site := range s.Sites {
		open := false
		for _, r := range site.Registrations {
			open = open || r.State != registrar.Registered
		}
		switch {
		case site.Summary.State == admin.Action, open && site.Summary.State == admin.Attention:
			return exitRuntime
		case open:
			code = exitUndecided
		}
	}
	return code
}

// registered reports whether owners in some region can pair.
func registered(s admin.SiteView) bool {
	for _, r := range s.Registrations {
		if r.State == registrar.Registered {
			return true
		}
	}
	return false
}

// markOf returns the mark of a condition: in the words of findings where they
// have one, else its own.
func markOf(c admin.Condition) finding.Status {
	switch c {
	case admin.OK:
		return finding.OK
	case admin.Unsure:
		return finding.Unknown
	case admin.Attention:
		return finding.Warn
	case admin.Action:
		return finding.Fail
	}
	return finding.Status(c)
}

// printBadSites says what is wrong with sites that cannot be hosted as they are
// written, and that there are no sites where there are none.
func printBadSites(out *tty.Printer, s admin.Status) {
	if len(s.Sites)+len(s.BadSites) == 0 {
		out.Print(out.Wrap(0, "No site is hosted. \"wellkey sites add DOMAIN\" adds one, and \"wellkey sites check\" says what is wrong with those that are there.") + "\n")
	}
	width := 0
	for _, bad := range s.BadSites {
		width = max(width, len(printable(bad.Name)))
	}
	for i, bad := range s.BadSites {
		if i == 0 {
			if len(s.Sites) > 0 {
				out.Print("\n")
			}
			out.Print(out.Bold("Sites that cannot be hosted as they are written") + "\n")
		}
		printFinding(out, printable(bad.Name), width, finding.Finding{Status: finding.Fail, Seen: bad.Error})
	}
}

// printBehind says which servers behind wellkey fail, where that stands in no checklist.
func printBehind(out *tty.Printer, s admin.Status) {
	for i, c := range s.TroublesBehind() {
		if i == 0 {
			out.Print("\n" + out.Bold("Servers behind wellkey") + "\n")
		}
		printCheck(out, c, len(shortTitle(c)))
	}
}

func printCheck(out *tty.Printer, c admin.Check, width int) {
	f := finding.Finding{Status: markOf(c.State), Seen: c.Text, Cause: c.Cause, Fix: c.Fix}
	if c.Seen != "" && c.State != admin.OK {
		f.Seen += " " + c.Seen
	}
	printFinding(out, shortTitle(c), width, f)
}

func printSite(out *tty.Printer, s admin.SiteView, now time.Time) {
	out.Print(out.Bold(s.Domain) + "\n")
	width := 0
	for _, c := range s.Checklist {
		width = max(width, len(shortTitle(c)))
	}
	for _, c := range s.Checklist {
		printCheck(out, c, width)
	}
	out.Print("\n")
	verdict := s.Summary.Text
	if s.Summary.More > 0 {
		verdict += fmt.Sprintf(" (and %d more, see above)", s.Summary.More)
	}
	printVerdict(out, markOf(s.Summary.State), verdict)
	out.Print("\n")
	if s.Key.Fingerprint != "" {
		out.Printf("  %-7s  %s\n", "key", s.Key.Fingerprint)
	}
	if !s.Certificate.NotAfter.IsZero() {
		role := ""
		if s.Certificate.Role == certs.Fallback {
			role = " (the fallback authority)"
		}
		out.Printf("  %-7s  until %s, by %s%s\n", "cert", s.Certificate.NotAfter.UTC().Format("2006-01-02 15:04 MST"), s.Certificate.Issuer, role)
	}
	for _, a := range s.Attempts(now) {
		out.Printf("  %-7s  %s: %s\n", "next", a.At.UTC().Format("2006-01-02 15:04 MST"), a.What)
	}
	note := ""
	if !registered(s) {
		note = "  (works once it is registered)"
	}
	out.Printf("  %-7s  %s%s\n", "pairing", out.Bold(s.PairingLink), note)
	if !registered(s) {
		out.Printf("  %-7s  allowed origin %s, grant type %q\n", "portal", s.Portal.AllowedOrigin, s.Portal.GrantType)
	} else {
		out.Printf("  %-7s  if it shows an error, see docs/pairing.md\n", "phone")
	}
}

// shortTitle is the title of a check in a narrow column.
func shortTitle(c admin.Check) string {
	if region, ok := strings.CutPrefix(c.ID, "registration_"); ok {
		return "Tesla " + region
	}
	if strings.HasPrefix(c.ID, "passthrough_") { // the text has the name
		return "Passthrough"
	}
	return c.Title
}

// printCode prints the link as a QR code, where there is room.
func printCode(out *tty.Printer, link string, terminal bool) {
	code, width, err := qrCode(link, terminal)
	if err != nil || out.Width() > 0 && width > out.Width() {
		return // the link itself is there
	}
	out.Print("\n" + code)
}
