// Package recipes_test runs the proxies of the recipes in front of a real wellkey,
// with the lines that users paste.
package recipes_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testhost"
	"wellkey/internal/testleak"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

func TestMain(m *testing.M) { testleak.Main(m.Run) }

// A proxy is a program that a recipe is for.
type proxy struct {
	recipe  string // the file
	ownTLS  bool   // wellkey ends TLS, not the proxy
	program func(t *testing.T, w *testworld.World, dir, recipe string) *exec.Cmd
}

var proxies = map[string]proxy{
	"nginx": {recipe: "nginx.conf", program: func(t *testing.T, w *testworld.World, dir, recipe string) *exec.Cmd {
		return nginx(t, dir, recipe)
	}},
	"nginx-proxy-manager": {recipe: "nginx-proxy-manager.md", program: func(t *testing.T, w *testworld.World, dir, recipe string) *exec.Cmd {
		// The manager puts what is in the tab into a server of this shape.
		m := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindStringSubmatch(recipe)
		if m == nil {
			t.Fatal("there is nothing to paste")
		}
		return nginx(t, dir, fmt.Sprintf("server {\nlisten %s ssl http2;\nserver_name %s;\nssl_certificate %s;\nssl_certificate_key %s;\n%s\nlocation / { return 404; }\n}\n",
			w.HTTPSAddr, w.Domain, w.CertFile, w.CertKeyFile, m[1]))
	}},
	"caddy": {recipe: "Caddyfile", program: func(t *testing.T, w *testworld.World, dir, recipe string) *exec.Cmd {
		host, port, _ := net.SplitHostPort(w.HTTPSAddr)
		// Other ports than usual, no CA, and nothing outside of this directory.
		recipe = strings.Replace(recipe, w.Domain+" {\n", fmt.Sprintf("%s {\n\tbind %s\n\ttls %s %s\n", w.Domain, host, w.CertFile, w.CertKeyFile), 1)
		recipe = fmt.Sprintf("{\n\tadmin off\n\tauto_https disable_redirects\n\thttps_port %s\n}\n%s", port, recipe)
		cmd := installed(t, "caddy", "run", "--adapter", "caddyfile", "--config", write(t, dir, "Caddyfile", recipe))
		cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
		return cmd
	}},
	"haproxy": {recipe: "haproxy.cfg", ownTLS: true, program: func(t *testing.T, w *testworld.World, dir, recipe string) *exec.Cmd {
		return installed(t, "haproxy", "-db", "-f", write(t, dir, "haproxy.cfg", recipe))
	}},
}

// nginx returns an nginx with the servers of a recipe.
func nginx(t *testing.T, dir, servers string) *exec.Cmd {
	conf := fmt.Sprintf("daemon off;\npid %[1]s/pid;\nevents {}\nhttp {\naccess_log off;\n", dir)
	for _, temp := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		conf += fmt.Sprintf("%s_temp_path %s/%s;\n", temp, dir, temp)
	}
	return installed(t, "nginx", "-p", dir, "-e", "stderr", "-c", write(t, dir, "nginx.conf", conf+servers+"}\n"))
}

// installed returns a command of a Debian package, whose programs may lie where only
// root looks.
func installed(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not installed (Debian package %s)", name, name)
	}
	return exec.Command(path, args...)
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// settings returns the settings of wellkey that a recipe names.
func settings(t *testing.T, recipe string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range regexp.MustCompile(`WELLKEY_([A-Z_]+)=(\S*)`).FindAllStringSubmatch(recipe, -1) {
		found[m[1]] = m[2]
	}
	if len(found) < 3 {
		t.Fatalf("the recipe names the settings %v only", found)
	}
	return found
}

// The real proxy, in front of a real wellkey: the key comes through byte for byte
// and with the headers that it left with; it is registered, which Tesla does only
// after it fetched the key through the proxy; and an application behind wellkey is
// told the address of the client, not the one of the proxy nor one that the client
// made up.
func TestProxies(t *testing.T) {
	t.Parallel()
	for name, p := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.run(t, name)
		})
	}
}

