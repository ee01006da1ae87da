package admin

import (
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// NewAt is New with a clock.
func NewAt(c Config, now func() time.Time) (*Admin, error) { return newAdmin(c, now) }

// Handler is what the listener serves.
func (a *Admin) Handler() http.Handler { return a.server.Handler }

// Relative is a time as it is seen from now.
func Relative(t, now time.Time) string { return relative(t, now) }

// TitleOf is the name of a check of the look from outside.
func TitleOf(id string) string { return titleOf(id) }

// Gatherer is what a scrape gathers, with the checks of a registry.
func (a *Admin) Gatherer() prometheus.Gatherer {
	return prometheus.Gatherers{a.config.Registry, a.collector}
}

// Conditions are all conditions, from the best to the worst.
var Conditions = conditions

// Addr returns the real address, "" while it is not bound.
func (a *Admin) Addr() string { return a.socket.Addr() }

// Places returns what counts connections, and closes those that are more than most, of
// which some are kept for this machine.
func Places(most, kept int, now func() time.Time) func(net.Conn, http.ConnState) {
	return newPlaces(most, kept, now).state
}

// How many connections are held, and how many of them for this machine alone.
const (
	MostConnections = mostConnections
	KeptPlaces      = keptPlaces
)
