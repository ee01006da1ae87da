// Package testworld is everything that wellkey needs around it, on loopback: an
// ACME CA, DNS, Tesla's Fleet API, and an application in its portal. The tests of
// the whole program and the demo live in it.
package testworld

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testhost"
	"wellkey/registrar/fleetapi"
)

// The application that exists in the simulated portal.
const (
	ClientID     = "7a1c2d3e-4f50-4a61-8b72-93c4d5e6f708"
	ClientSecret = "ta-secret.%demo+only^nothing@real"
)

// Config says what world to start.
type Config struct {
	Domain string
	Dir    string // for settings files, credentials and wellkey's data; must exist
	Host   string // a loopback address for wellkey's listeners; "" = one that nobody else has
	Files  bool   // the certificate comes from files that Signer made, and there is no CA: quicker

	Profiles []testca.Profile  // that the CA offers; none = those of Let's Encrypt
	EAB      map[string]string // as in testca.Config

	// For a world that goes on where another one ended: where its ACME API
	// listened, and the PEM of its roots, which stay trusted.
	CAAddr      string
	FormerRoots []byte

	OnRequest func(fleetsim.Request) // as in fleetsim.Config
}

// A World is a running world. It is safe for concurrent use.
type World struct {
	Domain                         string
	HTTPAddr, HTTPSAddr, AdminAddr string // wellkey's
	DataDir, CredentialsFile       string
	DNS                            *testdns.Server
	CA                             *testca.CA     // nil with Config.Files
	Signer                         *testca.Signer // nil without
	CertFile, CertKeyFile          string         // with Config.Files
	Tesla                          *fleetsim.Sim

	host, dir   string
	formerRoots []byte
	ways        *sync.Map // by domain, the host that Tesla downloads its key from, where it is not w's
}

