package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"wellkey/internal/finding"
	"wellkey/internal/fleetsim"
	"wellkey/internal/pause"
	"wellkey/internal/testworld"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// surroundings tells what runs before wellkey does.
func (s *story) surroundings() {
	s.out.p.Printf("%s\n", s.out.p.Bold("wellkey demo: from nothing to registered, on this machine alone"))
	s.out.heading("The world around it")
	s.out.event(finding.OK, "an ACME CA, Pebble, at %s", s.world.CA.Directory())
	s.out.event(finding.OK, "Tesla's Fleet API, simulated: tokens at %s, na at %s, eu at %s",
		s.world.Tesla.AuthURL(), s.world.Tesla.BaseURL(fleetapi.NA), s.world.Tesla.BaseURL(fleetapi.EU))
	if !s.fault.isZero() {
		s.out.event(finding.Warn, "with the fault %s: %s", s.fault.name, s.fault.summary)
	}
	s.out.heading("1. A DNS record")
	s.out.event(finding.OK, "the DNS server at %s has %s A %s", s.world.DNS.Addr(), s.domain, s.host)
	if s.newcomer() {
		s.world.Tesla.RemoveApp(testworld.ClientID) // until somebody makes it in the portal
		s.out.heading("2. wellkey, with no more than a domain")
	} else {
		s.out.heading("2. wellkey, with what an earlier run left in " + s.dir)
	}
}

// newcomer reports whether nobody has written credentials yet.
func (s *story) newcomer() bool {
	_, err := os.Stat(s.world.CredentialsFile)
	return errors.Is(err, fs.ErrNotExist)
}

// tell tells one line of the log, in the words of the story.
func (s *story) tell(ctx context.Context, e testworld.Entry) error {
	switch e.Message {
	case "listening":
		s.out.event(finding.OK, "%s listens on %s", e.Text("listener"), e.Text("address"))
	case "key changed", "key loaded":
		s.key(e)
	case "order":
		s.out.event("", "the CA takes an order for %s", s.domain)
	case "certificate obtained", "certificate loaded":
		s.certificate(e)
	case "key reachable from outside":
		s.out.event(finding.OK, "reachable: this key is what others see at %s", s.domain)
		s.looked = true
		return s.portal(ctx)
	case "credentials in use":
		s.out.event(finding.OK, "credentials of %s picked up", e.Text("client_id"))
		s.out.p.Waiting("waiting for Tesla")
	case "request":
		s.request(e)
	case "registration":
		s.registration(e)
	case "registered in every region; owners can pair their cars":
		s.paired = true
		s.out.event(finding.OK, "owners can pair their cars: %s", e.Text("pairing_link"))
	default:
		s.other(e)
	}
	return nil
}

func (s *story) key(e testworld.Entry) {
	how := map[string]string{"generated": "key generated", "file": "key loaded", "restored": "public half of the key restored"}[e.Text("origin")]
	if e.Text("former_fingerprint") != "" {
		how = "key changed"
	}
	s.out.event(finding.OK, "%s: %s\n%s", how, e.Text("path"), s.out.p.Bold(e.Text("fingerprint")))
}

func (s *story) certificate(e testworld.Entry) {
	s.out.event(finding.OK, "%s, signed by %s, for %s; to be renewed in %s",
		e.Message, e.Text("issuer"), until(e.Text("not_after")), until(e.Text("renewal")))
}

// portal is the part of the operator, who comes after wellkey is up: Tesla's
// portal looks at the site first.
func (s *story) portal(ctx context.Context) error {
	if !s.newcomer() {
		return nil
	}
	s.out.heading("3. An application in Tesla's portal")
	s.world.Tesla.AddApp(fleetsim.App{ClientID: testworld.ClientID, Secret: testworld.ClientSecret, Name: "Demo",
		AllowedOrigins: []string{"https://" + s.domain}})
	s.out.event(finding.OK, "its allowed origin is https://%s, its client id %s", s.domain, testworld.ClientID)
	if err := pause.For(ctx, moment); err != nil {
		return err
	}
	s.out.heading("4. Its credentials, in a file")
	if err := s.world.WriteCredentials(); err != nil {
		return err
	}
	s.out.event(finding.OK, "written: %s", s.world.CredentialsFile)
	s.out.p.Waiting("wellkey looks for them every 2 seconds")
	return nil
}

