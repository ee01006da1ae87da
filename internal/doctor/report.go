package doctor

import (
	"time"

	"wellkey/internal/finding"
)

// A Report is what one examination gave. Its JSON is stable: fields are added,
// never renamed or taken away, and so are the ids of Checks.
type Report struct {
	Typed   string           `json:"typed"`            // the domain as it was given
	Domain  string           `json:"domain"`           // the host that was examined; "" where Typed holds none
	At      time.Time        `json:"at"`               // when the examination began
	Seconds float64          `json:"duration_seconds"` // how long it took
	Outcome Outcome          `json:"outcome"`          // what the whole comes to
	Verdict string           `json:"verdict"`          // what to do first, for people
	First   *finding.Finding `json:"first,omitempty"`  // the finding that Verdict is about; missing where nothing is wrong
	Groups  []Group          `json:"groups"`           // what was checked, in the order of Checks
}

// A Group is the checks of one subject.
type Group struct {
	Name     Name              `json:"name"`
	On       string            `json:"on,omitempty"` // the IP address of an address, the region of a registration
	Findings []finding.Finding `json:"findings"`     // at least one
}

// A Name is the subject of a group. It is one of a closed set.
type Name string

// The subjects, in the order in which they are told.
const (
	NameDomain      Name = "domain"      // how it is spelled
	NameDNS         Name = "dns"         // what resolvers say
	NameAddress     Name = "address"     // one address: its connection, TLS and HTTP
	NameKey         Name = "key"         // what is published, and the local key
	NameClock       Name = "clock"       // of this machine
	NameStorage     Name = "storage"     // that replicas share, where there is one
	NamePassthrough Name = "passthrough" // the servers for other names, where there are some
	NameTesla       Name = "tesla"       // one region, or none where Tesla was not asked
)

// An Outcome is what an examination comes to. It is one of a closed set.
type Outcome string

// The outcomes.
const (
	Well      Outcome = "well"      // nothing has to be fixed; there may be warnings
	Fix       Outcome = "fix"       // something must be fixed
	Undecided Outcome = "undecided" // nothing wrong was found, but something could not be decided
)
