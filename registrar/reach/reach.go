// Package reach looks at a domain from outside, as Tesla and an owner's phone
// do: it resolves the name, connects to every address apart, verifies the
// certificate, fetches the public key and compares it. Every check gives a
// finding for people, and all of them together a verdict for the registrar.
//
// What it meets is not trusted: addresses that are not public are refused, the
// address that is dialed is the very one that was checked (no name is resolved
// twice, so DNS rebinding gains nothing), redirects are not followed, and both
// time and bytes are bounded. Nothing that fails here is more than a finding.
package reach

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/contain"
	"wellkey/internal/finding"
	"wellkey/internal/probetoken"
	"wellkey/keystore"
)

// Path is where Tesla looks for the key of a domain.
const Path = "/.well-known/appspecific/com.tesla.3p.public-key.pem"

// A Config says how to look. The zero value looks as the public internet does.
type Config struct {
	Resolvers    []string              // IP addresses or host:port; empty = three public resolvers
	Roots        *x509.CertPool        // whom to trust; nil = the system's roots
	Port         int                   // of HTTPS; 0 = 443
	HTTPPort     int                   // of plain HTTP, for Examine; 0 = 80
	AllowPrivate bool                  // connect to addresses that are not public, too
	Token        *probetoken.Token     // whom to recognise as this very process; nil = nobody
	CA           string                // for Examine: the CA in use, as CAA records name it ("letsencrypt.org"); "" = unknown
	FallbackCA   string                // the CA that is asked where that one fails; "" = none, or unknown
	Challenge    Challenge             // for Examine
	UserAgent    string                // "" = "wellkey"
	Timeout      time.Duration         // for a whole look; 0 = 10 s
	Logger       *zap.Logger           // nil = none
	Registerer   prometheus.Registerer // nil = no metrics
}

// A Prober looks at domains. It is safe for concurrent use and holds nothing
// between two looks.
type Prober struct {
	config Config
	log    *zap.Logger
	panics *contain.Part // what is looked at comes from strangers, and a look must never end the process
}

// A Report is what one look at a domain gave. It is not changed after it was
// returned.
type Report struct {
	Domain    string
	At        time.Time     // when the look began
	Duration  time.Duration // how long it took
	Verdict   Verdict
	Reason    string            // one of Reasons; "" when reachable
	Findings  []finding.Finding // those of the name first, then those of each address in the order of Addresses
	Addresses []Address         // every address that the name resolves to, IPv4 first, at most 16
}

// An Address is what was seen at one address of the domain.
type Address struct {
	IP     netip.Addr
	Family string       // "ipv4" or "ipv6"
	OK     bool         // it gives our key with a certificate that holds
	Reason string       // why not: one of Reasons; "" when OK
	Key    keystore.Key // what was fetched; zero = no key
	Self   bool         // this very process answered
}

// New returns a Prober, or an error that names every fault of the config.
func New(config Config) (*Prober, error) {
	var faults []error
	if len(config.Resolvers) == 0 {
		config.Resolvers = PublicResolvers()
	}
	resolvers := make([]string, len(config.Resolvers))
	for i, text := range config.Resolvers {
		var err error
		if resolvers[i], err = resolverAddress(text); err != nil {
			faults = append(faults, err)
		}
	}
	config.Resolvers = resolvers
	for _, port := range []struct {
		value    *int
		fallback int
	}{{&config.Port, 443}, {&config.HTTPPort, 80}} {
		if *port.value == 0 {
			*port.value = port.fallback
		}
		if *port.value < 1 || *port.value > 65535 {
			faults = append(faults, fmt.Errorf("port %d is not between 1 and 65535", *port.value))
		}
	}
	if config.Timeout == 0 {
		config.Timeout = 10 * time.Second
	}
	if config.Timeout < 0 {
		faults = append(faults, fmt.Errorf("timeout %v is negative", config.Timeout))
	}
	if config.UserAgent == "" {
		config.UserAgent = "wellkey"
	}
	if config.Logger == nil {
		config.Logger = zap.NewNop()
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	p := &Prober{config: config, log: config.Logger.Named("reach")}
	p.panics = contain.New("reach", p.log)
	if config.Registerer != nil {
		if err := config.Registerer.Register(p.panics); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return p, nil
}

// resolverAddress returns text as host:port, with port 53 where it names none.
func resolverAddress(text string) (string, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return net.JoinHostPort(ip.String(), "53"), nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = text, "53"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || !isHostname(host) && net.ParseIP(host) == nil {
		return "", fmt.Errorf("resolver %q is neither an IP address nor host:port", text)
	}
	return net.JoinHostPort(host, port), nil
}

// Check looks at domain once and compares the key that it finds there with
// want; the zero Key compares with nothing. It returns within the Timeout, or
// sooner when ctx ends. It never fails: what goes wrong is a finding.
func (p *Prober) Check(ctx context.Context, domain string, want keystore.Key) Report {
	return p.report(ctx, look{prober: p, domain: domain, want: want})
}

// Examine is Check with the further checks of a thorough examination, none of
// which changes the verdict: CAA records, the name of the DNS challenge, a handshake without SNI, HEAD, the
// client of an owner's phone, port 80, and the clock.
func (p *Prober) Examine(ctx context.Context, domain string, want keystore.Key) Report {
	return p.report(ctx, look{prober: p, domain: domain, want: want, thorough: true})
}

func (p *Prober) report(ctx context.Context, l look) Report {
	report := Report{Domain: l.domain, At: time.Now()}
	bounded, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	report.Verdict, report.Reason = Inconclusive, ReasonInternal // what stands if the look panics
	p.panics.Do(func() { l.into(bounded, &report) })
	if errors.Is(ctx.Err(), context.Canceled) {
		// Everything that was under way failed because of that: it says nothing about the domain.
		report = Report{Domain: l.domain, At: report.At, Verdict: Inconclusive, Reason: ReasonCanceled}
	}
	report.Duration = time.Since(report.At)
	p.log.Debug("looked from outside", zap.String("domain", l.domain), zap.String("verdict", string(report.Verdict)),
		zap.String("reason", report.Reason), zap.Int("addresses", len(report.Addresses)), zap.Duration("duration", report.Duration))
	return report
}

// together calls f with 0 to n-1 side by side, each contained, and returns when
// all have ended.
func (p *Prober) together(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { p.panics.Do(func() { f(i) }) })
	}
	group.Wait()
}

// PublicResolvers are those that are asked where no others are set: of three
// operators, in three networks.
func PublicResolvers() []string { return []string{"1.1.1.1:53", "8.8.8.8:53", "9.9.9.9:53"} }
