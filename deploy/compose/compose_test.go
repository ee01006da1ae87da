package compose_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"wellkey/deploy/deploytest"
	"wellkey/internal/cli"
	"wellkey/internal/testleak"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

func TestMain(m *testing.M) { testleak.Main(func() int { return deploytest.Main(m) }) }

// shapes are the compose files, each with the services that it has.
var shapes = []struct {
	file     string
	services []string
}{
	{"compose.yaml", []string{"wellkey"}},
	{"fleet-telemetry.yaml", []string{"fleet-telemetry", "wellkey"}},
	{"monitoring.yaml", []string{"grafana", "prometheus", "wellkey"}},
	{"tesla-http-proxy.yaml", []string{"tesla-http-proxy", "wellkey"}},
}

// A project is what docker compose makes of a file.
type project struct {
	Services map[string]service
	Volumes  map[string]any
	Secrets  map[string]struct{ File string }
}

type service struct {
	Image           string
	User            string
	Command         []string
	Environment     map[string]*string
	CapDrop         []string `json:"cap_drop"`
	CapAdd          []string `json:"cap_add"`
	SecurityOpt     []string `json:"security_opt"`
	ReadOnly        bool     `json:"read_only"`
	Privileged      bool
	NetworkMode     string `json:"network_mode"`
	MemLimit        string `json:"mem_limit"`
	PidsLimit       int    `json:"pids_limit"`
	Restart         string
	StopGracePeriod string `json:"stop_grace_period"`
	Healthcheck     *struct{ Test []string }
	Ports           []port
	Volumes         []mount
	Secrets         []secret
}

type port struct {
	Target    int
	Published string
	HostIP    string `json:"host_ip"`
}

type mount struct {
	Type, Source, Target string
	ReadOnly             bool `json:"read_only"`
}

type secret struct{ Source string }

// load reads a file of this folder as docker compose does, with the loader and the
// schema of the compose specification.
func load(t *testing.T, file string, environ ...string) (project, error) {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	out, err := deploytest.Check(t, "", "compose", append([]string{path}, environ...)...)
	if err != nil {
		return project{}, err
	}
	var p project
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return p, nil
}

func mustLoad(t *testing.T, file string) project {
	t.Helper()
	p, err := load(t, file, "DOMAIN=keys.example.com")
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p
}

// The folder has no compose file that the tests do not know.
func TestShapesAreAll(t *testing.T) {
	found, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, shape := range shapes {
		known = append(known, shape.file)
	}
	slices.Sort(known)
	if !slices.Equal(found, known) {
		t.Errorf("the folder has %q, the tests know %q", found, known)
	}
}

func TestShapes(t *testing.T) {
	t.Parallel()
	image := deploytest.ReadImage(t)
	for _, shape := range shapes {
		t.Run(shape.file, func(t *testing.T) {
			t.Parallel()
			p := mustLoad(t, shape.file)
			var services []string
			for name, s := range p.Services {
				services = append(services, name)
				for _, fault := range slices.Concat(hardened(s), sound(p, s)) {
					t.Errorf("%s: %s", name, fault)
				}
			}
			slices.Sort(services)
			if !slices.Equal(services, shape.services) {
				t.Errorf("it has the services %q, want %q", services, shape.services)
			}
			for _, fault := range fits(p.Services["wellkey"], image) {
				t.Errorf("wellkey: %s", fault)
			}
		})
	}
}

// hardened returns what a service lacks to be harmless.
func hardened(s service) (faults []string) {
	for fault, wrong := range map[string]bool{
		"can write its own files":                          !s.ReadOnly,
		"keeps capabilities":                               !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0,
		"may gain privileges":                              !slices.Contains(s.SecurityOpt, "no-new-privileges:true"),
		"is privileged":                                    s.Privileged,
		"shares the network of the machine":                s.NetworkMode == "host",
		"may take all memory":                              s.MemLimit == "" || s.MemLimit == "0",
		"may start any number of processes":                s.PidsLimit <= 0,
		"is gone after a fault or a restart of the engine": s.Restart != "unless-stopped",
	} {
		if wrong {
			faults = append(faults, fault)
		}
	}
	return faults
}