// Start starts everything but wellkey. The caller closes the World.
func Start(c Config) (*World, error) {
	w := &World{Domain: c.Domain, host: c.Host, dir: c.Dir, formerRoots: c.FormerRoots, ways: new(sync.Map),
		DataDir: filepath.Join(c.Dir, "data"), CredentialsFile: filepath.Join(c.Dir, "credentials.yaml")}
	if w.host == "" {
		w.host = testhost.New()
	}
	if err := errors.Join(w.pickPorts(), w.start(c)); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *World) start(c Config) (err error) {
	if w.DNS, err = testdns.Start(); err != nil {
		return err
	}
	w.DNS.Set(w.Domain, "A "+w.host)
	roots := map[string][]byte{}
	if c.Files {
		err = w.signFiles()
		if err == nil {
			roots["probe-roots.pem"] = w.RootsPEM()
		}
	} else {
		w.CA, err = testca.Start(testca.Config{Addr: c.CAAddr, Profiles: c.Profiles, EAB: c.EAB, HTTPPort: testhost.Port(w.HTTPAddr), TLSPort: testhost.Port(w.HTTPSAddr), DNS: w.DNS.Addr()})
		if err == nil {
			roots["acme-roots.pem"], roots["probe-roots.pem"] = w.CA.APIRootsPEM(), w.RootsPEM()
		}
	}
	if err != nil {
		return err
	}
	w.Tesla = fleetsim.New(fleetsim.Config{Dial: w.dialForTesla, Roots: w.Roots(), OnRequest: c.OnRequest})
	if err := w.Tesla.Start(); err != nil {
		return err
	}
	w.Tesla.AddApp(fleetsim.App{ClientID: ClientID, Secret: ClientSecret, Name: "Demo", AllowedOrigins: []string{"https://" + w.Domain}})
	for name, pem := range roots {
		if err := os.WriteFile(filepath.Join(w.dir, name), pem, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// signFiles makes a signer and has it sign the certificate for tls: files.
func (w *World) signFiles() (err error) {
	if w.Signer, err = testca.NewSigner(); err != nil {
		return err
	}
	return w.SignFiles(testca.LeafOptions{})
}

// SignFiles writes another certificate to CertFile and CertKeyFile, for the domain
// and for more names.
func (w *World) SignFiles(opts testca.LeafOptions, more ...string) error {
	leaf, err := w.Signer.Issue(opts, append([]string{w.Domain}, more...)...)
	if err != nil {
		return err
	}
	w.CertFile, w.CertKeyFile, err = leaf.WriteFiles(w.dir)
	return err
}

// Roots returns the roots that a visitor of the domain must trust.
func (w *World) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(w.RootsPEM())
	return pool
}

// RootsPEM returns the same as PEM.
func (w *World) RootsPEM() []byte {
	if w.Signer != nil {
		return append(w.Signer.RootsPEM(), w.formerRoots...)
	}
	return append(w.CA.RootsPEM(), w.formerRoots...)
}

// Close ends everything that Start started.
func (w *World) Close() error {
	var errs []error
	if w.Tesla != nil {
		errs = append(errs, w.Tesla.Close())
	}
	if w.CA != nil {
		errs = append(errs, w.CA.Close())
	}
	if w.DNS != nil {
		errs = append(errs, w.DNS.Close())
	}
	return errors.Join(errs...)
}

// pickPorts chooses free ports for wellkey, which the CA must know before
// wellkey binds them.
func (w *World) pickPorts() error {
	addrs, err := testhost.Addrs(w.host, 3)
	if err == nil {
		w.HTTPAddr, w.HTTPSAddr, w.AdminAddr = addrs[0], addrs[1], addrs[2]
	}
	return err
}

// Environ returns the environment of a wellkey in this world: ordinary settings,
// each as an environment variable. Those in more ("LOG_LEVEL=debug") win; one
// without a value ("TLS_CERT_FILE") takes the setting away.
func (w *World) Environ(more ...string) []string {
	settings := map[string]string{
		"DOMAIN":              w.Domain,
		"DATA_DIR":            w.DataDir,
		"CREDENTIALS_FILE":    w.CredentialsFile,
		"HTTP_ADDR":           w.HTTPAddr,
		"HTTPS_ADDR":          w.HTTPSAddr,
		"ADMIN_ADDR":          w.AdminAddr,
		"TESLA_AUTH_URL":      w.Tesla.AuthURL(),
		"PROBE_RESOLVERS":     w.DNS.Addr(),
		"PROBE_ROOTS":         filepath.Join(w.dir, "probe-roots.pem"),
		"PROBE_PORT":          strconv.Itoa(testhost.Port(w.HTTPSAddr)),
		"PROBE_HTTP_PORT":     strconv.Itoa(testhost.Port(w.HTTPAddr)),
		"PROBE_ALLOW_PRIVATE": "true",
		"LOG_FORMAT":          "json",
	}
	if w.Signer != nil {
		settings["TLS"], settings["TLS_CERT_FILE"], settings["TLS_KEY_FILE"] = "files", w.CertFile, w.CertKeyFile
	} else {
		settings["ACME_DIRECTORY"], settings["ACME_ROOTS"] = w.CA.Directory(), filepath.Join(w.dir, "acme-roots.pem")
	}
	for _, m := range more {
		name, value, given := strings.Cut(m, "=")
		settings[name] = value
		if !given {
			delete(settings, name)
		}
	}
	regions := settings["REGIONS"]
	if regions == "" {
		regions = "na,eu"
	}
	for _, region := range strings.Split(regions, ",") {
		name := "TESLA_API_URL_" + strings.ToUpper(region)
		if _, ok := settings[name]; !ok {
			settings[name] = w.Tesla.BaseURL(fleetapi.Region(region))
		}
	}
	var environ []string
	for name, value := range settings {
		environ = append(environ, "WELLKEY_"+name+"="+value)
	}
	return environ
}

// WriteCredentials puts the application's credentials where wellkey looks.
func (w *World) WriteCredentials() error {
	text := fmt.Sprintf("client_id: %q\nclient_secret: %q\n", ClientID, ClientSecret)
	return os.WriteFile(w.CredentialsFile, []byte(text), 0o600)
}

// dial connects to wellkey, whatever the address.
func (w *World) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, w.HTTPSAddr)
}

// dialForTesla connects to where the domain leads, whatever our own resolvers say.
func (w *World) dialForTesla(ctx context.Context, network, addr string) (net.Conn, error) {
	domain, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	to := w.HTTPSAddr
	if host, ok := w.ways.Load(domain); ok {
		to = net.JoinHostPort(host.(string), strconv.Itoa(testhost.Port(to)))
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

// Registered returns the key that Tesla has on record in region, as 130
// hexadecimal characters; "" if none.
func (w *World) Registered(region fleetapi.Region) string {
	account, _ := w.Tesla.Account(region, w.Domain)
	return account.PublicKey
}
