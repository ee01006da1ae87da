package cli

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/sandbox"
	"wellkey/internal/webconfig"
)

// confine puts the process into its sandbox, says so, and shows it as metrics.
func (d *daemon) confine(environ []string) {
	var status sandbox.Status
	switch {
	case d.settings.DNS.Provider == "exec":
		status.Reason = "the program of dns_exec_program would be in the same sandbox, and nobody knows what it needs"
	case !d.settings.Landlock:
		if status = sandbox.GiveUpPrivileges(); status.Reason == "" {
			status.Reason = "the setting landlock is false"
		}
	default:
		c := confinement(d.settings, d.web, environ)
		status = sandbox.Apply(c)
		if status.Writes {
			d.log.Info("sandbox is active: files elsewhere are out of reach, also after a change of the settings", zap.Int("landlock_abi", status.ABI),
				zap.Strings("writes", c.Write), zap.Bool("reads_bounded", status.Reads))
			d.log.Debug("sandbox lets read", zap.Strings("reads", c.Read))
		}
	}
	if !status.Writes {
		fields := []zap.Field{zap.String("reason", status.Reason)}
		if status.Fix != "" { // else it was asked for
			fields = append(fields, zap.String("fix", status.Fix))
		}
		d.log.Info("landlock does not restrict the file access of this process", fields...)
	}
	d.confined.Store(status.Writes)
	d.sandbox.set(status)
}

// confinement returns what the daemon does with files: it reads its settings and
// what they name, and writes its data. Of several sites each may name files that
// nobody knows of yet, so there all can be read.
func confinement(s *config.Settings, web *webconfig.Follower, environ []string) sandbox.Config {
	writes := []string{s.DataDir}
	if s.DNS.Provider == "acme-dns" {
		writes = append(writes, sandbox.Existing(filepath.Dir(s.DNS.ACMEDNSAccountFile)))
	}
	if s.Several() {
		return sandbox.Config{Write: writes}
	}
	if writesBeside(s.KeyFile) {
		writes = append(writes, sandbox.Existing(filepath.Dir(s.KeyFile)))
	}
	named := []string{s.File, s.KeyFile, s.Application.ClientIDFile, s.Application.ClientSecretFile, s.Application.CredentialsFile,
		s.TLS.CertFile, s.TLS.KeyFile, s.AdminWebConfig, s.DNS.ACMEDNSAccountFile, s.ACME.RootsFile, s.Probe.RootsFile, s.Storage.RootsFile, s.Upstream.RootsFile}
	if web != nil {
		named = append(named, web.Files()...)
	}
	return sandbox.Config{Read: append(sandbox.ReadFor(environ), sandbox.Around(named...)...), Write: writes}
}

// warnOfSandbox says which key file of a site is beyond the sandbox: of several
// sites nobody knows at the start where their files will be.
func (d *daemon) warnOfSandbox(site config.Site, log *zap.Logger) {
	within := strings.HasPrefix(filepath.Clean(site.KeyFile), filepath.Clean(d.settings.DataDir)+"/")
	if d.confined.Load() && !within && writesBeside(site.KeyFile) {
		log.Warn("the sandbox does not allow writing where the key file is: if there is no key, make one (wellkey keygen); if others can read it, run chmod 600 on it; or set landlock to false",
			zap.String("path", site.KeyFile))
	}
}

// writesBeside reports whether something will have to be written beside a key
// file: the key, if there is none, or a trial whether the file system keeps modes,
// where others may read the file.
func writesBeside(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Mode().Perm()&0o077 != 0
}

// sandboxMetrics shows what is in force.
type sandboxMetrics struct{ *prometheus.GaugeVec }

func newSandboxMetrics(registerer prometheus.Registerer) (sandboxMetrics, error) {
	m := sandboxMetrics{prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "wellkey_sandbox_active",
		Help: "1 where the kernel keeps this process from new privileges, and from reading or writing files that it has no business with; else 0.",
	}, []string{"layer"})}
	m.set(sandbox.Status{})
	return m, registerer.Register(m)
}

func (m sandboxMetrics) set(s sandbox.Status) {
	for layer, active := range map[string]bool{"no_new_privileges": s.NoNewPrivileges, "landlock_reads": s.Reads, "landlock_writes": s.Writes} {
		value := 0.0
		if active {
			value = 1
		}
		m.WithLabelValues(layer).Set(value)
	}
}