// sound returns what a service wants and the project does not have.
func sound(p project, s service) (faults []string) {
	for _, v := range s.Volumes {
		_, declared := p.Volumes[v.Source]
		if v.Type == "volume" && !declared {
			faults = append(faults, "there is no volume "+v.Source)
		}
		if v.Type == "bind" {
			if _, err := os.Stat(v.Source); err != nil {
				faults = append(faults, "what it mounts is not there: "+err.Error())
			}
			if !v.ReadOnly {
				faults = append(faults, "may write to "+v.Source)
			}
		}
	}
	for _, secret := range s.Secrets {
		if file := p.Secrets[secret.Source].File; filepath.Base(filepath.Dir(file)) != "secrets" {
			faults = append(faults, fmt.Sprintf("the secret %s is at %q, not in the folder that git ignores", secret.Source, file))
		}
	}
	for name, value := range s.Environment {
		if secret := strings.Contains(name, "SECRET") || strings.Contains(name, "PASSWORD"); secret && value != nil && !strings.HasSuffix(name, "_FILE") {
			faults = append(faults, name+" is a secret in the environment")
		}
	}
	for _, port := range s.Ports {
		if port.HostIP != "127.0.0.1" && port.Published != "80" && port.Published != "443" {
			faults = append(faults, "publishes port "+port.Published+" to the world")
		}
	}
	return faults
}

// fits returns how the service of wellkey does not fit the image and the program.
func fits(s service, image deploytest.Image) (faults []string) {
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	published := map[string]int{}
	for _, port := range s.Ports {
		published[port.Published] = port.Target
		fault(!slices.Contains(image.Ports, strconv.Itoa(port.Target)), "the image has no port %d", port.Target)
	}
	for host, setting := range map[string]string{"80": "WELLKEY_HTTP_ADDR", "443": "WELLKEY_HTTPS_ADDR", "9090": "WELLKEY_ADMIN_ADDR"} {
		_, port, _ := strings.Cut(image.Env[setting], ":")
		fault(strconv.Itoa(published[host]) != port, "port %s leads to %d, but %s is port %s", host, published[host], setting, port)
	}
	fault(!slices.ContainsFunc(s.Volumes, func(v mount) bool {
		return v.Type == "volume" && v.Source == "data" && v.Target == image.Volume && !v.ReadOnly
	}), "%s is not the volume that is kept", image.Volume)
	grace, err := time.ParseDuration(s.StopGracePeriod)
	fault(err != nil || grace < 40*time.Second, "it is killed after %q", s.StopGracePeriod)
	fault(s.Healthcheck == nil || !slices.Equal(s.Healthcheck.Test, []string{"CMD", "/wellkey", "healthcheck"}), "the healthcheck is %v", s.Healthcheck)
	if err := deploytest.CheckConfig(image.Environ(environment(s)), s.Command); err != nil {
		faults = append(faults, "its settings are refused: "+err.Error())
	}
	return faults
}

func environment(s service) map[string]string {
	all := map[string]string{}
	for name, value := range s.Environment {
		if value != nil {
			all[name] = *value
		}
	}
	return all
}

// Who forgets the domain is told where it belongs, before anything starts.
func TestDomainIsRequired(t *testing.T) {
	t.Parallel()
	for _, shape := range shapes {
		if _, err := load(t, shape.file); err == nil || !strings.Contains(err.Error(), "write the domain into .env") {
			t.Errorf("%s without a domain: %v", shape.file, err)
		}
	}
}