// request tells what Tesla saw and answered.
func (s *story) request(e testworld.Entry) {
	region, operation, status := fleetapi.Region(e.Text("region")), fleetapi.Operation(e.Text("operation")), e.Text("status")
	asked := map[fleetapi.Operation]string{
		fleetapi.OpToken:     "asks for a token",
		fleetapi.OpRegister:  "registers (POST)",
		fleetapi.OpPublicKey: "asks which key is on record",
	}[operation]
	if operation == fleetapi.OpPublicKey && s.accepted[region] {
		asked = "reads the key back"
	}
	answer := status
	switch {
	case status == "0":
		answer = "no answer"
	case e.Text("fault") == "true":
		answer += ", the fault"
	case operation == fleetapi.OpRegister:
		s.accepted[region] = status == "200"
		if how := e.Text("download"); how != "" {
			asked += ", Tesla downloads the key (" + how + ")"
		}
	case operation == fleetapi.OpPublicKey && status != "200":
		answer += ", none"
	}
	s.out.event("", "%s: %s: %s", region, asked, answer)
}

// registration tells the state of a region.
func (s *story) registration(e testworld.Entry) {
	region, state := fleetapi.Region(e.Text("region")), registrar.State(e.Text("state"))
	s.states[region], s.reasons[region] = state, e.Text("reason")
	switch state {
	case registrar.Registered:
		s.out.event(finding.OK, "%s", s.out.p.Bold(string(region)+": registered in "+region.Name())+", with this key")
	case registrar.WaitingForCredentials:
		if !s.waits {
			s.out.event("", "no credentials yet: it serves, and waits for them")
		}
		s.waits = true
	case registrar.Pending:
		s.out.event("", "%s: waits: %s", region, e.Text("seen"))
	default:
		s.failure(region, state, e)
	}
}

// failure tells why a region is not registered.
func (s *story) failure(region fleetapi.Region, state registrar.State, e testworld.Entry) {
	status := finding.Warn
	if e.Level == "error" {
		status = finding.Fail
	}
	s.out.event(status, "%s", s.out.p.Bold(string(region)+": "+string(state)+", "+e.Text("reason")))
	s.out.detail("what", e.Text("seen"))
	s.out.detail("cause", e.Text("cause"))
	s.out.detail("fix", e.Text("fix"))
	if next := e.Text("next"); next != "" {
		s.out.detail("next try", "in "+until(next)+", by itself")
	}
	if s.fault.absentOnly() {
		about := fleetapi.Subject{Region: region, Domain: s.domain, ClientID: testworld.ClientID,
			BaseURL: s.world.Tesla.BaseURL(region), AuthURL: s.world.Tesla.AuthURL()}
		s.out.detail("fault", "Tesla's answer to every question is "+s.fault.answer(about)+": "+about.Fill(s.fault.row.Cause)+" "+about.Fill(s.fault.row.Fix))
	}
}

// other tells what has no words of its own, if somebody should know it.
func (s *story) other(e testworld.Entry) {
	status := map[string]finding.Status{"warn": finding.Warn, "error": finding.Fail}[e.Level]
	switch {
	case e.Fields == nil:
		s.out.event(finding.Fail, "wellkey says: %s", e.Message)
	case status != "":
		s.out.event(status, "%s", e.Message)
		for _, name := range []string{"warning", "reason", "seen", "error", "cause", "fix"} {
			s.out.detail(name, e.Text(name))
		}
	}
}

// addresses tells where to look.
func (s *story) addresses() {
	_, port, _ := net.SplitHostPort(s.world.HTTPSAddr) // it comes from a listener
	after := "removed"
	if s.data != "" {
		after = "kept"
	}
	s.out.heading("It runs on. Look at it, from another terminal:")
	s.out.p.Printf("the key  curl --cacert %s \\\n  --resolve %s:%s:%s \\\n  https://%s:%s%s\n",
		quoted(filepath.Join(s.dir, "probe-roots.pem")), s.domain, port, s.host, s.domain, port, fleetapi.KeyPath)
	s.out.p.Printf("status   curl http://%s/status\n", s.world.AdminAddr)
	s.out.p.Printf("metrics  curl http://%s/metrics\n", s.world.AdminAddr)
	s.out.p.Printf("data     %s\n", s.dir)
	s.out.p.Printf("Ctrl-C stops it; the directory is then %s.\n\n", after)
}

// quoted returns path as a shell reads it back.
func quoted(path string) string {
	if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
