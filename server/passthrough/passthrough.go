// Package passthrough leads TLS connections for other names than ours to other
// servers, untouched: so that fleet-telemetry, which wants mutual TLS from cars,
// shares port 443 with the key.
//
// Of a connection only the ClientHello is read, for the name in it. Nothing is
// decrypted and nothing is changed; the target sees the client's own handshake.
// Connections that are passed on have limits of their own, so that they and those
// to the key cannot take each other's place.
package passthrough

import (
	"cmp"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/contain"
	"wellkey/server/places"
)

// Limits of what is passed on.
const (
	// A connection that is passed on costs six file descriptors and some 20 kB.
	MaxConnections = 8192
	// A mobile network puts many cars behind one address. But who lies still is cut after
	// half an hour only, so see places.New for where there are places for fewer.
	maxPerAddress = 1024
	// The target is beside us, but may be on another continent.
	dialTimeout = 5 * time.Second
	// How often it is looked whether anything moves. Who is silent for two to three
	// of these, both ways, is cut; a peer that is gone is found by TCP's keep-alive
	// long before.
	idleInterval = 15 * time.Minute
	// The same where one end has finished. Most that speak TLS finish together, so the
	// other one has only forgotten to.
	halfInterval = time.Minute
)

// A Route is one name with its target.
type Route struct {
	Name   string // lower-case host; "*." and a host for the names one label below; "*" for all others
	Target string // host:port
}

// Config says what goes where.
type Config struct {
	Routes []Route
	// Own reports whether a name is ours, which is never passed on, whatever Routes
	// say. It must not block.
	Own func(name string) bool
	// ProxyProtocol sends a PROXY v2 header to the targets.
	ProxyProtocol bool
	// Connections is how many are passed on at a time; 0 is MaxConnections.
	Connections int
	// Registerer receives the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Panics contains those of single connections; nil contains none.
	Panics *contain.Part
	// Logger may be nil.
	Logger *zap.Logger
}

// A Passthrough passes connections on. Its methods are safe for concurrent use.
type Passthrough struct {
	config  Config
	targets []*Target // in the order in which they are tried
	logger  *zap.Logger
	dialer  net.Dialer
	places  *places.Places
}

// New returns a Passthrough that does nothing yet.
func New(c Config) (*Passthrough, error) {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	p := &Passthrough{
		config: c, logger: c.Logger.Named("passthrough"), dialer: net.Dialer{Timeout: dialTimeout},
		places: places.New(cmp.Or(c.Connections, MaxConnections), maxPerAddress),
	}
	for _, route := range c.Routes {
		if c.Own(route.Name) {
			return nil, errors.New("passthrough: the own name " + route.Name + " cannot be passed on")
		}
		p.targets = append(p.targets, &Target{Route: route})
	}
	// A name wins over a star, and "*" is last.
	rank := func(t *Target) int {
		switch {
		case t.Name == "*":
			return 2
		case strings.HasPrefix(t.Name, "*."):
			return 1
		}
		return 0
	}
	slices.SortStableFunc(p.targets, func(a, b *Target) int { return rank(a) - rank(b) })
	return p, p.register(c.Registerer)
}

// Goroutines returns about how many of them pass connections on.
func (p *Passthrough) Goroutines() int {
	return 3 * p.places.Count() // one a direction, and one that looks whether anything moves
}

// Match returns where connections for name go, nil where they are ours: those for
// the own name, and those without any.
func (p *Passthrough) Match(name string) *Target {
	if name == "" || p.config.Own(name) {
		return nil
	}
	for _, t := range p.targets {
		if t.matches(name) {
			return t
		}
	}
	return nil
}

func (t *Target) matches(name string) bool {
	if suffix, ok := strings.CutPrefix(t.Name, "*."); ok {
		_, parent, _ := strings.Cut(name, ".")
		return parent == suffix
	}
	return t.Name == "*" || t.Name == name
}

// Close cuts all connections and returns when they are gone. What comes after it
// is closed.
func (p *Passthrough) Close() { p.places.Close() }
