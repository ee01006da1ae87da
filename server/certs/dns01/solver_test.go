package dns01_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"

	"wellkey/internal/testnet"
	"wellkey/server/certs/dns01"
)

// memory is a provider that does nothing but remember.
type memory struct {
	added, removed []dns01.Record
	err            error
}

func (m *memory) Add(_ context.Context, r dns01.Record) error {
	m.added = append(m.added, r)
	return m.err
}

func (m *memory) Remove(ctx context.Context, r dns01.Record) error {
	m.removed = append(m.removed, r)
	return ctx.Err()
}

func challengeOf(domain string) acme.Challenge {
	return acme.Challenge{Type: acme.ChallengeTypeDNS01, Token: "t-" + domain, KeyAuthorization: "t." + domain, Identifier: acme.Identifier{Type: "dns", Value: domain}}
}

func solver(t *testing.T, cfg dns01.Config) *dns01.Solver {
	t.Helper()
	s, err := dns01.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDelegationIsFollowed(t *testing.T) {
	t.Parallel()
	names := testnet.DNS(t)
	names.Set("_acme-challenge.chain.test", "CNAME Middle.test.")
	names.Set("middle.test", "CNAME end.delegated.test.")
	names.Set("_acme-challenge.circle.test", "CNAME back.circle.test.")
	names.Set("back.circle.test", "CNAME _acme-challenge.circle.test.")
	names.Rcode("_acme-challenge.broken.test", dns.RcodeServerFailure)
	names.Set("_acme-challenge.long.test", "CNAME n0.long.test.")
	for i := range 9 {
		names.Set("n"+string(rune('0'+i))+".long.test", "CNAME n"+string(rune('1'+i))+".long.test.")
	}
	for _, test := range []struct {
		domain, want string
		kind         dns01.Kind
	}{
		{"plain.test", "_acme-challenge.plain.test", ""},
		{"chain.test", "end.delegated.test", ""},
		{"circle.test", "the CNAME of _acme-challenge.circle.test leads in a circle: _acme-challenge.circle.test. back.circle.test. _acme-challenge.circle.test.", dns01.KindDelegation},
		{"long.test", "the CNAME of _acme-challenge.long.test is one of a chain of more than 8", dns01.KindDelegation},
		{"broken.test", "looking whether _acme-challenge.broken.test is a CNAME: resolver " + names.Addr() + " answered SERVFAIL", dns01.KindLookup},
	} {
		provider := &memory{}
		err := solver(t, dns01.Config{Provider: provider, Resolvers: []string{names.Addr()}}).Present(t.Context(), challengeOf(test.domain))
		if test.kind != "" {
			checkError(t, err, test.kind, test.want)
			continue
		}
		if err != nil || len(provider.added) != 1 || provider.added[0].Name != test.want || provider.added[0].Domain != test.domain {
			t.Errorf("%s: got %+v, %v, want %s", test.domain, provider.added, err, test.want)
		}
	}
	// A resolver that does not answer is passed over.
	provider := &memory{}
	if err := solver(t, dns01.Config{Provider: provider, Resolvers: []string{"127.0.0.1:1", names.Addr()}}).Present(t.Context(), challengeOf("chain.test")); err != nil {
		t.Error(err)
	}
	err := solver(t, dns01.Config{Provider: provider, Resolvers: []string{"127.0.0.1:1"}}).Present(t.Context(), challengeOf("chain.test"))
	checkError(t, err, dns01.KindLookup, "asking 127.0.0.1:1: ")
}

func TestCleanUp(t *testing.T) {
	t.Parallel()
	names := testnet.DNS(t)
	provider := &memory{}
	s := solver(t, dns01.Config{Provider: provider, Resolvers: []string{names.Addr()}})
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Present(ctx, challengeOf("a.test")); err != nil {
		t.Fatal(err)
	}
	cancel() // as at a shutdown
	for range 2 {
		if err := s.CleanUp(ctx, challengeOf("a.test")); err != nil {
			t.Fatal(err)
		}
	}
	if len(provider.removed) != 1 || provider.removed[0] != provider.added[0] {
		t.Errorf("got %+v, want %+v once", provider.removed, provider.added)
	}
	provider.err = errors.New("no")
	checkError(t, s.Present(t.Context(), challengeOf("b.test")), dns01.KindProvider, "adding the TXT record of _acme-challenge.b.test: no")
	if err := s.CleanUp(t.Context(), challengeOf("b.test")); err != nil || len(provider.removed) != 1 {
		t.Errorf("what was not added is removed: %v, %+v", err, provider.removed)
	}
}

// Of two name servers, both must have the record; what resolvers say does not
// count while one of them can be asked.
func TestEveryNameServerMustHaveIt(t *testing.T) {
	t.Parallel()
	names := testnet.DNS(t)
	_, port, _ := net.SplitHostPort(names.Addr())
	value := challengeOf("two.test").DNS01KeyAuthorization()
	names.Set("two.test", "NS ns1.two.test.", "NS ns2.two.test.", "NS ns3.two.test.")
	names.Set("ns1.two.test", "A 127.0.0.1")
	names.Set("ns2.two.test", "A 127.0.0.2")
	names.Set("ns3.two.test", "A 127.0.0.3") // cannot be reached
	names.Set("_acme-challenge.two.test", "TXT other", "TXT "+value)
	var has atomic.Bool
	second := fakeDNSAt(t, net.JoinHostPort("127.0.0.2", port), func(reply *dns.Msg) {
		if reply.RecursionDesired {
			reply.Rcode = dns.RcodeRefused
		} else if has.Load() {
			reply.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: reply.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{value[:20], value[20:]}}}
		} else {
			reply.Rcode = dns.RcodeNameError
		}
	})
	var waits []time.Duration
	cfg := dns01.Config{Provider: &memory{}, Resolvers: []string{names.Addr()}, Port: port, Timeout: time.Minute, Delay: 7 * time.Second,
		Wait: func(_ context.Context, d time.Duration) error {
			waits = append(waits, d)
			has.Store(len(waits) > 1)
			return nil
		}}
	s := solver(t, cfg)
	if err := s.Present(t.Context(), challengeOf("two.test")); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), challengeOf("two.test")); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{2 * time.Second, 2 * time.Second, 7 * time.Second}; !slices.Equal(waits, want) {
		t.Errorf("got waits %v, want %v", waits, want)
	}

	has.Store(false)
	cfg.Timeout = 3 * time.Second // the name servers are to be found and to answer within it
	cfg.Wait = func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return ctx.Err() }
	s = solver(t, cfg)
	if err := s.Present(t.Context(), challengeOf("two.test")); err != nil {
		t.Fatal(err)
	}
	checkError(t, s.Wait(t.Context(), challengeOf("two.test")), dns01.KindUnseen,
		"the TXT record of _acme-challenge.two.test was added, and is not seen after 3s: ns2.two.test ("+second+") does not have it")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx, challengeOf("two.test")); !errors.Is(err, context.Canceled) {
		t.Errorf("at a shutdown: got %v", err)
	}
}

