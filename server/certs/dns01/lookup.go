package dns01

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// queryTimeout ends a question to one server.
	queryTimeout = 5 * time.Second

	// maxChain is how many CNAMEs are followed, as resolvers do.
	maxChain = 8
)

// follow returns the name at the end of the CNAMEs of name. Resolvers answer with
// the whole chain, and others with a link at a time.
func (s *Solver) follow(ctx context.Context, name string) (string, error) {
	passed := []string{dns.CanonicalName(name)}
	for range maxChain {
		last := passed[len(passed)-1]
		reply, err := s.resolve(ctx, last, dns.TypeCNAME)
		if err != nil {
			return "", wrap(KindLookup, err, "looking whether %s is a CNAME", plain(last))
		}
		i := slices.IndexFunc(reply.Answer, func(rr dns.RR) bool {
			return rr.Header().Rrtype == dns.TypeCNAME && dns.CanonicalName(rr.Header().Name) == last
		})
		if i < 0 {
			return plain(last), nil
		}
		next := dns.CanonicalName(reply.Answer[i].(*dns.CNAME).Target)
		if slices.Contains(passed, next) {
			return "", fail(KindDelegation, "the CNAME of %s leads in a circle: %s", name, strings.Join(append(passed, next), " "))
		}
		passed = append(passed, next)
	}
	return "", fail(KindDelegation, "the CNAME of %s is one of a chain of more than %d", name, maxChain)
}

// resolve asks the resolvers, one after the other, until one knows an answer or
// that there is none.
func (s *Solver) resolve(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	var errs []error
	for _, resolver := range s.cfg.Resolvers {
		reply, err := ask(ctx, resolver, name, kind, true)
		if err == nil && reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
			err = fmt.Errorf("resolver %s answered %s", resolver, dns.RcodeToString[reply.Rcode])
		}
		if err == nil {
			return reply, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// ask asks one server, over TCP where UDP cuts the answer or gets none.
func ask(ctx context.Context, server, name string, kind uint16, recurse bool) (*dns.Msg, error) {
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), kind)
	query.RecursionDesired = recurse
	query.SetEdns0(1232, false) // https://www.dnsflagday.net/2020/
	return exchange(ctx, server, query, dns.Client{Timeout: queryTimeout})
}

func exchange(ctx context.Context, server string, query *dns.Msg, client dns.Client) (*dns.Msg, error) {
	client.Net = "udp"
	reply, _, err := client.ExchangeContext(ctx, query, server)
	if timeout := net.Error(nil); err == nil && reply.Truncated || errors.As(err, &timeout) && timeout.Timeout() {
		client.Net = "tcp"
		reply, _, err = client.ExchangeContext(ctx, query, server)
	}
	if err != nil {
		err = fmt.Errorf("asking %s: %w", server, err)
	}
	return reply, err
}

// A nameServer is one address of a name server.
type nameServer struct{ name, addr string }

func (n nameServer) String() string { return plain(n.name) + " (" + n.addr + ")" }

// nameServers returns all addresses of the name servers of the zone that name is
// in; none if nobody knows them.
func (s *Solver) nameServers(ctx context.Context, name string) []nameServer {
	name = dns.CanonicalName(name)
	for _, at := range dns.Split(name) {
		reply, err := s.resolve(ctx, name[at:], dns.TypeNS)
		if err != nil {
			return nil
		}
		var all []nameServer
		for _, rr := range reply.Answer {
			if ns, ok := rr.(*dns.NS); ok && dns.CanonicalName(ns.Hdr.Name) == name[at:] {
				all = append(all, s.addresses(ctx, ns.Ns)...)
			}
		}
		if len(all) > 0 {
			return all
		}
	}
	return nil
}

// addresses returns those of one name server; what cannot be looked up is none.
func (s *Solver) addresses(ctx context.Context, name string) []nameServer {
	var all []nameServer
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		reply, err := s.resolve(ctx, name, kind)
		if err != nil {
			continue
		}
		for _, rr := range reply.Answer {
			switch rr := rr.(type) {
			case *dns.A:
				all = append(all, nameServer{name, net.JoinHostPort(rr.A.String(), s.cfg.Port)})
			case *dns.AAAA:
				all = append(all, nameServer{name, net.JoinHostPort(rr.AAAA.String(), s.cfg.Port)})
			}
		}
	}
	return all
}

// plain returns a name without its final dot.
func plain(name string) string { return strings.TrimSuffix(name, ".") }
