// Demo shows wellkey at work, from nothing to a key that is registered in every
// region, on this machine alone and without root.
//
// It runs a DNS server, an ACME CA (Pebble), a simulated Tesla Fleet API, and
// wellkey itself, through the code of the real program and with its ordinary
// settings; all of them on ports of loopback that are free. Nothing leaves the
// machine. What happens is told line by line, with the seconds since the start;
// then everything stays up to be looked at, until Ctrl-C.
//
// Usage:
//
//	go run ./deploy/demo [flags]
//
//	-once         end when it is decided: exit 0 if the key is registered in
//	              every region and a TLS client from outside agrees, else name
//	              what is wrong and exit 1
//	-fault CODE   let Tesla refuse, or fail, in this way; see -list-faults
//	-list-faults  print all faults with one line each
//	-data DIR     keep all state in DIR: a second run then has nothing to do
//	-domain NAME  the domain to host (example.com)
//	-host ADDR    the loopback address that wellkey listens on (one that nobody else has)
//
// A fault lasts as long as the demo. Those that say "nothing is registered
// here" in answer to a question (not_registered_in_region, domain_not_set,
// domain_of_another_app, key_not_found) are no obstacle to wellkey: it goes on
// to register. As Tesla gives the same answer to the question after that, the
// registration is not confirmed, so -once exits 1 with them as with all others.
//
// Exit status: 0 stopped as asked, or -once and all is well; 1 something is
// wrong; 2 wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"wellkey/deploy/trial"
	"wellkey/internal/config"
	"wellkey/internal/testhost"
)

func main() {
	// SIGHUP, too: it is for wellkey a reason to reload, and so would not end a
	// demo whose terminal is gone.
	trial.Main(run, syscall.SIGHUP)
}

// run is the whole program. It returns the exit code after everything that it
// started has ended.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return trial.Run("demo", args, stderr, parse, func(o options) (err error) {
		out := newTimeline(stdout, os.Environ())
		switch {
		case o.help:
			out.p.Print(usage)
		case o.listFaults:
			out.faults()
		default:
			err = show(ctx, o, out)
		}
		return errors.Join(err, out.p.Err())
	})
}

// options is what the command line asks for.
type options struct {
	help, listFaults, once bool
	fault                  fault // the zero fault is none
	domain, host, data     string
}

const usage = `Shows wellkey at work, all on this machine: a DNS server, an ACME CA, a
simulated Tesla Fleet API, and wellkey with its ordinary settings.

Usage: go run ./deploy/demo [flags]

  -once         end when it is decided: exit 0 if the key is registered in every
                region and a TLS client from outside agrees; else say what is
                wrong and exit 1
  -fault CODE   let Tesla refuse, or fail, in this way, for as long as the demo runs
  -list-faults  print all faults with one line each
  -data DIR     keep all state in DIR: a second run then has nothing to do
  -domain NAME  the domain to host (example.com)
  -host ADDR    the loopback address that wellkey listens on (one that nobody else has)

The faults not_registered_in_region, domain_not_set, domain_of_another_app and
key_not_found are Tesla's ways to say that nothing is registered yet, so wellkey
goes on to register. Tesla then says the same to the question that reads the
registration back: it is not confirmed, and -once exits 1 as with every fault.
`

// parse reads the command line. Its error is for whoever typed it.
func parse(args []string, _ io.Writer) (options, error) {
	var o options
	flags := trial.Flags("demo", io.Discard) // its usage is told as all else is, and not by flag
	flags.BoolVar(&o.once, "once", false, "")
	flags.BoolVar(&o.listFaults, "list-faults", false, "")
	flags.StringVar(&o.data, "data", "", "")
	flags.StringVar(&o.host, "host", testhost.New(), "")
	flags.StringVar(&o.domain, "domain", defaultDomain, "")
	code := flags.String("fault", "", "")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return options{help: true}, nil
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("there is no argument %q", flags.Arg(0))
	}
	if err != nil {
		return o, fmt.Errorf("%s; see -help", strings.TrimPrefix(err.Error(), "flag provided but "))
	}
	if s := config.CheckDomain(o.domain); s.What != "" {
		return o, fmt.Errorf("-domain: %s. %s", s.What, s.Fix)
	}
	if addr, err := netip.ParseAddr(o.host); err != nil || !addr.Is4() || !addr.IsLoopback() {
		return o, fmt.Errorf("-host: %q is no loopback address. Choose one that begins with 127", o.host)
	}
	if *code != "" {
		o.fault, err = findFault(*code, o.domain)
	}
	return o, err
}
