package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/contain"
	"wellkey/internal/pause"
	"wellkey/internal/smallfile"
)

// maxFile is far above any chain or key.
const maxFile = 1 << 20

// ReasonFiles is the reason of a change of the certificate files that could not
// be taken over.
const ReasonFiles Reason = "files"

// FilesConfig says which files Files serves.
type FilesConfig struct {
	Domain   string
	CertFile string // the chain, leaf first, in PEM
	KeyFile  string // its key, in PEM

	Common
}

// Files serves a certificate that somebody else renews. It is safe for
// concurrent use.
type Files struct {
	holder
	cfg FilesConfig
	log *zap.Logger

	panics *contain.Part

	mu      sync.Mutex // guards what follows
	seen    [sha256.Size]byte
	suspect [sha256.Size]byte // bad content that may be half of a change
	readAt  time.Time         // when the files were last taken over, or looked at on demand, and good
	last    *Failure
}

// A fileFault is a pair of files that cannot be served.
type fileFault struct {
	cause, fix string
	err        error
}

func (f *fileFault) Error() string {
	if f.err == nil {
		return f.cause + "; " + f.fix
	}
	return fmt.Sprintf("%s: %v; %s", f.cause, f.err, f.fix)
}

func (f *fileFault) Unwrap() error { return f.err }

// NewFiles reads the files once. The error is for the operator. A certificate
// that is out of date is served all the same, and shows in Status.
func NewFiles(cfg FilesConfig) (*Files, error) {
	cfg.Common.setDefaults()
	if cfg.Wait == nil {
		cfg.Wait = pause.For
	}
	f := &Files{cfg: cfg, log: cfg.Logger.Named("certs").With(zap.String("domain", cfg.Domain))}
	f.domain, f.panics = cfg.Domain, contain.New("certificates", f.log)
	cert, sum, err := f.read()
	if err != nil {
		return nil, err
	}
	f.seen, f.readAt = sum, cfg.Now()
	f.serve(cert)
	if cfg.Registerer != nil {
		if err := errors.Join(cfg.Registerer.Register(f.panics), registerTimes(cfg.Registerer, f.panics, func(yield func(string, Status) bool) { yield(cfg.Domain, f.served()) })); err != nil {
			return nil, fmt.Errorf("registering certificate metrics: %w", err)
		}
	}
	return f, nil
}

// Run takes over changed files until ctx is done; it then returns nil. What
// counts is the content, so a symlink that is swapped is a change. A change that
// cannot be served leaves the last good certificate in place.
func (f *Files) Run(ctx context.Context) error { return f.panics.Again(ctx, f.follow) }

func (f *Files) follow(ctx context.Context) error {
	for f.cfg.Wait(ctx, f.cfg.Poll) == nil {
		// Two files cannot change at the same moment: a bad pair is bad only if
		// it is still so at the next look.
		_ = f.reload(false) // recorded, and logged once
	}
	return nil
}

// Reload looks at the files now, as after SIGHUP.
func (f *Files) Reload() error { return f.reload(true) }

