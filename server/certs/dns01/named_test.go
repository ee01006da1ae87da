package dns01_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/testnet"
)

// keySecret is what the keys of a named have in common with us.
const keySecret = "Q2FuYXJ5N2YzYUNhbmFyeTdmM2FDYW5hcnk3ZjNhISE="

// A named is BIND, which has zones of its own and lets keys update them.
type named struct{ addr string }

// startNamed runs BIND until the end of the test. Zones are those of its
// database, with a key for each algorithm that may update all of them, and one,
// "powerless", that may not. With several zones it is the resolver of a CA, too:
// only so does it follow a CNAME from one into another.
func startNamed(t *testing.T, zones map[string]string, algorithms ...string) named {
	t.Helper()
	program, err := exec.LookPath("named")
	if err != nil {
		if program = "/usr/sbin/named"; exec.Command(program, "-v").Run() != nil {
			t.Fatal("named is missing: install the package bind9")
		}
	}
	dir := t.TempDir()
	port, _ := testnet.Ports(t, "127.0.0.1")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var config strings.Builder
	fmt.Fprintf(&config, `options {
	directory %q; pid-file none; session-keyfile none; managed-keys-directory %q;
	listen-on port %d { 127.0.0.1; }; listen-on-v6 { none; };
	recursion %s; dnssec-validation no; notify no;
};
controls {};
key powerless { algorithm hmac-sha256; secret %q; };
`, dir, dir, port, map[bool]string{true: "yes", false: "no"}[len(zones) > 1], keySecret)
	var allowed strings.Builder
	for _, algorithm := range append(slices.Clone(algorithms), "hmac-sha256") {
		name := "wellkey-" + algorithm
		if strings.Contains(allowed.String(), name+";") {
			continue
		}
		fmt.Fprintf(&config, "key %s { algorithm %s; secret %q; };\n", name, algorithm, keySecret)
		fmt.Fprintf(&allowed, " key %s;", name)
	}
	for zone, records := range zones {
		fmt.Fprintf(&config, "zone %q { type primary; file %q; allow-update {%s }; };\n", zone, zone+".db", allowed.String())
		write(zone+".db", "$TTL 60\n@ SOA ns root 1 60 60 60 1\n@ NS ns\nns A 127.0.0.1\n"+records)
	}
	write("named.conf", config.String())
	cmd := exec.Command(program, "-g", "-c", filepath.Join(dir, "named.conf"), "-n", "1")
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/bin"}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	running, ended := make(chan struct{}), make(chan struct{})
	var said []string // read after ended
	go func() {
		defer close(ended)
		up := false
		for lines := bufio.NewScanner(log); lines.Scan(); {
			said = append(said, lines.Text())
			if !up && strings.HasSuffix(lines.Text(), " running") {
				up = true
				close(running)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // that it has ended is seen below
		<-ended
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("named:\n%s", strings.Join(said, "\n"))
		}
	})
	select {
	case <-running:
	case <-ended:
		t.Fatal("named ended")
	case <-time.After(2 * time.Minute):
		t.Fatal("named does not run")
	}
	return named{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
}

// port is where the name server of every zone answers.
func (n named) port() string {
	_, port, _ := net.SplitHostPort(n.addr)
	return port
}

// txt returns the TXT records of a name, sorted.
func (n named) txt(t *testing.T, name string) []string {
	t.Helper()
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), dns.TypeTXT)
	reply, err := dns.Exchange(query, n.addr)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, rr := range reply.Answer {
		if txt, ok := rr.(*dns.TXT); ok {
			all = append(all, strings.Join(txt.Txt, ""))
		}
	}
	slices.Sort(all)
	return all
}
