// Package config reads the settings. One table (see table.go) holds the name,
// default, help and parser of every setting; the flags, the environment
// variables, the keys of the YAML file, the help text and docs/settings.md are all
// made from it, so they cannot disagree.
//
// A setting is taken from its flag, else from the environment, else from the
// file, else it has its default. What is not known is an error, not ignored: a
// misspelled setting that silently does nothing costs its owner a day. All
// faults are reported at once.
//
// An empty value counts as not given, since Compose and Kubernetes templates
// leave empty variables behind; only where emptiness means something (a listener
// that is switched off) it is a value.
package config

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap/zapcore"

	"wellkey/internal/secret"
	"wellkey/registrar/fleetapi"
)

// Settings are the settings of one process, checked and with their defaults
// filled in. They hold no secret that prints.
type Settings struct {
	// Site is the one domain; zero where there are several sites and none of them
	// was named. See Several and Sites.
	Site
	File     string     // the file of settings, or ""
	SitesDir string     // files of sites, or ""
	listed   []siteText // what the list of sites says
	live     bool       // the credentials of sites are somebody else's matter
	again    bool       // they were loaded before: see readOnce

	DataDir string // always set, but see LoadFor; the directory need not exist

	HTTPAddr, HTTPSAddr, AdminAddr string // host:port; "" is switched off

	Limits Limits

	TrustedProxies []netip.Prefix // whose word about the client counts
	ProxyProtocol  bool           // connections from TrustedProxies begin with a PROXY header
	Upstream       Upstream
	Passthrough    Passthrough

	HSTS     bool // HTTPS answers say for two years that there is nothing but HTTPS
	Landlock bool // the kernel bounds what the process does with files

	AdminWebConfig string // path of the file that guards the admin listener, or ""
	Storage        Storage

	TLS   TLS
	ACME  ACME
	DNS   DNS
	Tesla Tesla
	Probe Probe
	Log   Log

	// Warnings are whole sentences about settings that work but that somebody
	// should look at. They are no faults.
	Warnings []string
}

// Limits are those of connections to a public listener; 0 is the default.
type Limits struct {
	Connections int // at a time
	PerClient   int // of them from one client
	Rate        int // of new ones from one client a second
}

// A Site is one domain with its key, application and regions.
type Site struct {
	Domain      string            // bare, lower-case, in Punycode where it is not ASCII
	Application Application       // what Tesla's portal gave
	Regions     []fleetapi.Region // at least one, in the order given
	Dir         string            // for the files of this site alone; always set, but see LoadFor
	KeyFile     string            // always set, but see LoadFor; the file need not exist
	AcceptKey   string            // fingerprint as 64 lower-case hexadecimal characters, or ""

	// SiteWarnings are those about one of several sites; see Settings.Warnings.
	SiteWarnings []string
}

// An Application is what Tesla's portal gave for the domain, or the files where
// that will be. LoadCredentials reads it.
type Application struct {
	ClientID         string
	ClientIDFile     string
	ClientSecret     secret.Text
	ClientSecretFile string
	CredentialsFile  string
	PassedOn         bool // systemd handed CredentialsFile over at the start, and it never changes
	Options          bool // the settings are options that Home Assistant asks for, and read at the start

	spelled map[string]string // the spelling the user used, by setting
}

// A TLSMode says where certificates come from.
type TLSMode string

// The modes of TLS.
const (
	TLSACME  TLSMode = "acme"  // from a certificate authority
	TLSFiles TLSMode = "files" // from TLS.CertFile and TLS.KeyFile
	TLSOff   TLSMode = "off"   // a proxy in front ends TLS
)

// TLS says where the certificate of the public listener comes from.
type TLS struct {
	Mode              TLSMode
	CertFile, KeyFile string // set if Mode is TLSFiles, and only then
}

// ACME says which certificate authorities are asked, and how.
type ACME struct {
	Authority                    // asked first
	Fallback      Authority      // asked if the first one fails for long; Directory is "" where there is none
	FallbackAfter time.Duration  // how long that is
	Email         string         // contact, or ""
	Profile       string         // "" is the default of server/certs
	RootsFile     string         // where Roots came from, or ""
	Roots         *x509.CertPool // for the authorities' own APIs; nil is the system's

	AllowEphemeral bool // order although the data directory does not last
}

// An Authority is a certificate authority, and who we are there.
type Authority struct {
	Directory  string      // https URL of the directory
	EABKeyID   string      // external account binding, or ""
	EABHMACKey secret.Text // base64url without padding; set if EABKeyID is
}

// Tesla holds addresses that replace Tesla's own, for tests and simulators.
type Tesla struct {
	AuthURL string                     // "" is Tesla's
	APIURLs map[fleetapi.Region]string // only those that were set
}

// Probe says how the look from outside is made.
type Probe struct {
	Resolvers    []string       // IP:port; empty is the public ones
	RootsFile    string         // where Roots came from, or ""
	Roots        *x509.CertPool // nil is the system's
	Port         int            // of HTTPS; 1 to 65535
	HTTPPort     int            // of plain HTTP; 1 to 65535
	AllowPrivate bool
}

// A LogFormat is the form of the log's lines.
type LogFormat string

// The forms of the log.
const (
	LogAuto    LogFormat = "auto" // LogConsole on a terminal, LogJSON elsewhere
	LogJSON    LogFormat = "json"
	LogConsole LogFormat = "console"
)

