package deploy_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/cli"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// each calls look for every file under deploy that is text, with its lines.
func each(t *testing.T, look func(file string, lines []string)) {
	t.Helper()
	for _, file := range files(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.ContainsRune(text, 0) {
			look(file, strings.Split(string(text), "\n"))
		}
	}
}

// Environment variables that are named are settings.
func TestSettingsExist(t *testing.T) {
	settings := deploytest.Settings()
	variable := regexp.MustCompile(`\bWELLKEY_[A-Z0-9_]*[A-Z0-9]\b`)
	found := 0
	each(t, func(file string, lines []string) {
		for n, line := range lines {
			for _, name := range variable.FindAllString(line, -1) {
				found++
				if !slices.Contains(settings, name) {
					t.Errorf("deploy/%s:%d: %s is no setting", file, n+1, name)
				}
			}
		}
	})
	if found == 0 {
		t.Error("no file names a setting: the pattern is broken")
	}
}

// Commands that are shown exist, with their flags.
func TestCommandsExist(t *testing.T) {
	command := regexp.MustCompile(`(?:/|^ExecStart=.*/|\$ |# +|^ +)wellkey["',]*\s+["']?(serve|doctor|register|keygen|status|rotate|renew|healthcheck|version|completion|[a-z]+ --)(.*)`)
	flag := regexp.MustCompile(`--[a-z][a-z-]+`)
	found := 0
	each(t, func(file string, lines []string) {
		for n, line := range lines {
			m := command.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			found++
			name := strings.TrimSuffix(m[1], " --")
			var help bytes.Buffer
			code := cli.Run(context.Background(), cli.Process{Args: []string{name, "--help"}, Environ: []string{"HOME=/nonexistent"}, Stdout: &help, Stderr: &help})
			if code != 0 {
				t.Errorf("deploy/%s:%d: there is no command %q", file, n+1, name)
				continue
			}
			for _, given := range flag.FindAllString(m[2], -1) {
				setting := "WELLKEY_" + strings.ToUpper(strings.ReplaceAll(given[2:], "-", "_"))
				if strings.Contains(help.String(), "Every setting is a flag, too") && slices.Contains(deploytest.Settings(), setting) {
					continue
				}
				if !regexp.MustCompile(given + `\b`).MatchString(help.String()) {
					t.Errorf("deploy/%s:%d: wellkey %s has no flag %s", file, n+1, name, given)
				}
			}
		}
	})
	if found == 0 {
		t.Error("no file shows a command: the pattern is broken")
	}
}

// Where a file sends somebody to a port of wellkey, the image has that port.
func TestPortsExist(t *testing.T) {
	ports := append([]string{"80", "443"}, deploytest.ReadImage(t).Ports...)
	port := regexp.MustCompile(`\bwellkey(?:-[a-z]+)?(?:\.[a-z]+)*:([0-9]{2,5})\b`)
	each(t, func(file string, lines []string) {
		for n, line := range lines {
			for _, m := range port.FindAllStringSubmatch(line, -1) {
				if !slices.Contains(ports, m[1]) {
					t.Errorf("deploy/%s:%d: wellkey does not listen on port %s", file, n+1, m[1])
				}
			}
		}
	})
}

// The path of the key is spelled as Tesla spells it; metrics and paths of the admin
// listener are those of a wellkey that runs.
func TestPathsAndMetricsExist(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), deploytest.Patience)
	defer cancel()
	w := start(t)
	if _, err := w.AwaitFetch(ctx); err != nil {
		t.Fatal(err)
	}
	status, err := w.AwaitStatus(ctx, deploytest.Registered)
	if err != nil {
		t.Fatalf("%v; the status is %+v", err, status)
	}
	visit, err := w.Admin(ctx, "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (wellkey_\w+) (\w+)$`).FindAllSubmatch(visit.Body, -1) {
		metrics[string(m[1])] = true
		if string(m[2]) == "histogram" {
			for _, part := range []string{"_bucket", "_sum", "_count"} {
				metrics[string(m[1])+part] = true
			}
		}
	}
	// It is there only while the look from outside finds no key.
	const finding = "wellkey_probe_finding"
	metrics[finding] = bytes.Contains(deploytest.ReadFile(t, "../docs/metrics.md"), []byte("`"+finding+"{"))
	answered := map[string]bool{}
	answers := func(path string) bool {
		if _, ok := answered[path]; !ok {
			visit, err := w.Admin(ctx, path)
			answered[path] = err == nil && visit.Status != http.StatusNotFound
		}
		return answered[path]
	}
	if answers("/nothing") || !answers("/status") || len(metrics) < 10 {
		t.Fatalf("the wellkey that is asked is none: %v, %v", answered, metrics)
	}

	metric := regexp.MustCompile(`\bwellkey_[a-z][a-z0-9_]*[a-z0-9]\b`)
	keyPath := regexp.MustCompile(`/\.well-known/appspecific[^\s"'` + "`" + `;{}()<>*?]*`)
	adminPath := regexp.MustCompile(`(?:\b9090|\badmin|\bpath:) ?["']?(/[a-z]+)\b`)
	each(t, func(file string, lines []string) {
		for n, line := range lines {
			for _, name := range metric.FindAllString(line, -1) {
				if !metrics[name] {
					t.Errorf("deploy/%s:%d: there is no metric %s", file, n+1, name)
				}
			}
			for _, path := range keyPath.FindAllString(line, -1) {
				if path = strings.TrimRight(path, ".,:\\"); path != fleetapi.KeyPath && !strings.HasPrefix(fleetapi.KeyPath, strings.TrimSuffix(path, "/")+"/") {
					t.Errorf("deploy/%s:%d: the key is not at %s", file, n+1, path)
				}
			}
			for _, m := range adminPath.FindAllStringSubmatch(line, -1) {
				if m[1] != "/var" && !answers(m[1]) { // that is a path of a file system
					t.Errorf("deploy/%s:%d: the admin listener has no %s", file, n+1, m[1])
				}
			}
		}
	})
}

// start starts a wellkey with credentials in a world of its own, with a CA, since
// metrics tell of it only where there is one.
func start(t *testing.T) *testworld.World {
	t.Helper()
	w := deploytest.Start(t, testworld.Config{Domain: "deploy.example.com"})
	if err := w.WriteCredentials(); err != nil {
		t.Fatal(err)
	}
	deploytest.Serve(t, w, "UPSTREAM=http://127.0.0.1:1") // with the metrics of an application, too
	return w
}
