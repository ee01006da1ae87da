package cli_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/teststore"
	"wellkey/internal/testworld"
)

// TestPasswordOfTheStore has wellkey do at debug level all that it does with a shared
// store, with its password, and with another one that the store refuses. The canary of
// the world looks at what comes of it.
func TestPasswordOfTheStore(t *testing.T) {
	t.Parallel()
	const right, wrong = "Canary'of+a/store&7f3a", "Canary+that-no/store&knows-7f3a"
	for _, store := range []struct {
		kind  string
		start func(t *testing.T) (url string)
	}{
		{"redis", func(t *testing.T) string { return teststore.StartRedis(t, "--requirepass", right).URL("/0") }},
		{"postgres", func(t *testing.T) string {
			server := teststore.StartPostgres(t)
			database := server.Database()
			server.Exec(database, `CREATE ROLE canary LOGIN PASSWORD '`+strings.ReplaceAll(right, "'", "''")+`'`, "GRANT ALL ON DATABASE "+database+" TO canary", "GRANT ALL ON SCHEMA public TO canary")
			return server.URL("canary", database)
		}},
	} {
		t.Run(store.kind, func(t *testing.T) {
			t.Parallel()
			url := store.start(t)
			w := newRegistrable(t, withFiles)
			for what, text := range map[string]string{"the password": right, "the wrong password": wrong} {
				for _, s := range spellings(what, text) {
					w.canary.forbid(s.what, s.text)
				}
			}
			private, _ := newKey(t)
			file := func(name, text string) string {
				path := filepath.Join(w.dir, name)
				w.replace(path, []byte(text))
				return path
			}
			password := file("password", right+"\n")
			settings := []string{"LOG_LEVEL=debug", "KEY_FILE=" + file("domain.pem", string(private)), "STORAGE=" + url, "STORAGE_PASSWORD_FILE=" + password}
			whole := file("store", withPassword(url, right)+"\n")
			refused := file("refused", withPassword(url, wrong)+"\n")

			p := w.exec(settings...)
			w.awaitLine(p.Log, "registered in every region; owners can pair their cars")
			w.goOn()
			w.seeCall(p.Pid())
			w.get("/metrics")
			w.get("/status")
			w.get("/status?format=html")
			commands := [][]string{{"status"}, {"status", "--json"}, {"doctor"}, {"doctor", "--json"}, {"register"}, {"rotate", "--status"}}
			for _, args := range append(commands, []string{"migrate", whole, filepath.Join(w.dir, "copy")}) {
				if got := w.command(w.Environ(settings...), args...); args[0] == "migrate" && got.code != 0 {
					t.Errorf("%q: %+v", args, got)
				}
			}
			w.seeDeath(p)

			// The password has changed at the store, or is wrong here.
			settings = append(settings, "STORAGE_PASSWORD_FILE="+file("wrong", wrong+"\n"))
			w.goOn()
			p = w.exec(settings...)
			w.awaitLine(p.Log, "storage is down; what is in use goes on from memory and the local copy, and nothing is ordered or registered")
			if _, err := w.AwaitFetch(w.ctx); err != nil {
				t.Error(err)
			}
			w.get("/metrics")
			w.get("/status")
			if page := w.get("/status?format=html"); !bytes.Contains(page.Body, []byte("password")) {
				t.Errorf("the page does not say that it is the password: %.2000s", page.Body)
			}
			for _, args := range append(commands, []string{"migrate", refused, filepath.Join(w.dir, "copy")}, []string{"migrate", filepath.Join(w.dir, "copy"), refused}) {
				got := w.command(w.Environ(settings...), args...)
				if said := got.out + got.errors; got.code == 0 && args[0] == "migrate" || args[0] == "migrate" && !strings.Contains(said, "password") {
					t.Errorf("%q: code %d; it said %s", args, got.code, said)
				}
			}
			w.seeDeath(p)
		})
	}
}

// withPassword returns the URL of a store with a password in it.
func withPassword(url, password string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	user, rest, found := strings.Cut(rest, "@")
	if !found {
		user, rest = "", user
	}
	return scheme + "://" + user + ":" + strings.NewReplacer("+", "%2B", "/", "%2F", "&", "%26").Replace(password) + "@" + rest
}

// TestProgramOfTheOperator: a program that proves the domain by DNS is told what to do,
// and nothing else: neither its arguments nor its environment, nor ours as it can see
// them, hold a secret.
func TestProgramOfTheOperator(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	if err := os.MkdirAll(w.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	orders, seen, program := filepath.Join(w.dir, "orders"), filepath.Join(w.dir, "seen"), filepath.Join(w.dir, "hook")
	if err := syscall.Mkfifo(orders, 0o600); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nset -eu\ncat /proc/$$/cmdline /proc/$$/environ /proc/$PPID/cmdline >>'%s'\nenv >>'%s'\nulimit -c >>'%s'\necho \"$@\" >'%s'\n", seen, seen, seen, orders)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(orders, os.O_RDWR, 0) // both ends, so that it never ends by itself
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan []string)
	go func() { // who runs the zone
		var verbs []string
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			order := strings.Fields(lines.Text())
			verbs = append(verbs, order[0])
			if order[0] == "present" {
				w.DNS.Set(order[1], "TXT "+order[2])
			} else {
				break
			}
		}
		done <- verbs
	}()
	// The secrets are in the environment, which is worse than in files.
	p := w.exec("DNS_PROVIDER=exec", "DNS_EXEC_PROGRAM="+program, "DNS_PROPAGATION_DELAY=0s", "CREDENTIALS_FILE",
		"CLIENT_ID="+testworld.ClientID, "CLIENT_SECRET="+testworld.ClientSecret)
	w.await("a certificate", func(s admin.Status) bool { return s.Sites[0].Certificate.Have })
	verbs := <-done
	_ = pipe.Close()
	text, err := os.ReadFile(seen)
	if err != nil || strings.Join(verbs, " ") != "present cleanup" || !bytes.Contains(text, []byte("PATH=")) || !bytes.Contains(text, []byte("_acme-challenge."+w.Domain)) {
		t.Errorf("the program was asked to %q, and saw %q, %v", verbs, text, err)
	}
	if bytes.Contains(text, []byte("WELLKEY_")) {
		t.Errorf("the program sees our settings: %q", text)
	}
	w.canary.saw("what the program sees", text)
	w.seeDeath(p)
}
