package cli_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/teststore"
	"wellkey/internal/testworld"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// TestScripts runs testdata/script: every command as somebody types it, each in a
// process of its own. Beside the commands of testscript there are those of
// scriptCommands.
func TestScripts(t *testing.T) {
	t.Parallel()
	commands := scriptCommands()
	commands["redis"] = cmdRedis(t)
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setupScript,
		Cmds:  commands,
	})
}

// A stage is what a script has around it.
type stage struct {
	world *testworld.World
	run   *testworld.Run

	several string // the directory of several sites; "" = there is one
}

type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// setupScript puts this test binary on the path, as wellkey.
func setupScript(env *testscript.Env) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Join(env.WorkDir, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Symlink(self, filepath.Join(bin, "wellkey"))); err != nil {
		return err
	}
	env.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("TERM", "xterm-256color")
	env.Setenv(actAsWellkey, "1")
	env.Vars = append(env.Vars, coverage())
	env.Setenv("GORACE", "atexit_sleep_ms=0") // a process of the race detector lingers for a second
	env.Values[stageKey{}] = &stage{}
	return nil
}

func scriptCommands() map[string]func(ts *testscript.TestScript, neg bool, args []string) {
	return map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"exits":       cmdExits,
		"terminal":    cmdTerminal,
		"json":        cmdJSON,
		"fingerprint": cmdFingerprint,
		"world":       cmdWorld,
		"credentials": cmdCredentials,
		"serve":       cmdServe,
		"stop":        cmdStop,
		"await":       cmdAwait,
		"hosts":       cmdHosts,
		"serves":      cmdServes,
		"registered":  cmdRegistered,
		"tesla":       cmdTesla,
	}
}

func wants(ts *testscript.TestScript, neg bool, ok bool, usage string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

// cmdExits runs a program and wants a certain exit code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) > 1, "exits CODE PROGRAM ARGUMENTS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, said := 0, ""
	unhurried(args[2:], func() string {
		got = 0
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			failed, ok := errors.AsType[*exec.ExitError](err)
			if !ok {
				ts.Fatalf("%v", err)
			}
			got = failed.ExitCode()
		}
		said = ts.ReadFile("stdout") + ts.ReadFile("stderr")
		return said
	})
	if got != want {
		ts.Fatalf("exit code is %d, want %d", got, want)
	}
	for _, s := range spellings("the client secret", testworld.ClientSecret) {
		if strings.Contains(said, s.text) {
			ts.Fatalf("%q prints %s:\n%s", args[1:], s.what, said)
		}
	}
}

// cmdJSON wants standard output to be one JSON value in which each PATH, names and
// numbers with dots between them, is there, and is VALUE.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) > 0, "json PATH[=VALUE]...")
	var whole any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &whole))
	for _, arg := range args {
		path, want, compare := strings.Cut(arg, "=")
		value, err := walk(whole, path)
		ts.Check(err)
		if got := fmt.Sprint(value); compare && got != want {
			ts.Fatalf("%s is %q, want %q", path, got, want)
		}
	}
}

func walk(value any, path string) (any, error) {
	for _, step := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[step]
			if !ok {
				return nil, fmt.Errorf("%s: there is no %q", path, step)
			}
			value = next
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil, fmt.Errorf("%s: there is no %q", path, step)
			}
			value = v[i]
		default:
			return nil, fmt.Errorf("%s: there is nothing below %v", path, v)
		}
	}
	return value, nil
}

// cmdFingerprint puts the fingerprint of the key in a file into the environment.
func cmdFingerprint(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) == 2, "fingerprint VARIABLE FILE")
	parsed, err := keystore.Parse([]byte(ts.ReadFile(args[1])))
	ts.Check(err)
	ts.Setenv(args[0], parsed.Key.Fingerprint())
}

// cmdWorld starts a world, and makes its settings those of the environment. Where
// domains are given, DNS and the certificate know those too, and the settings are
// for several sites, with a directory for them.
func cmdWorld(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, true, "world [DOMAIN...]")
	host, n := newHost()
	w, err := testworld.Start(testworld.Config{Domain: fmt.Sprintf("keys%d.example.com", n), Dir: ts.Getenv("WORK"), Host: host, Files: true})
	ts.Check(err)
	ts.Defer(func() { ts.Check(w.Close()) })
	stageOf(ts).world = w
	for _, entry := range w.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		ts.Setenv(name, value)
	}
	ts.Setenv("DOMAIN", w.Domain)
	ts.Setenv("DATA", w.DataDir)
	if len(args) == 0 {
		return
	}
	for _, domain := range args {
		w.AddDomain(domain)
	}
	ts.Check(w.SignFiles(testca.LeafOptions{}, args...))
	stageOf(ts).several = ts.Getenv("WORK") + "/sites"
	for name, value := range map[string]string{"DOMAIN": "", "CREDENTIALS_FILE": "", "SITES_DIR": stageOf(ts).several} {
		ts.Setenv("WELLKEY_"+name, value)
	}
}

// cmdCredentials writes the credentials, or those of one of several sites.
func cmdCredentials(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) <= 1, "credentials [DOMAIN]")
	w := stageOf(ts).world
	if len(args) == 0 {
		ts.Check(w.WriteCredentials())
		return
	}
	dir := filepath.Join(w.DataDir, "sites", args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(os.WriteFile(filepath.Join(dir, "credentials.yaml"), []byte(credentials(args[0])), 0o600))
}