// Where no name server can be asked from here, resolvers are.
func TestResolversAreAskedInstead(t *testing.T) {
	t.Parallel()
	names := testnet.DNS(t)
	names.Set("far.test", "NS ns.far.test.")
	names.Set("ns.far.test", "A 127.0.0.3")
	_, port, _ := net.SplitHostPort(names.Addr())
	waits := 0
	s := solver(t, dns01.Config{Provider: &memory{}, Resolvers: []string{names.Addr()}, Port: port, Timeout: time.Minute,
		Wait: func(context.Context, time.Duration) error {
			waits++
			names.Set("_acme-challenge.far.test", "TXT "+challengeOf("far.test").DNS01KeyAuthorization())
			return nil
		}})
	if err := s.Present(t.Context(), challengeOf("far.test")); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), challengeOf("far.test")); err != nil || waits != 2 {
		t.Errorf("got %v after %d waits, want one look again and the delay", err, waits)
	}
}

func TestNotLooking(t *testing.T) {
	t.Parallel()
	names := testnet.DNS(t)
	var waits []time.Duration
	s := solver(t, dns01.Config{Provider: &memory{}, Resolvers: []string{names.Addr()}, Delay: time.Minute,
		Wait: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }})
	if err := s.Present(t.Context(), challengeOf("a.test")); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), challengeOf("a.test")); err != nil || !slices.Equal(waits, []time.Duration{time.Minute}) || names.Queries("_acme-challenge.a.test", dns.TypeTXT) != 0 {
		t.Errorf("got %v, %v", err, waits)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, cfg := range map[string]dns01.Config{"no provider": {Resolvers: []string{"a"}}, "no resolver": {Provider: &memory{}}} {
		if _, err := dns01.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