func (p proxy) run(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), deploytest.Patience)
	defer cancel()
	recipe := deploytest.Read(t, "deploy/recipes/"+p.recipe)
	given := settings(t, recipe)
	domain := name + ".example.com"
	recipe = strings.ReplaceAll(recipe, given["DOMAIN"], domain)

	// The proxy is where the world looks, and wellkey on ports that it is told.
	w := deploytest.Start(t, testworld.Config{Domain: domain, Files: !p.ownTLS})
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header.Get("X-Forwarded-For"))
	}))
	t.Cleanup(application.Close)

	inside, err := testhost.Addr()
	if err != nil {
		t.Fatal(err)
	}
	recipe = strings.NewReplacer(
		"listen 443", "listen "+w.HTTPSAddr, "bind :443", "bind "+w.HTTPSAddr,
		"127.0.0.1:8080", w.HTTPAddr, "wellkey:8080", w.HTTPAddr, "127.0.0.1:8443", inside,
		"/etc/letsencrypt/live/"+domain+"/fullchain.pem", w.CertFile, "/etc/letsencrypt/live/"+domain+"/privkey.pem", w.CertKeyFile,
	).Replace(recipe)
	recipe = alsoWho(recipe)

	own := []string{"DOMAIN=" + domain, "UPSTREAM=" + application.URL, "TRUSTED_PROXIES=127.0.0.1",
		"TLS=" + given["TLS"], "PROXY_PROTOCOL=" + given["PROXY_PROTOCOL"]}
	if p.ownTLS {
		own = append(own, "HTTPS_ADDR="+inside)
	} else {
		own = append(own, "TLS_CERT_FILE", "TLS_KEY_FILE")
	}
	if err := w.WriteCredentials(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log := start(ctx, t, p.program(t, w, dir, recipe), w.HTTPSAddr)
	run := deploytest.Serve(t, w, own...)
	complain := func(err error) { t.Fatalf("%v\n%s:\n%s\nwellkey:\n%s", err, name, log, run.Log) }
	if _, err := w.AwaitStatus(ctx, deploytest.Registered); err != nil {
		complain(err)
	}
	if err := w.Check(ctx, fleetapi.NA, fleetapi.EU); err != nil {
		complain(err)
	}
	through, err := w.Fetch(ctx)
	if err != nil {
		complain(err)
	}
	for field, want := range map[string]string{
		"Content-Type": "application/x-pem-file", "Content-Length": "178", "Cache-Control": "public, max-age=300",
		"X-Content-Type-Options": "nosniff", "Content-Encoding": "",
	} {
		if got := through.Header.Get(field); got != want {
			t.Errorf("through %s the key has %s %q, want %q", name, field, got, want)
		}
	}
	if through.Header.Get("Etag") == "" {
		t.Errorf("%s takes the ETag away", name)
	}
	if got := askAs(t, w, "127.9.9.9"); got != "127.9.9.9" {
		t.Errorf("through %s the client is %q\n%s\n%s", name, got, log, run.Log)
	}
}

// alsoWho doubles the block of a recipe that sends the path of the key to wellkey,
// for the path /who. Wellkey passes that on to an application, which says what it
// was told of the client.
func alsoWho(recipe string) string {
	place := regexp.MustCompile(`(?m)^([ \t]*)(location =|handle) ` + regexp.QuoteMeta(fleetapi.KeyPath) + ` \{\n`).FindStringSubmatchIndex(recipe)
	if place == nil {
		return recipe
	}
	end := "\n" + recipe[place[2]:place[3]] + "}\n"
	length := strings.Index(recipe[place[0]:], end) + len(end)
	block := recipe[place[0] : place[0]+length]
	return strings.Replace(recipe, block, block+strings.Replace(block, fleetapi.KeyPath, "/who", 1), 1)
}

// start starts a proxy, waits until it listens, and ends it after the test. It
// returns what it says.
func start(ctx context.Context, t *testing.T, cmd *exec.Cmd, addr string) *testworld.Log {
	t.Helper()
	log := testworld.NewLog()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // by the signal below
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-exited
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", addr); err == nil {
			_ = conn.Close() // nothing was said
			return log
		}
		select {
		case <-tick.C:
		case <-exited:
			t.Fatalf("%s has ended:\n%s", cmd.Path, log)
		case <-ctx.Done():
			t.Fatalf("%s does not listen:\n%s", cmd.Path, log)
		}
	}
}