// cmdServe starts wellkey in the world, and waits until its admin listener answers.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) == 0, "serve")
	s := stageOf(ts)
	var more []string
	if s.several != "" {
		more = []string{"DOMAIN", "CREDENTIALS_FILE", "SITES_DIR=" + s.several}
	}
	s.run = s.world.Serve(more...)
	ts.Defer(func() { cmdStop(ts, false, nil) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := s.world.AwaitStatus(ctx, func(admin.Status) bool { return true }); err != nil {
		ts.Fatalf("%v; the log:\n%s", err, s.run.Log)
	}
}

// cmdStop stops it, if it runs.
func cmdStop(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) == 0, "stop")
	s := stageOf(ts)
	if s.run == nil {
		return
	}
	run := s.run
	s.run = nil
	if code := run.Stop(); code != 0 {
		ts.Fatalf("wellkey ended with %d; its log:\n%s", code, run.Log)
	}
}

// cmdAwait waits until all registrations, or the one of a region, are in a state.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) == 1 || len(args) == 2, "await STATE [REGION]")
	awaitSite(ts, func(s admin.SiteView) bool {
		return s.Key.Fingerprint != "" && !slices.ContainsFunc(s.Registrations, func(r admin.Registration) bool {
			return string(r.State) != args[0] && (len(args) == 1 || string(r.Region) == args[1])
		})
	})
}

// cmdHosts waits until one of several sites has a state in all regions, or is gone.
func cmdHosts(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) == 2, "hosts DOMAIN STATE|not")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status, err := stageOf(ts).world.AwaitStatus(ctx, func(s admin.Status) bool {
		v := site(s, args[0])
		return v == nil && args[1] == "not" || v != nil && !slices.ContainsFunc(v.Registrations, func(r admin.Registration) bool { return string(r.State) != args[1] })
	})
	if err != nil {
		ts.Fatalf("%v; the last status: %+v", err, status.Sites)
	}
}

// cmdServes waits until one of several sites has the key with a fingerprint, which is
// registered everywhere.
func cmdServes(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) == 2, "serves DOMAIN FINGERPRINT")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status, err := stageOf(ts).world.AwaitStatus(ctx, func(s admin.Status) bool {
		v := site(s, args[0])
		return v != nil && v.Key.Fingerprint == args[1] && !slices.ContainsFunc(v.Registrations, func(r admin.Registration) bool { return r.RegisteredFingerprint != args[1] })
	})
	if err != nil {
		ts.Fatalf("%v; the last status: %+v", err, status.Sites)
	}
}

func awaitSite(ts *testscript.TestScript, match func(admin.SiteView) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	status, err := stageOf(ts).world.AwaitStatus(ctx, func(s admin.Status) bool { return match(s.Sites[0]) })
	if err != nil {
		ts.Fatalf("%v; the last status: %+v", err, status.Sites)
	}
}

// cmdRedis starts a Redis that ends with t, and puts its URL into a variable.
func cmdRedis(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		wants(ts, neg, len(args) == 1, "redis VARIABLE")
		ts.Setenv(args[0], teststore.StartRedis(t).URL("/0"))
	}
}

// cmdRegistered waits until the status says that the key with that fingerprint is
// registered everywhere, and holds that against what Tesla has.
func cmdRegistered(ts *testscript.TestScript, neg bool, args []string) {
	wants(ts, neg, len(args) == 1, "registered FINGERPRINT")
	awaitSite(ts, func(s admin.SiteView) bool {
		return s.Key.Fingerprint == args[0] && !slices.ContainsFunc(s.Registrations, func(r admin.Registration) bool {
			return r.State != registrar.Registered || r.RegisteredFingerprint != args[0]
		})
	})
	w := stageOf(ts).world
	for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
		key, err := keystore.ParsePoint(w.Registered(region))
		if err != nil || key.Fingerprint() != args[0] {
			ts.Fatalf("Tesla has %v on record in %s (%v)", key, region, err)
		}
	}
}

// cmdTesla makes Tesla refuse all requests of one kind with a code of the
// catalogue, or gives its registration of another key to the domain.
func cmdTesla(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "tesla refuse CODE register|public_key, tesla has FILE na|eu, tesla forgets na|eu, or tesla recovers"
	wants(ts, neg, len(args) > 0, usage)
	w := stageOf(ts).world
	switch {
	case args[0] == "recovers":
		w.Tesla.Clear()
	case args[0] == "refuse" && len(args) == 3:
		ts.Check(w.Tesla.Inject(fleetapi.ReasonCode(args[1]), fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.Operation(args[2])}}))
	case args[0] == "forgets" && len(args) == 2:
		w.Tesla.RemoveAccount(fleetapi.Region(args[1]), w.Domain)
	case args[0] == "has" && len(args) == 3:
		parsed, err := keystore.Parse([]byte(ts.ReadFile(args[1])))
		ts.Check(err)
		w.Tesla.SetAccount(fleetapi.Region(args[2]), fleetapi.Account{Domain: w.Domain, ClientID: testworld.ClientID, PublicKey: parsed.Key.Hex()})
	default:
		ts.Fatalf("usage: %s", usage)
	}
}
