package dns01

import (
	"context"
	"fmt"
	"strings"

	"github.com/miekg/dns"
	"go.uber.org/zap"

	"wellkey/internal/contain"
)

// seen blocks until the record is where the CA will find it, whichever name
// server it asks. The name servers themselves are asked, since a resolver that
// finds nothing remembers that for as long as the zone says (RFC 2308).
func (s *Solver) seen(ctx context.Context, r Record) error {
	looking, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	last := ""
	for {
		missing := s.look(looking, r)
		if missing == "" {
			return nil
		}
		if looking.Err() == nil {
			last = missing // and not that the time was up while somebody was asked
		}
		s.log.Debug("challenge record not seen yet", zap.String("name", r.Name), zap.String("missing", missing))
		if s.cfg.Wait(looking, s.cfg.Interval) == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if last == "" {
			last = missing
		}
		return fail(KindUnseen, "the TXT record of %s was added, and is not seen after %v: %s", r.Name, s.cfg.Timeout, last)
	}
}

// look returns who lacks the record, or "".
func (s *Solver) look(ctx context.Context, r Record) string {
	servers := s.nameServers(ctx, r.Name)
	answers := make([]string, len(servers))
	reached := make([]bool, len(servers))
	contain.Together(len(servers), func(i int) {
		server := servers[i]
		reply, err := ask(ctx, server.addr, r.Name, dns.TypeTXT, false)
		switch reached[i] = err == nil; {
		case err != nil:
			answers[i] = ""
		case reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError:
			answers[i] = fmt.Sprintf("%s answers %s", server, dns.RcodeToString[reply.Rcode])
		case !holds(reply, r.Value):
			answers[i] = server.String() + " does not have it"
		}
	})
	var missing []string
	reachable := false
	for i := range servers {
		reachable = reachable || reached[i]
		if answers[i] != "" {
			missing = append(missing, answers[i])
		}
	}
	if !reachable {
		return s.lookThrough(ctx, r)
	}
	return strings.Join(missing, ", ")
}

// lookThrough asks the resolvers: for networks that let nobody else be asked, and
// where some addresses, of IPv6 for one, cannot be reached from here.
func (s *Solver) lookThrough(ctx context.Context, r Record) string {
	reply, err := s.resolve(ctx, r.Name, dns.TypeTXT)
	switch {
	case err != nil:
		return "no name server of its zone can be reached from here, and no resolver knows it: " + quote(err.Error())
	case !holds(reply, r.Value):
		return "no name server of its zone can be reached from here, and resolvers do not have it"
	}
	return ""
}

// holds reports whether a TXT record of the answer has the value. A long one is
// in several strings.
func holds(reply *dns.Msg, value string) bool {
	for _, rr := range reply.Answer {
		if txt, ok := rr.(*dns.TXT); ok && strings.Join(txt.Txt, "") == value {
			return true
		}
	}
	return false
}
