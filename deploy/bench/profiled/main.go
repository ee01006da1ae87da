// Profiled is wellkey as it is shipped, which beside that gives a profile of its
// processor time at an address of the loopback. What is shipped has no such address:
// a profile tells what a process does, and making one costs time.
//
// Usage: profiled ADDR COMMAND...
//
// COMMAND is one of wellkey's, with what belongs to it. The profile of the next ten
// seconds is at http://ADDR/debug/pprof/profile?seconds=10.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"wellkey/internal/cli"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: profiled ADDR COMMAND...")
		os.Exit(2)
	}
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintf(os.Stderr, "profiled: %v\n", err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	profiles := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = profiles.Serve(listener) }() // until the process ends
	os.Exit(cli.Run(context.Background(), cli.Process{
		Args:    os.Args[2:],
		Environ: os.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Own:     true,
	}))
}
