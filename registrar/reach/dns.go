package reach

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// maxChain is how many CNAME records are followed, as many as common resolvers
// do.
const maxChain = 8

// An answer is what one resolver says about one name and type.
type answer struct {
	addresses []netip.Addr
	records   []dns.RR // of the type that was asked for
	chain     []string // the names that CNAME records lead through, without trailing dots
	nxdomain  bool
	err       error // no usable answer came
}

// A badAnswer is the error of an answer that came, and says that there is none to be
// had: whoever else asks meets the same. That a resolver refuses us is none: it may
// serve others.
type badAnswer struct{ text string }

func (e *badAnswer) Error() string { return e.text }

// ask asks resolver for the records of name, and follows CNAME records where
// the resolver has not done so.
func ask(ctx context.Context, resolver, name string, kind uint16) answer {
	var a answer
	at := dns.Fqdn(name)
	for len(a.chain) <= maxChain {
		reply, err := query(ctx, resolver, at, kind)
		if err != nil {
			return answer{err: err}
		}
		next := a.take(reply, at, kind)
		a.nxdomain = reply.Rcode == dns.RcodeNameError
		if a.nxdomain || len(a.records) > 0 || next == at {
			return a
		}
		at = next
	}
	return answer{err: &badAnswer{fmt.Sprintf("the CNAME records of %s lead in a circle or through more than %d names", quote(name), maxChain)}}
}

// take adds what reply says about the name at, and about the names that its
// CNAME records lead to, and returns the last of them. Records of other names
// are nobody's business.
func (a *answer) take(reply *dns.Msg, at string, kind uint16) string {
	for range maxChain + 1 {
		next := at
		for _, record := range reply.Answer {
			if dns.CanonicalName(record.Header().Name) != dns.CanonicalName(at) {
				continue
			}
			if alias, ok := record.(*dns.CNAME); ok && kind != dns.TypeCNAME {
				next = alias.Target
			} else if record.Header().Rrtype == kind {
				a.records = append(a.records, record)
				a.addAddress(record)
			}
		}
		if len(a.records) > 0 || next == at {
			return at
		}
		at = next
		a.chain = append(a.chain, at[:len(at)-1])
	}
	return at
}

func (a *answer) addAddress(record dns.RR) {
	switch r := record.(type) {
	case *dns.A:
		if ip, ok := netip.AddrFromSlice(r.A.To4()); ok {
			a.addresses = append(a.addresses, ip)
		}
	case *dns.AAAA:
		if ip, ok := netip.AddrFromSlice(r.AAAA.To16()); ok {
			a.addresses = append(a.addresses, ip)
		}
	}
}

// query sends one question, over UDP and twice since a packet may be lost, then
// over TCP where the answer was cut. Replies other than NOERROR and NXDOMAIN are
// errors.
func query(ctx context.Context, resolver, name string, kind uint16) (*dns.Msg, error) {
	question := new(dns.Msg).SetQuestion(name, kind)
	question.SetEdns0(1232, false) // the size that fits any path: DNS Flag Day 2020
	reply, err := exchange(ctx, "udp", resolver, question, untilHalf(ctx))
	if err != nil && ctx.Err() == nil {
		reply, err = exchange(ctx, "udp", resolver, question, 0)
	}
	cut := ""
	if err == nil && reply.Truncated {
		cut = "its answer was too long for UDP, and over TCP "
		reply, err = exchange(ctx, "tcp", resolver, question, 0)
	}
	switch {
	case err != nil && timedOut(ctx, err):
		return nil, errors.New(cut + "it did not answer in time")
	case err != nil:
		return nil, fmt.Errorf("%sit could not be asked (%s)", cut, quote(err.Error()))
	case !answers(reply, question):
		return nil, errors.New("it answered another question than ours")
	case reply.Rcode == dns.RcodeServerFailure:
		return nil, &badAnswer{"it answered " + rcode(reply.Rcode)}
	case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
		return nil, errors.New("it answered " + rcode(reply.Rcode))
	}
	return reply, nil
}

// exchange sends question once and waits for the reply, for at most the given
// time if it is not 0, and until ctx ends.
func exchange(ctx context.Context, network, resolver string, question *dns.Msg, wait time.Duration) (*dns.Msg, error) {
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	// Only ctx bounds the exchange: the library's own timeouts are out of the way.
	client := &dns.Client{Net: network, Timeout: time.Hour}
	conn, err := client.DialContext(ctx, resolver)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends a read under way; there is nothing to do about its error
	defer stop()
	reply, _, err := client.ExchangeWithConnContext(ctx, question, conn)
	return reply, err
}

// untilHalf returns half of the time that ctx leaves.
func untilHalf(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(time.Until(deadline)/2, time.Millisecond)
}

// answers reports whether reply is one to question.
func answers(reply, question *dns.Msg) bool {
	if !reply.Response || len(reply.Question) != 1 {
		return false
	}
	got, want := reply.Question[0], question.Question[0]
	return got.Qtype == want.Qtype && dns.CanonicalName(got.Name) == dns.CanonicalName(want.Name)
}

func rcode(code int) string {
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return fmt.Sprintf("response code %d", code)
}
