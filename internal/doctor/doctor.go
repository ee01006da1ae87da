// Package doctor examines a domain, whoever hosts its key, and changes nothing:
// how it is spelled, what the world sees of it, how its key compares with the
// local one and with what Tesla has on record in every region. It puts the
// findings of the other rooms together and says what to do first.
package doctor

import (
	"context"
	"time"

	"wellkey/internal/config"
	"wellkey/internal/finding"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// Config says what to examine. Domain and Prober are required.
type Config struct {
	Domain  string // as it was typed
	Prober  Prober
	Local   Local
	Storage func() finding.Finding     // looks how the storage is that replicas share; gives zero where there is none; nil = it is not looked at
	Passed  func() []finding.Finding   // looks whether the targets of passthrough can be reached; nil = it is not looked at
	Tesla   Tesla                      // nil = there are no credentials: Tesla is not asked
	Fault   error                      // why those that were given cannot be used; nil = they can, or there are none
	Regions []fleetapi.Region          // where Tesla is asked
	Bases   map[fleetapi.Region]string // base URLs, which tokens must be for; missing = Tesla's
	Tell    func(Group)                // called from Run with each group, in order, as soon as it is complete; nil = nobody
}

// Prober is the consumer contract for the look from outside.
type Prober interface {
	Examine(ctx context.Context, domain string, want keystore.Key) reach.Report
}

// Tesla is the consumer contract for the client of the Fleet API.
type Tesla interface {
	Status(ctx context.Context, region fleetapi.Region) error
	Token(ctx context.Context, region fleetapi.Region) (fleetapi.TokenInfo, error)
	PublicKey(ctx context.Context, region fleetapi.Region, domain string) (string, error)
}

// A Local is the key file of this machine.
type Local struct {
	Path     string       // "" = none is known for the domain
	Key      keystore.Key // zero = there is none at Path, or it cannot be read
	Warnings []string     // what somebody should look at, in whole sentences
	Err      error        // why it cannot be read; nil where there is simply none
}

// Run examines the domain. The look from outside, those at the storage and the targets
// of passthrough, and Tesla's regions go side by side. It never fails: what goes wrong is a finding, also when ctx ends early.
func Run(ctx context.Context, c Config) Report {
	report := Report{Typed: c.Domain, At: time.Now()}
	put := func(groups ...Group) {
		for _, g := range groups {
			if len(g.Findings) == 0 {
				continue
			}
			report.Groups = append(report.Groups, g)
			if c.Tell != nil {
				c.Tell(g)
			}
		}
	}
	spelling := config.CheckDomain(c.Domain)
	report.Domain = spelling.Domain
	put(domainGroup(spelling))
	var look reach.Report
	if report.Domain != "" {
		regions := c.askTesla(ctx, report.Domain)
		storage, passed := beside(c.Storage), beside(c.Passed)
		look = c.Prober.Examine(ctx, report.Domain, c.Local.Key)
		put(lookGroups(look, c.Local)...)
		if found := <-storage; found.ID != "" {
			put(Group{Name: NameStorage, Findings: []finding.Finding{found}})
		}
		put(Group{Name: NamePassthrough, Findings: <-passed})
		if c.Tesla == nil {
			put(c.notAsked())
		}
		for _, answer := range regions {
			put(c.regionGroup(<-answer, report.Domain, published(look)))
		}
	}
	report.conclude(look)
	report.Seconds = time.Since(report.At).Seconds()
	return report
}

// beside begins to look, and gives what was found; zero where there is nobody to look.
func beside[T any](look func() T) <-chan T {
	found := make(chan T, 1)
	if look == nil {
		close(found)
		return found
	}
	go func() { found <- look() }()
	return found
}
