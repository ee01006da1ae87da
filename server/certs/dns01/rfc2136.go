package dns01

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/secret"
)

// RFC2136 are the settings of a name server that takes dynamic updates (RFC
// 2136), signed by a key that both sides know (TSIG, RFC 8945): BIND, Knot,
// PowerDNS, Windows.
type RFC2136 struct {
	Server    string      // host:port of the primary
	Zone      string      // "" = what Server says the record is in
	Name      string      // of the key; "" = updates are not signed
	Algorithm string      // one of algorithms; "" = hmac-sha256
	Secret    secret.Text // base64

	Now func() time.Time // by which updates are signed; nil = time.Now
}

// algorithms are those by which an update can be signed.
func algorithms() []string {
	return []string{"hmac-sha256", "hmac-sha512", "hmac-sha384", "hmac-sha224", "hmac-sha1"}
}

// fudge is by how many seconds the clocks may differ, as RFC 8945, section 10,
// wants it.
const fudge = 300

type rfc2136 struct{ cfg RFC2136 }

// NewRFC2136 checks cfg and returns its Provider.
func NewRFC2136(cfg RFC2136) (Provider, error) {
	cfg.Algorithm = cmp.Or(cfg.Algorithm, algorithms()[0])
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if _, err := base64.StdEncoding.DecodeString(cfg.Secret.Reveal()); err != nil {
		return nil, errors.New("the secret of the TSIG key is not in base64")
	}
	if (cfg.Name == "") != cfg.Secret.IsZero() {
		return nil, errors.New("name and secret of the TSIG key belong together")
	}
	return &rfc2136{cfg}, nil
}

func (p *rfc2136) Add(ctx context.Context, r Record) error {
	return p.update(ctx, r, (*dns.Msg).Insert)
}

func (p *rfc2136) Remove(ctx context.Context, r Record) error {
	return p.update(ctx, r, (*dns.Msg).Remove)
}

func (p *rfc2136) update(ctx context.Context, r Record, change func(*dns.Msg, []dns.RR)) error {
	zone, err := p.zone(ctx, r.Name)
	if err != nil {
		return err
	}
	update := new(dns.Msg)
	update.SetUpdate(zone)
	change(update, []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: dns.Fqdn(r.Name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: ttl},
		Txt: []string{r.Value},
	}})
	reply, err := p.exchange(ctx, update)
	if reply != nil && (reply.Rcode != dns.RcodeSuccess || err == nil) {
		return p.judge(reply, zone) // what the server says goes before that it did not sign it
	}
	return p.unanswered(err)
}

// zone returns the zone of name, with a final dot: the server itself says it, in
// the SOA record of an answer or beside that there is none (RFC 2308).
func (p *rfc2136) zone(ctx context.Context, name string) (string, error) {
	if p.cfg.Zone != "" {
		return dns.CanonicalName(p.cfg.Zone), nil
	}
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), dns.TypeSOA)
	query.RecursionDesired = false // what it is the primary of, it knows
	reply, err := p.exchange(ctx, query)
	if reply == nil || err != nil && reply.Rcode == dns.RcodeSuccess {
		return "", p.unanswered(err)
	}
	for _, rr := range append(reply.Answer, reply.Ns...) {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, dns.Fqdn(name)) {
			return dns.CanonicalName(soa.Hdr.Name), nil
		}
	}
	if err := tsigError(reply); err != 0 {
		return "", p.judge(reply, name)
	}
	return "", fail(KindZone, "the server %s does not say in which zone %s is (%s): set dns_rfc2136_zone, or dns_rfc2136_server to the primary of the zone",
		p.cfg.Server, name, dns.RcodeToString[reply.Rcode])
}