// askAs asks for /who through the proxy, from an address of one's own, and says to
// be somebody else.
func askAs(t *testing.T, w *testworld.World, ip string) string {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	client := &http.Client{Timeout: deploytest.Patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, w.HTTPSAddr)
		},
		TLSClientConfig: &tls.Config{RootCAs: w.Roots()}, DisableKeepAlives: true,
	}}
	req, err := http.NewRequest(http.MethodGet, "https://"+w.Domain+"/who", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", "192.0.2.66")
	req.Header.Set("Forwarded", "for=192.0.2.67")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(said), ",") // behind it stand the proxies
	return first
}

// Recipes for proxies that cannot be run here: they are well-formed, and send the
// path of the key, or the domain, to a port that wellkey has with these settings.
func TestOthers(t *testing.T) {
	t.Parallel()
	image := deploytest.ReadImage(t)
	for _, name := range []string{"traefik.yaml", "cloudflared.yaml"} {
		given := settings(t, deploytest.Read(t, "deploy/recipes/"+name))
		if url := serviceOf(t, name, given["DOMAIN"]); url != "http://wellkey"+given["HTTP_ADDR"] || given["TLS"] != "off" {
			t.Errorf("%s sends to %q, but wellkey is at %q with TLS %q", name, url, given["HTTP_ADDR"], given["TLS"])
		}
		if given["HTTP_ADDR"] != image.Env["WELLKEY_HTTP_ADDR"] {
			t.Errorf("%s: the image listens on %s", name, image.Env["WELLKEY_HTTP_ADDR"])
		}
	}
}

// serviceOf returns the URL that a recipe in YAML sends the key's requests to.
func serviceOf(t *testing.T, name, domain string) string {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(deploytest.Read(t, "deploy/recipes/"+name)))
	decoder.KnownFields(true)
	if name == "cloudflared.yaml" {
		var c struct {
			Tunnel      string
			Credentials string `yaml:"credentials-file"`
			Ingress     []struct{ Hostname, Service string }
		}
		if err := decoder.Decode(&c); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(c.Ingress) != 2 || c.Ingress[0].Hostname != domain || c.Ingress[1].Hostname != "" || c.Tunnel == "" || !filepath.IsAbs(c.Credentials) {
			t.Errorf("%s: the rules are %+v; the last one must take all the rest", name, c)
		}
		return c.Ingress[0].Service
	}
	var c struct {
		HTTP struct {
			Routers map[string]struct {
				Rule, Service string
				EntryPoints   []string `yaml:"entryPoints"`
				Middlewares   []string
				TLS           struct {
					Resolver string `yaml:"certResolver"`
				}
			}
			Middlewares map[string]struct {
				Headers struct {
					Request map[string]string `yaml:"customRequestHeaders"`
				}
			}
			Services map[string]struct {
				LoadBalancer struct {
					Servers []struct{ URL string }
				} `yaml:"loadBalancer"`
			}
		}
	}
	if err := decoder.Decode(&c); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	router := c.HTTP.Routers["wellkey"]
	if want := fmt.Sprintf("Host(`%s`) && Path(`%s`)", domain, fleetapi.KeyPath); router.Rule != want || router.TLS.Resolver == "" {
		t.Errorf("%s: the router is %+v, want the rule %s", name, router, want)
	}
	for _, middleware := range router.Middlewares {
		if value, ok := c.HTTP.Middlewares[middleware].Headers.Request["Forwarded"]; !ok || value != "" {
			t.Errorf("%s: what a client says of itself passes", name)
		}
	}
	servers := c.HTTP.Services[router.Service].LoadBalancer.Servers
	if len(servers) != 1 {
		t.Fatalf("%s: the service %q has %d servers", name, router.Service, len(servers))
	}
	return servers[0].URL
}

// The settings that recipes name are taken, as they stand there.
func TestSettings(t *testing.T) {
	t.Parallel()
	recipes := []string{"traefik.yaml", "cloudflared.yaml"}
	for _, p := range proxies {
		recipes = append(recipes, p.recipe)
	}
	for _, name := range recipes {
		environ := []string{"WELLKEY_DATA_DIR=" + t.TempDir()}
		for setting, value := range settings(t, deploytest.Read(t, "deploy/recipes/"+name)) {
			environ = append(environ, "WELLKEY_"+setting+"="+value)
		}
		if err := deploytest.CheckConfig(environ, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
