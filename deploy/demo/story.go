package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wellkey/deploy/trial"
	"wellkey/internal/finding"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testhost"
	"wellkey/internal/testworld"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// defaultDomain is so short that the address of its key fits into 80 columns.
const defaultDomain = "example.com"

var regions = []fleetapi.Region{fleetapi.NA, fleetapi.EU}

const (
	// decision is how long -once waits. A good run takes 3 s; the longest fault,
	// an answer that never comes, 15 s more; and a machine may be busy.
	decision = 3 * time.Minute
	// moment is for the reader: a person takes longer from the portal to the file.
	moment = 300 * time.Millisecond
)

// errTold is the error of a demo that has said already what is wrong.
var errTold error = trial.Wrong(nil)

// A story is one run of the demo.
type story struct {
	options
	out     *timeline
	dir     string
	world   *testworld.World
	serving chan struct{} // closed when wellkey is set
	wellkey *testworld.Run

	read     int                      // entries of the log that were told
	looked   bool                     // wellkey has looked at itself from outside
	waits    bool                     // it was said that credentials are missing
	paired   bool                     // the link for owners was told: all is registered
	accepted map[fleetapi.Region]bool // Tesla took a registration, which is to be read back
	states   map[fleetapi.Region]registrar.State
	reasons  map[fleetapi.Region]string
}

// show runs the demo in a directory of its own, or in the one of -data.
func show(ctx context.Context, o options, out *timeline) (err error) {
	s := &story{options: o, out: out, serving: make(chan struct{}), accepted: map[fleetapi.Region]bool{},
		states: map[fleetapi.Region]registrar.State{}, reasons: map[fleetapi.Region]string{}}
	if o.data == "" {
		if s.dir, err = os.MkdirTemp("", "wellkey-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	} else if s.dir, err = filepath.Abs(o.data); err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	kept, err := loadKeepsake(s.dir)
	if err != nil {
		return err
	}
	if kept.CAAddr == "" {
		// A second run listens there again, so nobody else is to get it in between.
		if kept.CAAddr, err = testhost.Addr(); err != nil {
			return err
		}
	}
	s.world, err = testworld.Start(testworld.Config{Domain: o.domain, Dir: s.dir, Host: o.host,
		CAAddr: kept.CAAddr, FormerRoots: []byte(kept.Roots), OnRequest: s.requested})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.world.Close()) }()
	kept.recall(s.world)
	if err := s.play(ctx); err != nil || o.data == "" {
		return err
	}
	return saveKeepsake(s.dir, s.world)
}

// play starts wellkey, tells the story to its end, and stops wellkey.
func (s *story) play(ctx context.Context) error {
	s.surroundings()
	settings, err := s.fault.inject(s.world.Tesla)
	if err != nil {
		return err
	}
	s.world.CA.Intercept(s.ordered)
	s.wellkey = s.world.Serve(settings...)
	close(s.serving)
	err = s.follow(ctx)
	s.out.p.Waiting("")
	if code := s.wellkey.Stop(); code != 0 && err == nil {
		err = fmt.Errorf("wellkey stopped with exit code %d:\n%s", code, s.wellkey.Log)
	}
	if err == nil && !s.once {
		s.out.p.Print("\n") // a terminal has shown ^C
		s.out.event(finding.OK, "stopped, as asked")
	}
	return err
}

// follow tells what happens until it is decided, and without -once until ctx is
// done.
func (s *story) follow(ctx context.Context) error {
	limited, cancel := ctx, context.CancelFunc(func() {})
	if s.once {
		limited, cancel = context.WithTimeout(ctx, decision)
	}
	defer cancel()
	err := s.tellUntil(limited, s.decided)
	switch {
	case ctx.Err() != nil && !s.once:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		s.out.event(finding.Fail, "it takes too long")
	case err != nil && !errors.Is(err, context.Canceled):
		s.out.event(finding.Fail, "it cannot go on, %v", err)
		return errTold
	}
	if s.once {
		return s.verdict(ctx)
	}
	s.addresses()
	err = s.tellUntil(ctx, func() bool { return false })
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tellUntil tells the log, line by line, until enough holds.
func (s *story) tellUntil(ctx context.Context, enough func() bool) error {
	for !enough() {
		e, err := s.wellkey.Log.Next(ctx, s.read)
		if err != nil {
			return err
		}
		s.read++
		if err := s.tell(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// decided reports whether every region has come to an end, good or bad, and
// wellkey has seen itself from outside.
func (s *story) decided() bool {
	failed := 0
	for _, region := range regions {
		switch s.states[region] {
		case registrar.Registered:
		case registrar.Refused, registrar.Mismatch, registrar.Unavailable:
			failed++
		default:
			return false
		}
	}
	return s.looked && (failed > 0 || s.paired)
}

// verdict is what -once ends with.
func (s *story) verdict(ctx context.Context) error {
	s.out.heading("The outcome")
	wrong := false
	for _, region := range regions {
		if state := s.states[region]; state != registrar.Registered {
			wrong = true
			s.out.event(finding.Fail, "%s: not registered: %s, %s", region, cmp.Or(state, registrar.Pending), cmp.Or(s.reasons[region], registrar.ReasonStarting))
		}
	}
	if !wrong && !s.fault.isZero() {
		wrong = true
		s.out.event(finding.Fail, "the fault %s was not met: nothing had to be asked", s.fault.name)
	}
	if wrong {
		return errTold
	}
	if err := s.world.Check(ctx, regions...); err != nil {
		for line := range strings.Lines(err.Error()) {
			s.out.event(finding.Fail, "%s", strings.TrimSpace(line))
		}
		return errTold
	}
	s.out.event(finding.OK, "seen from outside: a chain to the CA's root, the key in 178 bytes, and the same key on record in %s and %s", regions[0], regions[1])
	orders, posts := s.world.CA.Orders(), s.world.Tesla.Count(fleetapi.OpRegister)
	if orders == 0 && posts == 0 {
		s.out.event(finding.OK, "nothing was to be done: no order to the CA, no request to Tesla that changes anything")
	} else {
		s.out.event(finding.OK, "it took %d order to the CA and %d registrations", orders, posts)
	}
	return nil
}

// requested puts a request to Tesla between the lines of wellkey's log, before
// its answer is sent: so what it leads to comes after it.
func (s *story) requested(r fleetsim.Request) {
	s.note(map[string]any{"logger": "tesla", "message": "request", "operation": r.Operation, "region": r.Region,
		"status": r.Status, "download": r.Download, "fault": r.Fault})
}

// ordered does the same with an order to the CA.
func (s *story) ordered(_ http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == testca.NewOrderPath {
		s.note(map[string]any{"logger": "ca", "message": "order"})
	}
	return false
}

func (s *story) note(fields map[string]any) {
	<-s.serving
	line, _ := json.Marshal(fields)                // texts and numbers always marshal
	_, _ = s.wellkey.Log.Write(append(line, '\n')) // never fails
}
