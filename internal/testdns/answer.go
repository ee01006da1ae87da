package testdns

import (
	"io"
	"strings"

	"github.com/miekg/dns"
)

// maxChain is how many CNAMEs are followed; more, or a loop, is SERVFAIL as
// from a resolver.
const maxChain = 8

// serve answers one query.
func (s *Server) serve(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg)
	if len(query.Question) != 1 {
		_ = w.WriteMsg(reply.SetRcodeFormatError(query)) // the client has gone: nobody to tell
		return
	}
	reply.SetReply(query)
	reply.Authoritative = true
	reply.RecursionAvailable = query.RecursionDesired // we stand in for a resolver, too
	asked := query.Question[0]
	if !s.fill(reply, question{dns.CanonicalName(asked.Name), asked.Qtype}) {
		return
	}
	size := dns.MinMsgSize
	if options := query.IsEdns0(); options != nil {
		size = int(options.UDPSize())
		reply.SetEdns0(options.UDPSize(), options.Do())
	}
	if w.RemoteAddr().Network() == "tcp" {
		size = dns.MaxMsgSize
	}
	reply.Truncate(size)
	if size != dns.MaxMsgSize && s.cuts(question{dns.CanonicalName(asked.Name), asked.Qtype}) {
		reply.Answer, reply.Truncated = nil, true
	}
	_ = w.WriteMsg(reply) // the client has gone: nobody to tell
}

// fill puts the answer to q into reply. It returns false where there must be
// no reply at all.
func (s *Server) fill(reply *dns.Msg, q question) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[q]++
	for range maxChain + 1 {
		if f, ok := s.faultOf(q); ok && !f.cut {
			reply.Rcode = f.rcode
			return !f.hang
		}
		found, next := s.lookup(q)
		reply.Answer = append(reply.Answer, found...)
		if next != "" {
			q.name = next
			continue
		}
		if len(found) == 0 {
			reply.Ns = []dns.RR{s.authority(q.name)}
			if !s.exists(q.name) {
				reply.Rcode = dns.RcodeNameError
			}
		}
		return true
	}
	reply.Answer, reply.Rcode = nil, dns.RcodeServerFailure
	return true
}

// cuts reports whether the answer to q is cut over UDP.
func (s *Server) cuts(q question) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, _ := s.faultOf(q)
	return f.cut
}

func (s *Server) faultOf(q question) (fault, bool) {
	f, ok := s.faults[q]
	if !ok {
		f, ok = s.faults[question{q.name, dns.TypeANY}]
	}
	return f, ok
}

// lookup returns the records that answer q, and where a CNAME leads if that is
// all there is.
func (s *Server) lookup(q question) (found []dns.RR, next string) {
	for _, record := range s.records[q.name] {
		if record.Header().Rrtype == q.kind || q.kind == dns.TypeANY {
			found = append(found, dns.Copy(record))
		} else if alias, ok := record.(*dns.CNAME); ok {
			return []dns.RR{dns.Copy(record)}, dns.CanonicalName(alias.Target)
		}
	}
	return found, ""
}

// exists reports whether name or a name below it has been set: a name that has
// only descendants is NODATA, not NXDOMAIN (RFC 8020).
func (s *Server) exists(name string) bool {
	if _, set := s.records[name]; set {
		return true // without a look at all others, of which there may be many
	}
	for known := range s.records {
		if dns.IsSubDomain(name, known) {
			return true
		}
	}
	return false
}

// authority returns the SOA record of the closest zone above name that was
// set, else one for the root.
func (s *Server) authority(name string) dns.RR {
	for _, offset := range append(dns.Split(name), len(name)-1) {
		for _, record := range s.records[name[offset:]] {
			if record.Header().Rrtype == dns.TypeSOA {
				return dns.Copy(record)
			}
		}
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 1},
		Ns:  "ns.test.", Mbox: "root.test.", Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1,
	}
}

// newLine returns one line of a zone file.
func newLine(name, record string) io.Reader { return strings.NewReader(name + " " + record + "\n") }
