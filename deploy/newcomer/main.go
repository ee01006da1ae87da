// Newcomer is the internet of .ci/newcomer, under the names and addresses that the
// real one has: resolvers, Let's Encrypt, and Tesla. So a wellkey needs no setting
// to find its way, only roots that vouch for what is here. It wants a network of its
// own, in which the addresses are those of this machine.
//
// Usage:
//
//	go run ./deploy/newcomer -domain NAME -address IP -roots FILE -client-id ID -client-secret SECRET
//
// The domain gets a DNS record for the address, and the application an entry in
// Tesla's portal. When everything listens, the roots are in the file. It runs until
// SIGTERM.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"wellkey/internal/durable"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/registrar/fleetapi"
)

// Address is where the names of the CA and of Tesla lead. Which of them is asked
// for stands in the request.
const address = "198.51.100.10"

// letsEncrypt is where the directory of Let's Encrypt is.
//
// Source: https://letsencrypt.org/docs/acme-protocol-updates/
const letsEncrypt = "acme-v02.api.letsencrypt.org"

type options struct {
	domain, address, roots, clientID, clientSecret string
}

func main() {
	var o options
	flag.StringVar(&o.domain, "domain", "", "the newcomer's domain")
	flag.StringVar(&o.address, "address", "", "where it leads")
	flag.StringVar(&o.roots, "roots", "", "file that is written: the roots of this internet")
	flag.StringVar(&o.clientID, "client-id", "", "of the application in the portal")
	flag.StringVar(&o.clientSecret, "client-secret", "", "of the application in the portal; it is worth nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintf(os.Stderr, "newcomer: %v\n", err)
		os.Exit(1)
	}
}

// run is the internet until ctx is done.
func run(ctx context.Context, o options) (err error) {
	dns, err := testdns.StartAt("0.0.0.0:53")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dns.Close()) }()
	dns.Set(o.domain, "A "+o.address)

	ca, err := testca.Start(testca.Config{HTTPPort: 80, TLSPort: 443, DNS: "127.0.0.1:53", Log: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ca.Close()) }()
	signer, err := testca.NewSigner()
	if err != nil {
		return err
	}
	pem := append(signer.RootsPEM(), ca.RootsPEM()...)
	roots, apiRoots := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	apiRoots.AppendCertsFromPEM(ca.APIRootsPEM())

	tesla := fleetsim.New(fleetsim.Config{Roots: roots, OnRequest: func(r fleetsim.Request) {
		log.Printf("tesla %s %s: %d", r.Operation, r.Region, r.Status)
	}})
	if err := tesla.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tesla.Close()) }()
	tesla.AddApp(fleetsim.App{ClientID: o.clientID, Secret: o.clientSecret, Name: "Newcomer", AllowedOrigins: []string{"https://" + o.domain}})

	hosts, err := services(ca, apiRoots, tesla)
	if err != nil {
		return err
	}
	var names []string
	for name := range hosts {
		dns.Set(name, "A "+address)
		names = append(names, name)
	}
	leaf, err := signer.Issue(testca.LeafOptions{}, names...)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "443"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: hosts, TLSConfig: &tls.Config{Certificates: []tls.Certificate{leaf.Certificate}}}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := durable.WriteFile(o.roots, pem, 0o644); err != nil {
		return err
	}
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// hosts are the services by the name that a client asks for.
type hosts map[string]http.Handler

// ServeHTTP implements http.Handler.
func (h hosts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if service, ok := h[r.Host]; ok {
		service.ServeHTTP(w, r)
		return
	}
	http.Error(w, "nobody here is "+strconv.Quote(r.Host), http.StatusMisdirectedRequest)
}

// services returns what stands behind the names of Let's Encrypt and Tesla.
func services(ca *testca.CA, apiRoots *x509.CertPool, tesla *fleetsim.Sim) (hosts, error) {
	all := hosts{}
	add := func(public, local string, change func(*http.Request) error) error {
		name, err := url.Parse(public)
		if err != nil {
			return err
		}
		target, err := url.Parse(local)
		if err != nil {
			return err
		}
		all[name.Host] = &httputil.ReverseProxy{
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: apiRoots, ServerName: "localhost"}},
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host})
				r.Out.Host = r.In.Host // Pebble makes its URLs from it
				if err := change(r.Out); err != nil {
					log.Printf("%s: %v", name.Host, err)
				}
			},
		}
		return nil
	}
	same := func(*http.Request) error { return nil }
	// The directory of Let's Encrypt has another path than Pebble's.
	err := add("https://"+letsEncrypt, ca.Directory(), func(r *http.Request) error {
		if r.URL.Path == "/directory" {
			r.URL.Path = testca.DirectoryPath
		}
		return nil
	})
	// The simulated Tesla knows its regions by the addresses that it has here.
	audiences := []string{}
	for region, base := range tesla.BaseURLs() {
		audiences = append(audiences, url.QueryEscape(region.BaseURL()), url.QueryEscape(base))
		err = errors.Join(err, add(region.BaseURL(), base, same))
	}
	here := strings.NewReplacer(audiences...)
	err = errors.Join(err, add(fleetapi.NA.AuthURL(), tesla.AuthURL(), func(r *http.Request) error {
		form, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		form = []byte(here.Replace(string(form)))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(form)), int64(len(form))
		r.Header.Set("Content-Length", strconv.Itoa(len(form)))
		return nil
	}))
	return all, err
}
