package storage

import (
	"encoding/json"
	"time"
)

// A record is what the file of a lock holds. Its first two fields are those of
// certmagic.FileStorage, which respects our locks as we respect its own.
type record struct {
	Created string `json:"created"`
	Updated string `json:"updated"`
	Token   string `json:"token,omitempty"` // random, per lock
	Guard   uint64 `json:"guard,omitempty"` // inode of the guard that the owner holds
	process

	damage string // why this is not a record that anybody would write; "" = it is
}

// A process tells one process from all others, on all machines.
type process struct {
	Host      string `json:"host,omitempty"`
	Boot      string `json:"boot,omitempty"`      // random, per start of the machine
	Namespace string `json:"namespace,omitempty"` // in which PID counts
	PID       int    `json:"pid,omitempty"`
	Start     uint64 `json:"start,omitempty"` // of the process, in clock ticks since boot
}

// stampLayout has one width, so that a record is rewritten in place.
const stampLayout = "2006-01-02T15:04:05.000000000Z"

func stamp(t time.Time) string { return t.UTC().Format(stampLayout) }

// encode returns the record as written at now: always as many bytes.
func (r record) encode(now time.Time) []byte {
	r.Updated = stamp(now)
	data, err := json.Marshal(r)
	if err != nil {
		panic("encoding a lock: " + err.Error()) // strings and numbers only
	}
	return append(data, '\n')
}

// maxAhead is how far a clock may be wrong before its stamp is called damage.
const maxAhead = time.Minute

// parseRecord reads what encode or certmagic.FileStorage wrote. What is neither
// has its damage named.
func parseRecord(data []byte) record {
	var r record
	if len(data) > maxRecord {
		return record{damage: "a lock that is too large"}
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return record{damage: "a lock that is not JSON"}
	}
	created, err := time.Parse(time.RFC3339Nano, r.Created)
	updated, updatedErr := time.Parse(time.RFC3339Nano, r.Updated)
	if err != nil || updatedErr != nil {
		return record{damage: "a lock without a time"}
	}
	if limit := time.Now().Add(maxAhead); created.After(limit) || updated.After(limit) {
		r.damage = "a lock stamped in the future"
	}
	return r
}

// A verdict is what we think of the owner of a record.
type verdict int

const (
	alive   verdict = iota // never to be broken
	dead                   // gone for sure
	unknown                // gone if it does not refresh its record
	damaged                // no owner to be seen
)

// judge tells whether the owner of a record lives. g is the guard of the same
// lock, which we hold; nil = the file system has none.
func (d *Directory) judge(owner record, g *guard) (v verdict, why string) {
	local := g != nil && g.local
	switch {
	case owner.Token == "" && owner.Created == "" && local:
		return damaged, owner.damage
	case owner.Token == "":
		return unknown, "nobody refreshed it"
	case d.orphan(owner.Token):
		return dead, "we could not delete it when we gave it back"
	case owner.Boot != "" && owner.Boot == d.self.Boot:
		switch {
		case g != nil && g.inode == owner.Guard:
			return dead, "its owner no longer holds the guard"
		case owner.Namespace != d.self.Namespace:
			return unknown, "nobody refreshed it"
		case owner.process.running():
			return alive, ""
		}
		return dead, "its owner is not running"
	case local && owner.Boot != "" && d.self.Boot != "":
		return dead, "the machine has started again since"
	}
	return unknown, "nobody refreshed it"
}

func (d *Directory) orphan(token string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.orphans[token]
}
