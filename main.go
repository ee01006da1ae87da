// Wellkey hosts the public key that the Tesla Fleet API asks of an application,
// and keeps its registration true.
//
// Usage:
//
//	wellkey serve [flags]      host the key and register it, for years
//	wellkey doctor [DOMAIN]    examine a domain, whoever hosts its key
//	wellkey register [DOMAIN]  register a key that is hosted anywhere, once
//	wellkey keygen             make a key where there is none
//	wellkey status             show how a running wellkey stands, and the pairing link
//	wellkey sites COMMAND      list, add, remove and check the domains of one process
//	wellkey rotate             replace the key, after which owners must pair again
//	wellkey renew --now        order a certificate, whatever the schedule says
//	wellkey migrate FROM TO    copy all state to another storage
//	wellkey healthcheck        ask a running wellkey whether it is alive
//	wellkey version            print the version
//	wellkey completion SHELL   print a script that completes commands and flags
//
// Every setting has one name in three spellings: the flag --https-addr, the
// environment variable WELLKEY_HTTPS_ADDR, and https_addr in a YAML file named
// by --config. A flag wins over the environment, that over the file, and that
// over the default. "wellkey serve --help" prints them all.
//
// The public listeners answer
//
//	https  GET, HEAD /.well-known/appspecific/com.tesla.3p.public-key.pem
//	https  everything else: your application, if there is one (upstream)
//	https  connections for other names (passthrough) go to their targets untouched
//	http   ACME challenges; everything else is redirected to https
//
// and the admin listener, which changes nothing and shows no secret,
//
//	GET /metrics   Prometheus metrics
//	GET /healthz   200 while the process is alive
//	GET /readyz    200 while the key can be served
//	GET /status    what is known of the key, the certificate, and every region
//
// Logs go to standard error: JSON, or lines for people on a terminal. Exit
// status: 0 stopped as asked, 1 failed while running, 2 wrong settings, so a
// restart would not help. Of all other commands: 0 all is well, 1 something must be
// fixed, 2 wrong settings or usage, 3 nothing is wrong but something is open.
//
// The data directory (data_dir) holds
//
//	key.pem           the key, unless key_file says otherwise
//	credentials.yaml  what Tesla's portal gave, if it is put there
//	acme-dns.json     the account at an acme-dns server, if that proves the domain
//	restored-key.pem  the public half of a lost key, rebuilt from Tesla's answer
//	staged-key.pem    the new key of a rotation that is not published yet
//	archive/          the keys that were replaced or given up; never cleaned up
//	state/            certificates, and what the registrar remembers
//	copy/             what serving needs of a shared storage while that is down
//	sites/DOMAIN/     of several domains, the keys and the credentials of each
package main

import (
	"context"
	"os"

	"wellkey/internal/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), cli.Process{
		Args:    os.Args[1:],
		Environ: os.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Own:     true,
	}))
}