// The key that wellkey makes is the one that the proxy signs with, and it may read
// it: the same volume, the same user.
func TestProxyReadsTheKey(t *testing.T) {
	t.Parallel()
	image := deploytest.ReadImage(t)
	proxy := mustLoad(t, "tesla-http-proxy.yaml").Services["tesla-http-proxy"]
	if proxy.User != image.User {
		t.Errorf("the proxy runs as %q, wellkey as %q", proxy.User, image.User)
	}
	env := environment(proxy)
	if env["TESLA_KEY_FILE"] != image.Volume+"/key.pem" {
		t.Errorf("the proxy reads the key from %q", env["TESLA_KEY_FILE"])
	}
	for _, v := range proxy.Volumes {
		if v.Target == image.Volume && (!v.ReadOnly || v.Source != "data") {
			t.Errorf("the volume of the key is mounted as %+v", v)
		}
	}
	for _, variable := range []string{"TESLA_HTTP_PROXY_TLS_CERT", "TESLA_HTTP_PROXY_TLS_KEY"} {
		if !slices.ContainsFunc(proxy.Secrets, func(s secret) bool { return "/run/secrets/"+s.Source == env[variable] }) {
			t.Errorf("%s is %q, and that is none of %v", variable, env[variable], proxy.Secrets)
		}
	}
}

// What lies in the folder of secrets is not committed.
func TestSecretsAreIgnored(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"credentials.yaml", "proxy-key.pem", "anything"} {
		if out, err := exec.Command("git", "check-ignore", "--no-index", filepath.Join("secrets", name)).CombinedOutput(); err != nil {
			t.Errorf("git would commit secrets/%s: %v %s", name, err, out)
		}
	}
}

// compose.yaml from end to end: its environment, its volumes and its ports, mapped
// to directories and ports of a world in which there are a CA, DNS and Tesla.
// The credentials come when it serves, as they do from the portal.
func TestAlone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), deploytest.Patience)
	defer cancel()
	s := mustLoad(t, "compose.yaml").Services["wellkey"]
	image := deploytest.ReadImage(t)
	w := deploytest.Start(t, testworld.Config{Domain: "keys.example.com"})

	// Where the engine would put what is in the container.
	places := map[string]string{image.Volume: w.DataDir}
	for _, v := range s.Volumes {
		if v.Type == "bind" {
			places[v.Target] = t.TempDir()
		}
	}
	var settings []string
	for name, value := range image.With(environment(s)) {
		for inside, outside := range places {
			if rest, ok := strings.CutPrefix(value, inside); ok {
				value = outside + rest
			}
		}
		for _, port := range s.Ports {
			if value == ":"+strconv.Itoa(port.Target) {
				value = map[string]string{"80": w.HTTPAddr, "443": w.HTTPSAddr, "9090": w.AdminAddr}[port.Published]
			}
		}
		settings = append(settings, strings.TrimPrefix(name, "WELLKEY_")+"="+value)
	}
	run := deploytest.Serve(t, w, settings...)
	if _, err := w.AwaitFetch(ctx); err != nil {
		t.Fatalf("the key cannot be fetched: %v\n%s", err, run.Log)
	}
	credentials := fmt.Sprintf("client_id: %q\nclient_secret: %q\n", testworld.ClientID, testworld.ClientSecret)
	path := filepath.Join(places["/run/secrets"], "credentials.yaml")
	if err := os.WriteFile(path, []byte(credentials), 0o644); err != nil {
		t.Fatal(err)
	}
	status, err := w.AwaitStatus(ctx, deploytest.Registered)
	if err != nil {
		t.Fatalf("%v; the status is %+v\n%s", err, status, run.Log)
	}
	if err := w.Check(ctx, fleetapi.NA, fleetapi.EU); err != nil {
		t.Error(err)
	}
	var said bytes.Buffer
	code := cli.Run(ctx, cli.Process{Args: s.Healthcheck.Test[2:], Environ: w.Environ(settings...), Stdout: &said, Stderr: &said})
	if code != 0 {
		t.Errorf("the healthcheck ends with %d: %s", code, said.String())
	}
}
