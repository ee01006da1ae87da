package server

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// A client is a class of those who fetch the key. It goes by what a request says
// of itself, so it is a hint for people, not a proof.
type client int

const (
	clientTeslaApp client = iota // an owner's phone, while it pairs a car
	clientWellkey                // our own look from outside
	clientOther
	numClients
)

// String returns the label of c.
func (c client) String() string { return [numClients]string{"tesla_app", "wellkey", "other"}[c] }

// clientOf returns the class of r; answer is the probe answer that it is given.
func clientOf(r *http.Request, answer string) client {
	switch {
	case answer != "":
		return clientWellkey
	case strings.HasPrefix(r.UserAgent(), "TeslaV4Watch/"):
		// Seen in teslamotors/vehicle-command#422; the agent of Tesla's own
		// servers is not documented.
		return clientTeslaApp
	default:
		return clientOther
	}
}

// A Fetch says how often one class of client was given the key (GET, answered
// with 200 or 304) since the start of the process.
type Fetch struct {
	Client string // "tesla_app", "wellkey" or "other"
	Count  uint64
	Last   time.Time // zero: never
}

// fetches counts by class of client.
type fetches [numClients]struct {
	count atomic.Uint64
	last  atomic.Int64 // Unix time in nanoseconds, 0 for never
}

func (f *fetches) add(c client) {
	f[c].count.Add(1)
	f[c].last.Store(time.Now().UnixNano())
}

func (f *fetches) snapshot() []Fetch {
	all := make([]Fetch, numClients)
	for c := range numClients {
		all[c] = Fetch{Client: c.String(), Count: f[c].count.Load()}
		if last := f[c].last.Load(); last != 0 {
			all[c].Last = time.Unix(0, last)
		}
	}
	return all
}