// Log says what is logged, and in which form.
type Log struct {
	Level  zapcore.Level
	Format LogFormat
}

// A Loader reads Settings from one environment and one set of flags. It is used
// by one goroutine.
type Loader struct {
	environ []string
	flags   map[string]string // what was given on the command line, by setting
	loaded  bool              // once, or it was tried
}

// New returns a Loader for the environment environ, which has the form of
// os.Environ. Nothing is read yet.
func New(environ []string) *Loader {
	return &Loader{environ: environ, flags: map[string]string{}}
}

// Load reads and checks all settings, and the files they need. It may be called
// again, after the file has changed; only the first time a file may be a pipe. An
// error holds one *Fault for everything that is wrong (errors.Join), and there are no
// Settings with it.
//
// Where the settings have several sites, the one that domain names is loaded, and
// to name none is a fault.
func (l *Loader) Load() (*Settings, error) { return l.load(&draft{}) }

// LoadLive is Load for a program that follows the files of the credentials with
// LoadCredentials: what is wrong in them is told by that, and keeps nobody from
// serving.
func (l *Loader) LoadLive() (*Settings, error) { return l.load(&draft{live: true}) }

// LoadAll is Load for the daemon, which hosts all sites: where there are several,
// Settings.Site is zero. Live is as in LoadLive, also for the sites.
func (l *Loader) LoadAll(live bool) (*Settings, error) { return l.load(&draft{all: true, live: live}) }

// LoadFor is Load for a command that takes the domain as an argument. Where one
// was given, the setting is not required, and Settings.Domain is what the
// settings say: "" if nothing. Such settings belong to no domain, so they have no
// default places either: without data_dir, DataDir is "", and so is KeyFile
// without key_file; credentials are those that are named.
func (l *Loader) LoadFor(domain string) (*Settings, error) { return l.load(&draft{argument: domain}) }

// LoadLiveFor is LoadFor as LoadLive is Load.
func (l *Loader) LoadLiveFor(domain string) (*Settings, error) {
	return l.load(&draft{argument: domain, live: true})
}

func (l *Loader) load(d *draft) (*Settings, error) {
	d.values, d.settings.live, d.settings.again = map[string]value{}, d.live, l.loaded
	l.loaded = true
	env := d.readEnvironment(l.environ)
	d.checkProxies(l.environ)
	file := d.readConfigFile(l.flags["config"], env["config"])
	for _, r := range table() {
		d.values[r.name] = d.pick(r, l.flags, env, file)
	}
	for _, r := range table() {
		d.apply(r)
	}
	if !d.unread {
		d.finish(l.environ)
	}
	if err := join(d.faults); err != nil {
		return nil, err
	}
	return &d.settings, nil
}

// A value is what was found for one setting.
type value struct {
	text  string
	from  source
	where string // path:line, if from is fromFile
}

// A source is where a value comes from.
type source int

const (
	fromDefault source = iota
	fromFile
	fromEnvironment
	fromFlag
)

// A draft is Settings in the making, with what was found wrong so far.
type draft struct {
	settings Settings
	values   map[string]value
	bad      []string // settings whose own text is at fault, so that no check of several looks at them
	unread   bool     // the file could not be read, so that nobody knows what is missing
	argument string   // the domain that a command was given beside the settings, or ""
	live     bool     // the credentials are somebody else's matter
	all      bool     // several sites are wanted, not one of them
	faults   []*Fault
}

// pick returns the value of r by precedence.
func (d *draft) pick(r row, flags map[string]string, env map[string]string, file map[string]value) value {
	given := func(text string, ok bool) bool { return ok && (text != "" || r.emptyMeans) }
	if text, ok := flags[r.name]; given(text, ok) {
		return value{text: text, from: fromFlag}
	}
	if text, ok := env[r.name]; given(text, ok) {
		return value{text: text, from: fromEnvironment}
	}
	if v, ok := file[r.name]; given(v.text, ok) {
		return v
	}
	return value{text: r.standard}
}

// apply parses the value of r into the settings. A value that was not given and
// has no default is left to finish.
func (d *draft) apply(r row) {
	v := d.values[r.name]
	if v.from == fromFlag && r.secret {
		d.fault(r.name, "a secret on the command line can be read by every user of the machine (ps, /proc)",
			"Write it into a file and give --"+flagName(r.name+"_file")+", or set "+envName(r.name))
		return
	}
	if r.set == nil || v.text == "" && v.from == fromDefault {
		return
	}
	if what, fix := r.set(&d.settings, v.text); what != "" {
		d.fault(r.name, what, fix)
	}
}

// fault notes what is wrong with the value of one setting.
func (d *draft) fault(name, what, fix string) {
	v := d.values[name]
	d.bad = append(d.bad, name)
	d.faults = append(d.faults, &Fault{Setting: spell(name, v.from), Where: v.where, What: what, Fix: fix})
}

// warn notes something about a setting that works.
func (d *draft) warn(name, text string) {
	d.settings.Warnings = append(d.settings.Warnings, spell(name, d.values[name].from)+": "+text)
}

// given reports whether the user set name to something that is not empty.
func (d *draft) given(name string) bool {
	return d.values[name].from != fromDefault && d.values[name].text != ""
}

// sound reports whether none of names is at fault by itself.
func (d *draft) sound(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return slices.Contains(d.bad, name) })
}
