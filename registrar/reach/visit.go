package reach

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"wellkey/internal/probetoken"
)

const (
	maxBody   = 4 << 10  // a key has 178 bytes; whoever sends more does not send a key
	maxHeader = 16 << 10 // room for the cookies of a content network
)

// A stage is how far a visit came.
type stage int

const (
	dialing stage = iota
	shaking
	requesting
	done // an HTTP answer came, or, for a visit without a request, the handshake ended
)

// An errand is what a visit is for.
type errand struct {
	method    string // "" = handshake only
	agent     string // the User-Agent
	challenge string // for the probe token; "" = none
	noSNI     bool   // a handshake that does not name the host
	plain     bool   // without TLS
	small     bool   // with packets that fit through any link; see smallSegment
}

// A visit is what was seen on one connection to one address.
type visit struct {
	stage    stage // where it ended; all but done with err
	err      error
	timedOut bool      // err is for want of time, here or at the host
	began    time.Time // when it was connected
	routed   bool      // if the dial failed: this machine itself has a way to the address
	at       time.Time // when it ended

	tls    *tls.ConnectionState // nil before the handshake has ended
	status int                  // 0 before an answer came
	header http.Header
	length int64  // Content-Length; -1 = not given
	body   []byte // at most maxBody bytes
	cut    error  // why the body ended early
}

// visit runs one errand at one address. The address is dialed as it stands:
// whoever calls has checked that one.
func (l look) visit(ctx context.Context, ip netip.Addr, e errand) visit {
	port := l.prober.config.Port
	if e.plain {
		port = l.prober.config.HTTPPort
	}
	v := visit{stage: dialing}
	at := netip.AddrPortFrom(ip, uint16(port)).String() // #nosec G115 -- New checked both
	var dialer net.Dialer
	if e.small {
		dialer.Control = limitSegments
	}
	tcp, err := dialer.DialContext(ctx, "tcp", at)
	if err != nil {
		v.routed = routed(at)
		return v.failed(ctx, err)
	}
	defer tcp.Close()
	v.began = time.Now()
	stop := context.AfterFunc(ctx, func() { _ = tcp.Close() }) // ends what is under way; there is nothing to do about its error
	defer stop()
	conn := tcp
	if !e.plain {
		v.stage = shaking
		if conn, v.tls, err = l.handshake(ctx, tcp, e); err != nil {
			return v.failed(ctx, err)
		}
	}
	if e.method != "" {
		v.stage = requesting
		if err := v.request(conn, l.domain, e); err != nil {
			return v.failed(ctx, err)
		}
		v.timedOut = v.cut != nil && timedOut(ctx, v.cut)
	}
	v.stage, v.at = done, time.Now()
	return v
}

func (v visit) failed(ctx context.Context, err error) visit {
	v.err, v.timedOut = err, timedOut(ctx, err) || v.gaveUp(err)
	return v
}

// hostPatience is how long a host waits at least before it gives up: none that is
// known has a shorter deadline for a handshake or a request. Wellkey's has 5 s.
const hostPatience = 3 * time.Second

// gaveUp reports whether the host closed the connection after it had waited. What it
// waited for was lost on the way, or we did not get what it sent: one that cuts
// connections does so at once.
func (v visit) gaveUp(err error) bool {
	closed := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
	return closed && !v.began.IsZero() && time.Since(v.began) > hostPatience
}

// handshake does not verify the certificate, since its faults are findings and
// what lies behind it is worth a look: the checks verify it, and no address
// whose certificate does not hold is ever OK. Nothing that is sent is a secret.
func (l look) handshake(ctx context.Context, conn net.Conn, e errand) (net.Conn, *tls.ConnectionState, error) {
	config := &tls.Config{
		InsecureSkipVerify: true, // #nosec G402 -- see above: the checks verify, and say what is wrong
		ServerName:         l.domain,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
	}
	if e.noSNI {
		config.ServerName = ""
	}
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	state := secure.ConnectionState()
	return secure, &state, nil
}

// request sends one request for the key and reads the answer, both bounded in
// bytes. It follows no redirect.
func (v *visit) request(conn net.Conn, domain string, e errand) error {
	request, err := http.NewRequest(e.method, "https://"+domain+Path, nil)
	if err != nil {
		return err
	}
	request.Close = true
	request.Header.Set("User-Agent", e.agent)
	request.Header.Set("Accept", "*/*")
	if e.challenge != "" {
		request.Header.Set(probetoken.Header, e.challenge)
	}
	if err := request.Write(conn); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(conn, maxHeader+maxBody))
	response, err := http.ReadResponse(reader, request)
	for err == nil && response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
		response, err = http.ReadResponse(reader, request) // after early hints
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	v.status, v.header, v.length = response.StatusCode, response.Header, response.ContentLength
	v.body, v.cut = io.ReadAll(io.LimitReader(response.Body, maxBody))
	return nil
}

// timedOut reports whether err is for want of time. A connection that was
// closed because ctx ended gives other errors, too.
func timedOut(ctx context.Context, err error) bool {
	var network net.Error
	return ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// routed reports whether this machine has a way to an address, be it one that ends
// at a router further on: the kernel looks for it when a UDP socket is connected,
// and sends nothing.
func routed(address string) bool {
	conn, err := net.Dial("udp", address)
	if err == nil {
		_ = conn.Close() // nothing was written
	}
	return err == nil
}

// noRoute reports whether err says that there is no way to the address. That may be
// the word of this machine, which then cannot say anything about the address, or
// that of a router on the way.
func noRoute(err error) bool {
	for _, known := range []error{syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}
