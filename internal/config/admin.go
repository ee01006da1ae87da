package config

import (
	"strings"

	"wellkey/internal/webconfig"
)

// An Admin is how a running wellkey is asked.
type Admin struct {
	Addr      string // "": the listener is switched off
	WebConfig string // path of the file that guards it; "": none
	Domain    string // the one that --domain names; "": all
}

// LoadAdmin reads admin_addr and admin_web_config alone, for commands that only
// talk to a wellkey that runs: what else is not set or wrong is no concern of
// theirs. A setting that does not exist still is an error, since it may be a
// misspelled admin_addr.
func (l *Loader) LoadAdmin() (Admin, error) {
	d := &draft{values: map[string]value{}}
	env := d.readEnvironment(l.environ)
	file := d.readConfigFile(l.flags["config"], env["config"])
	for _, r := range table() {
		if r.name == "admin_addr" || r.name == "admin_web_config" {
			d.values[r.name] = d.pick(r, l.flags, env, file)
			d.apply(r)
		}
	}
	if err := join(d.faults); err != nil {
		return Admin{}, err
	}
	admin := d.settings.Admin()
	admin.Domain = l.flags["domain"]
	return admin, nil
}

// Admin returns how the wellkey with these settings is asked.
func (s *Settings) Admin() Admin { return Admin{Addr: s.AdminAddr, WebConfig: s.AdminWebConfig} }

// setAdminWebConfig reads the file, so that what is wrong is told before anything
// is touched. No message shows a password's hash.
func setAdminWebConfig(s *Settings, text string) (what, fix string) {
	if what, fix := path(func(s *Settings) *string { return &s.AdminWebConfig })(s, text); what != "" {
		return what, fix
	}
	if _, _, err := readFile(s.AdminWebConfig); err != nil {
		return explainFile(s.AdminWebConfig, err)
	}
	if err := webconfig.Check(s.AdminWebConfig); err != nil {
		return "is no web configuration that can be used: " + strings.ReplaceAll(err.Error(), "\n", "; "), "See docs/admin.md for the format"
	}
	return "", ""
}