// exchange sends a message, signed if there is a key. It goes over TCP, where the
// answer of a server cannot be forged blindly and nothing is sent twice, and over
// UDP where nobody listens on TCP.
func (p *rfc2136) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	client := dns.Client{Net: "tcp", Timeout: queryTimeout}
	if p.cfg.Name != "" {
		name := dns.CanonicalName(p.cfg.Name)
		client.TsigSecret = map[string]string{name: p.cfg.Secret.Reveal()}
		m.SetTsig(name, dns.Fqdn(p.cfg.Algorithm), fudge, p.cfg.Now().Unix())
	}
	reply, _, err := client.ExchangeContext(ctx, m, p.cfg.Server)
	if reply == nil && err != nil {
		client.Net = "udp"
		var second error
		if reply, _, second = client.ExchangeContext(ctx, m, p.cfg.Server); reply != nil || second == nil {
			err = second
		}
	}
	if err == nil && p.cfg.Name != "" && reply.Rcode == dns.RcodeSuccess && reply.IsTsig() == nil {
		err = dns.ErrNoSig
	}
	return reply, err
}

// unanswered says why there is no answer that counts.
func (p *rfc2136) unanswered(err error) error {
	switch {
	case errors.Is(err, dns.ErrNoSig), errors.Is(err, dns.ErrSig):
		return fail(KindProvider, "the answer of %s is not signed with the key %q: dns_rfc2136_server is not the server that knows it, or something on the way changes DNS messages", p.cfg.Server, p.cfg.Name)
	case errors.Is(err, dns.ErrTime):
		return p.clocks()
	}
	return wrap(KindProvider, err, "the server %s cannot be asked: check dns_rfc2136_server, and that this host may connect to it over TCP or UDP", p.cfg.Server)
}

func (p *rfc2136) clocks() *Error {
	return fail(KindProvider, "BADTIME: the clocks of this host and of %s are more than 5 minutes apart: keep both right with NTP", p.cfg.Server)
}

// tsigError returns what the server says of our signature; 0 = nothing.
func tsigError(reply *dns.Msg) uint16 {
	for _, rr := range reply.Extra { // IsTsig looks at the last one alone
		if tsig, ok := rr.(*dns.TSIG); ok {
			return tsig.Error
		}
	}
	return 0
}

// judge puts a server's answer into words; nil = it did what was asked for.
func (p *rfc2136) judge(reply *dns.Msg, zone string) error {
	server, key := p.cfg.Server, fmt.Sprintf("the TSIG key %q", p.cfg.Name)
	if p.cfg.Name == "" {
		key = "this host, which has no TSIG key"
	}
	switch tsigError(reply) {
	case dns.RcodeBadKey:
		return fail(KindProvider, "BADKEY: the server %s does not know %s with %s: copy dns_rfc2136_tsig_name and dns_rfc2136_tsig_algorithm from its configuration", server, key, p.cfg.Algorithm)
	case dns.RcodeBadSig: // 16, BADVERS elsewhere
		return fail(KindProvider, "BADSIG: the server %s has another secret for %s: copy dns_rfc2136_tsig_secret from its configuration", server, key)
	case dns.RcodeBadTime:
		return p.clocks()
	}
	switch reply.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeRefused:
		return fail(KindProvider, "REFUSED: the server %s lets %s not update the zone %s: allow it there (in BIND, update-policy or allow-update; in Knot, an acl with action: update)", server, key, plain(zone))
	case dns.RcodeNotAuth:
		return fail(KindProvider, "NOTAUTH: the server %s is not the primary of the zone %s, or does not accept %s: set dns_rfc2136_server to the primary, and dns_rfc2136_zone to a zone that it has", server, plain(zone), key)
	case dns.RcodeNotZone:
		return fail(KindZone, "NOTZONE: the record is not within the zone %s: correct dns_rfc2136_zone, or leave it out", plain(zone))
	case dns.RcodeNotImplemented, dns.RcodeFormatError:
		return fail(KindProvider, "%s: the server %s knows no dynamic updates: name the primary of the zone, not a resolver", dns.RcodeToString[reply.Rcode], server)
	case dns.RcodeServerFailure:
		return fail(KindProvider, "SERVFAIL: the server %s could not write the zone %s: see its log; often it may not write its journal", server, plain(zone))
	}
	return fail(KindProvider, "%s: the server %s refused the update of the zone %s: see its log", dns.RcodeToString[reply.Rcode], server, plain(zone))
}