func (f *Files) reload(sure bool) error {
	cert, sum, err := f.read()
	if err == nil {
		err = f.worse(cert)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if sum == f.seen && (err == nil) == (f.last == nil) {
		if sure && err == nil {
			f.readAt = f.cfg.Now()
		}
		return err
	}
	if err != nil {
		if !sure && sum != f.suspect {
			f.suspect = sum
			return err
		}
		f.seen = sum
		f.record(err)
		return err
	}
	f.seen, f.suspect, f.last, f.readAt = sum, sum, nil, f.cfg.Now()
	if f.serve(cert) {
		f.log.Info("certificate loaded", zap.String("issuer", issuerName(cert.Leaf)), zap.String("serial", serial(cert.Leaf)), zap.Time("not_after", cert.Leaf.NotAfter))
		f.cfg.OnChange(f.domain)
	}
	return nil
}

// record keeps err for the status. The caller holds mu.
func (f *Files) record(err error) {
	failure := Failure{At: f.cfg.Now(), Reason: ReasonFiles, Text: quote(err.Error())}
	if fault := (*fileFault)(nil); errors.As(err, &fault) {
		failure.Cause, failure.Fix = fault.cause, fault.fix
	}
	f.last = &failure
	f.log.Warn("changed certificate files are not usable; the old certificate stays in use",
		zap.String("cause", failure.Cause), zap.String("fix", failure.Fix), zap.String("error", failure.Text))
}

// worse refuses a certificate that is out of date where the current one is not.
func (f *Files) worse(cert *tls.Certificate) error {
	now := f.cfg.Now()
	if current := f.current.Load(); dateWarning(cert.Leaf, now) != "" && dateWarning(current.Leaf, now) == "" {
		return &fileFault{cause: fmt.Sprintf("the new certificate in tls_cert_file %q %s", f.cfg.CertFile, dateWarning(cert.Leaf, now)),
			fix: "look at what renews it, and at this host's clock"}
	}
	return nil
}

// read reads both files and checks that they make a pair for the domain. The sum
// tells their contents apart, or the reasons why they cannot be read.
func (f *Files) read() (cert *tls.Certificate, sum [sha256.Size]byte, err error) {
	const fix = "check the path, and that the user of wellkey may read it"
	certPEM, err := smallfile.Read(f.cfg.CertFile, maxFile)
	if err != nil {
		return nil, sha256.Sum256([]byte(err.Error())), &fileFault{"tls_cert_file cannot be read", fix, err}
	}
	keyPEM, err := smallfile.Read(f.cfg.KeyFile, maxFile)
	if err != nil {
		return nil, sha256.Sum256([]byte(err.Error())), &fileFault{"tls_key_file cannot be read", fix, err}
	}
	certSum, keySum := sha256.Sum256(certPEM), sha256.Sum256(keyPEM)
	sum = sha256.Sum256(append(certSum[:], keySum[:]...))
	cert, err = parsePair(certPEM, keyPEM, f.cfg.Domain)
	if err != nil {
		return nil, sum, f.fault(err)
	}
	return cert, sum, nil
}

// fault explains why the files are no pair for the domain.
func (f *Files) fault(err error) error {
	wrongName := x509.HostnameError{}
	switch {
	case errors.As(err, &wrongName):
		return &fileFault{fmt.Sprintf("the certificate in tls_cert_file %q is for another name", f.cfg.CertFile), "give a certificate for " + f.cfg.Domain, err}
	case strings.Contains(err.Error(), "does not match"):
		return &fileFault{fmt.Sprintf("the key in tls_key_file %q is not that of the certificate in tls_cert_file %q", f.cfg.KeyFile, f.cfg.CertFile),
			"give the key that was made for this certificate, and the leaf first in the chain", err}
	}
	return &fileFault{fmt.Sprintf("tls_cert_file %q and tls_key_file %q are not a certificate and its key", f.cfg.CertFile, f.cfg.KeyFile),
		"give the whole chain, and the unencrypted key, both in PEM", err}
}

// Add does nothing: the files say whom they are for.
func (f *Files) Add(string) {}

// Remove does nothing.
func (f *Files) Remove(string) {}

// Has reports whether the certificate is for a domain.
func (f *Files) Has(domain string) bool { return f.current.Load().Leaf.VerifyHostname(domain) == nil }

// Status returns how it stands with a domain.
func (f *Files) Status(domain string) Status {
	s := f.served()
	if !f.Has(domain) {
		s.Have = false
		s.Warning = fmt.Sprintf("the certificate in tls_cert_file is not for %s: give one that names it, too, or set tls to acme", domain)
	}
	return s
}

// served returns how it stands with the certificate.
func (f *Files) served() Status {
	s := f.holder.status("files")
	cert := f.current.Load()
	s.Warning = dateWarning(cert.Leaf, f.cfg.Now())
	if s.Warning != "" {
		s.Warning = "the certificate " + s.Warning
	} else if len(cert.Certificate) == 1 && s.Issuer != cert.Leaf.Subject.CommonName {
		s.Warning = "the chain in tls_cert_file has no intermediate certificate: many clients, and Tesla, will not trust it; give the full chain"
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.ReadAt = f.readAt
	if f.last != nil {
		last := *f.last
		s.LastError = &last
	}
	return s
}

// dateWarning says what is wrong with the dates of cert, or "".
func dateWarning(cert *x509.Certificate, now time.Time) string {
	switch {
	case now.After(cert.NotAfter):
		return "expired at " + cert.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(cert.NotBefore):
		return "is not valid before " + cert.NotBefore.UTC().Format(time.RFC3339)
	}
	return ""
}
