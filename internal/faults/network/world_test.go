package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/internal/testdns"
	"wellkey/internal/testnetns"
	"wellkey/internal/testprogram"
	"wellkey/internal/testworld"
	"wellkey/keystore"
)

// domain is the one that is hosted.
const domain = "key.example.com"

// patience is far more than anything needs, and only a test that fails uses it.
const patience = 3 * time.Minute

// A world is two hosts: Here, with the names of the internet, and There. A wellkey
// runs on one of them.
type world struct {
	*testnetns.Net
	*testworld.World
	t     *testing.T
	names *testdns.Server // over the line, for the look from outside
	key   []byte          // what must be served
	other netip.Addr      // of a stranger
	dir   string
}

// newWorld starts all but wellkey. The domain leads to a host of the network, by
// IPv4 alone.
func newWorld(t *testing.T, host func(*testnetns.Net) testnetns.Host) *world {
	t.Helper()
	w := &world{Net: testnetns.New(t), t: t, dir: t.TempDir()}
	of := host(w.Net)
	var err error
	w.names, err = testdns.StartAt(net.JoinHostPort(w.Here.IPv4.String(), "53"))
	must(t, err)
	t.Cleanup(func() { must(t, w.names.Close()) })
	w.names.Set(domain, "A "+of.IPv4.String())
	// Its listeners are wherever wellkey runs, so any ports will do that are free here.
	w.World, err = testworld.Start(testworld.Config{Domain: domain, Dir: w.dir, Files: true})
	must(t, err)
	t.Cleanup(func() { must(t, w.World.Close()) })
	_, port, err := net.SplitHostPort(w.World.HTTPSAddr)
	must(t, err)
	w.World.HTTPSAddr = net.JoinHostPort(of.IPv4.String(), port)
	return w
}

// serve runs wellkey by start, which is of either host, and waits until it serves.
// It listens at all addresses of its host. On Here a client watches it from then on.
func (w *world) serve(start func(*exec.Cmd) error) {
	w.t.Helper()
	w.serveAt(start, "")
}

// serveAt is serve at one address.
func (w *world) serveAt(start func(*exec.Cmd) error, ip string) {
	w.t.Helper()
	at := func(addr string) string { return net.JoinHostPort(ip, portOf(addr)) }
	log := testworld.NewLog()
	cmd := exec.Command(testprogram.Path(w.t), "serve")
	cmd.Env = append([]string{"HOME=" + w.dir}, w.Environ("HTTPS_ADDR="+at(w.HTTPSAddr), "HTTP_ADDR="+at(w.HTTPAddr), "PROBE_RESOLVERS="+w.names.Addr())...)
	cmd.Stdout, cmd.Stderr = log, log
	must(w.t, start(cmd))
	w.t.Cleanup(func() {
		must(w.t, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("wellkey ended: %v", err)
		}
		if w.t.Failed() {
			w.t.Log(log)
		}
	})
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	visit, err := w.AwaitFetch(ctx)
	if err != nil {
		w.t.Fatalf("waiting for wellkey: %v\n%s", err, log)
	}
	parsed, err := keystore.Parse(visit.Body)
	must(w.t, err)
	w.key = visit.Body
	if string(parsed.Key.PEM()) != string(w.key) {
		w.t.Fatalf("what is served is not in its canonical form: %q", w.key)
	}
	if netip.MustParseAddrPort(w.HTTPSAddr).Addr() == w.Here.IPv4 {
		w.watch()
	}
}

// here starts a command on the host of the test.
func here(cmd *exec.Cmd) error { return cmd.Start() }

func atHere(n *testnetns.Net) testnetns.Host  { return n.Here }
func atThere(n *testnetns.Net) testnetns.Host { return n.There }

// doctor has the doctor examine the domain from the host There, as it does
// everywhere: by the addresses and ports of the internet.
func (w *world) doctor(more ...string) doctor.Report {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	var out, said strings.Builder
	cmd := exec.CommandContext(ctx, testprogram.Path(w.t), "doctor", "--json", domain)
	cmd.Env = []string{"HOME=" + w.t.TempDir(), "WELLKEY_PROBE_RESOLVERS=" + w.names.Addr(), "WELLKEY_PROBE_ROOTS=" + filepath.Join(w.dir, "probe-roots.pem"),
		"WELLKEY_PROBE_PORT=" + portOf(w.HTTPSAddr), "WELLKEY_PROBE_HTTP_PORT=" + portOf(w.HTTPAddr)}
	for _, m := range more {
		cmd.Env = append(cmd.Env, "WELLKEY_"+m)
	}
	cmd.Stdout, cmd.Stderr = &out, &said
	must(w.t, w.Net.Start(cmd))
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() == 2) {
		w.t.Fatalf("the doctor: %v\n%s%s", err, &out, &said)
	}
	var report doctor.Report
	must(w.t, json.Unmarshal([]byte(out.String()), &report))
	return report
}

// find returns the finding of a check about an address, or about none.
func find(t *testing.T, r doctor.Report, id string, on netip.Addr) finding.Finding {
	t.Helper()
	about := ""
	if on.IsValid() {
		about = on.String()
	}
	for _, g := range r.Groups {
		for _, f := range g.Findings {
			if f.ID == id && f.On == about {
				return f
			}
		}
	}
	t.Fatalf("the doctor says nothing of %s on %q:\n%s", id, about, write(r))
	return finding.Finding{}
}

// troubled returns the ids of what is not well, in order, those skipped left out.
func troubled(r doctor.Report) (ids []string) {
	for _, g := range r.Groups {
		for _, f := range g.Findings {
			if f.Status != finding.OK && f.Status != finding.Skipped && !slices.Contains(ids, f.ID) {
				ids = append(ids, f.ID)
			}
		}
	}
	return ids
}

// write writes a report for whoever reads why a test failed.
func write(r doctor.Report) string {
	text, err := json.MarshalIndent(r, "", "  ")
	return fmt.Sprintf("%s%v", text, err)
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr) // it comes from a listener
	return port
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
