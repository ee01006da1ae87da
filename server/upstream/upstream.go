// Package upstream passes requests on to the operator's application and brings
// its answers back: websockets, streams of hours and bodies of any size, at
// constant memory.
//
// The application gets HTTP/1.1, the Host and the path as the visitor sent them,
// and three fields that say who the visitor is:
//
//	X-Forwarded-For    the client, and the trusted proxies that it came through
//	X-Forwarded-Host   the Host that the client asked for
//	X-Forwarded-Proto  http or https
//
// What a visitor sends of that kind is taken out, unless a trusted proxy sent it.
// Where the application fails, the visitor gets 502 or 504 with a plain sentence,
// and the log says what failed, the likely cause, and the fix.
package upstream

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/server/peer"
	"wellkey/server/places"
	"wellkey/server/trouble"
)

// The patience with an application.
const (
	// It is on this host or beside it, so a connection takes milliseconds; but one
	// lost packet costs a second, two cost three.
	dialTimeout = 5 * time.Second
	// Long polls are held for a minute, sometimes for five.
	answerTimeout = 5 * time.Minute
	// How long a visitor may let a body rest, sent or received, before the
	// connection is given up, and the application may leave unread what it was sent.
	// A stream in which nothing happens is no such body.
	bodyTimeout = time.Minute
	// How long a connection to the application is kept for the next request.
	idleTimeout = 90 * time.Second
	// How many such connections are kept.
	maxIdle = 64
	// The header of an answer; applications set large cookies.
	maxHeaderBytes = 256 << 10
	// The end of an answer, which net/http writes by itself.
	endTimeout = 10 * time.Second
	// How long the connection of HTTP/1 stays for the rest of a body that nobody reads,
	// when its answer is out. A phone in a slow network goes on sending for some round
	// trips, and reads the answer then. See Config.Lingers.
	lingerTimeout = 5 * time.Second
)

// loopField marks requests with a token of this process, so that one that comes
// back is known.
const loopField = "Wellkey-Passed-By"

// Config says where the application is. Of Addr and Socket one is required.
type Config struct {
	Scheme     string         // "http" or "https"
	Addr       string         // host, or host:port
	Socket     string         // path of a Unix socket
	Roots      *x509.CertPool // for https; nil is the system's
	SkipVerify bool           // for https: any certificate will do
	HSTS       bool           // answers to https say that nothing else is to be used, unless the application speaks of it
	// Ended is told of each websocket that is over, by the request that began it, and
	// before Close returns: nobody else knows of its connection. It may be nil.
	Ended func(*http.Request)
	// Lingers is told of each request that has its answer while its body may still come,
	// so that another may have the place of its connection. It may be nil.
	Lingers func(*http.Request)
	// Requests is how many are with the application at a time; 0 is any. Each takes some
	// 50 kB here, and a connection to the application.
	Requests int
	// PerClient is how many of them are of one client, see peer.Origin.Who, and three
	// quarters at most; 0 is any.
	PerClient int
	// Registerer receives the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Logger may be nil.
	Logger *zap.Logger
}

// A Proxy passes requests on. Its methods are safe for concurrent use.
type Proxy struct {
	name      string // the application, for the log
	target    url.URL
	token     string
	transport *http.Transport
	proxy     *httputil.ReverseProxy
	hsts      bool
	patience  atomic.Int64  // a time.Duration; see bodyTimeout
	linger    time.Duration // see lingerTimeout
	ended     func(*http.Request)
	lingers   func(*http.Request)
	buffers   sync.Pool // of *[]byte
	logger    *zap.Logger
	metrics   *metrics
	total     atomic.Uint64  // requests that were passed on
	record    trouble.Record // how the application is
	crowded   trouble.Record // what was logged by turnAway; it answers others meanwhile
	places    *places.Places
}

// New returns a Proxy that does nothing yet.
func New(c Config) (*Proxy, error) {
	if (c.Addr == "") == (c.Socket == "") || c.Scheme != "http" && c.Scheme != "https" {
		return nil, errors.New("upstream: needs a scheme and either an address or a socket")
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	p := &Proxy{
		name:   c.Scheme + "://" + c.Addr,
		target: url.URL{Scheme: c.Scheme, Host: c.Addr},
		token:  rand.Text(),
		logger: c.Logger.Named("upstream"),
		hsts:   c.HSTS,
		ended:  c.Ended,

		lingers: c.Lingers,
		linger:  lingerTimeout,
	}
	p.patience.Store(int64(bodyTimeout))
	p.places = places.New(c.Requests, c.PerClient)
	dialer := &net.Dialer{Timeout: dialTimeout}
	if c.Socket != "" {
		p.name, p.target.Host = "unix:"+c.Socket, "localhost"
	}
	p.transport = &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if c.Socket != "" {
				network, addr = "unix", c.Socket
			}
			there, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &conn{there, &p.patience}, nil
		},
		TLSClientConfig:        &tls.Config{RootCAs: c.Roots, InsecureSkipVerify: c.SkipVerify, MinVersion: tls.VersionTLS12}, // #nosec G402 -- where the setting says so
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  answerTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true, // bodies pass as they are
	}
	p.buffers.New = func() any { b := make([]byte, 32<<10); return &b }
	p.proxy = &httputil.ReverseProxy{
		Rewrite:       p.rewrite,
		Transport:     p.transport,
		FlushInterval: -1, // nothing waits for more
		BufferPool:    pool{&p.buffers},
		ErrorHandler:  p.fail,
		ModifyResponse: func(r *http.Response) error {
			v := r.Request.Context().Value(visitKey{}).(*visit)
			p.metrics.duration.Observe(time.Since(v.began).Seconds())
			if r.StatusCode != http.StatusLoopDetected {
				p.answered()
			}
			v.began = time.Now()
			return nil
		},
		ErrorLog: zap.NewStdLog(p.logger.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))), // it repeats what fail logs
	}
	var err error
	p.metrics, err = newMetrics(c.Registerer, p.places)
	return p, err
}

// Serve passes one request on and writes one answer. It returns the status that
// the visitor saw, negative where the answer broke off behind it, or there is to be none,
// so that the connection, or in HTTP/2 the request, must be cut. proto is the scheme that the visitor used.
func (p *Proxy) Serve(w http.ResponseWriter, r *http.Request, from peer.Origin, proto string) (code int) {
	writer := newWriter(w, r, p.linger)
	writer.hsts = p.hsts && proto == "https"
	defer p.leave(r, writer.body)
	who := from.Who()
	switch refused := p.places.Enter(who); refused {
	case "":
	case places.Stopping:
		return answer(writer, r, http.StatusServiceUnavailable)
	default:
		return p.turnAway(writer, r, refused)
	}
	defer p.places.Leave(who)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(p.places.Context(), cancel)()
	if refused := refuse(r, p.token); refused != 0 {
		if refused == http.StatusLoopDetected {
			p.report(loop, time.Now(), errors.New("a request came back"))
		}
		return answer(writer, r, refused)
	}
	p.total.Add(1)
	body := writer.body
	visit := &visit{from: from, proto: proto, body: body, began: time.Now()}
	passed := r.WithContext(context.WithValue(ctx, visitKey{}, visit))
	_ = writer.rc.SetReadDeadline(time.Time{}) // none once the body is read, or net/http takes its end for that of the visitor
	if r.ContentLength != 0 {
		if len(r.TransferEncoding) > 0 && body.peek() != nil {
			return answer(writer, r, http.StatusBadRequest)
		}
		passed.Body = body
	}
	_ = writer.rc.SetWriteDeadline(time.Time{}) // a stream may last; each write has its own
	defer func() {
		_ = writer.rc.SetWriteDeadline(time.Now().Add(endTimeout))
		if writer.code == http.StatusSwitchingProtocols && p.ended != nil {
			p.ended(r)
		}
		if fault := recover(); fault != nil {
			if fault != http.ErrAbortHandler {
				panic(fault)
			}
			code = -writer.code
			p.brokeOff(r, visit)
		}
	}()
	p.proxy.ServeHTTP(writer, passed)
	return writer.code
}

// leave has a connection go whose client may still be sending, but knows the answer.
func (p *Proxy) leave(r *http.Request, b *body) {
	b.leave()
	if b.remains() && p.lingers != nil {
		p.lingers(r)
	}
}

// Close cuts what still goes on, since websockets do not end by themselves, and
// returns when nothing is left. What comes after it gets 503.
func (p *Proxy) Close() {
	p.places.Close()
	p.transport.CloseIdleConnections()
}

// A Status is how the application stands.
type Status struct {
	Target  string
	Open    int64           // requests that are with it
	Total   uint64          // since the start
	Trouble trouble.Trouble // zero while it answers, as far as known
}

// Status returns how the application stands.
func (p *Proxy) Status() Status {
	return Status{p.name, int64(p.places.Count()), p.total.Load(), p.record.Now()}
}

// Goroutines returns about how many of them pass requests on.
func (p *Proxy) Goroutines() int {
	return 5*p.places.Count() + 2*maxIdle // one that answers, two that copy, and two of each connection to the application
}

type visitKey struct{}

// A visit is what is known of one request beside itself.
type visit struct {
	from  peer.Origin
	proto string
	body  *body
	began time.Time // of the wait for an answer, and then of that
}

// rewrite makes the request that the application gets.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	v := r.In.Context().Value(visitKey{}).(*visit)
	out := r.Out
	out.URL.Scheme, out.URL.Host = p.target.Scheme, p.target.Host
	out.URL.RawQuery = r.In.URL.RawQuery // we read nothing in it, so nothing in it can fool us
	out.Host = r.In.Host
	for name := range out.Header {
		// No proxy that is worth trust writes an underscore, but one lets a visitor's pass.
		if isForwarding(name) && !(v.from.Trusted && strings.HasPrefix(name, "X-") && !strings.Contains(name, "_")) {
			delete(out.Header, name)
		}
	}
	host, proto := out.Host, v.proto
	if v.from.Trusted {
		host, proto = or(r.In.Header.Get("X-Forwarded-Host"), host), or(r.In.Header.Get("X-Forwarded-Proto"), proto)
	}
	out.Header["X-Forwarded-For"] = []string{v.from.For()}
	out.Header["X-Forwarded-Host"] = []string{host}
	out.Header["X-Forwarded-Proto"] = []string{proto}
	out.Header[loopField] = []string{p.token}
	if upgrade := out.Header.Get("Upgrade"); upgrade != "" && !strings.EqualFold(upgrade, "websocket") {
		// Another protocol (h2c) would be a way past every rule of this server.
		delete(out.Header, "Upgrade")
		delete(out.Header, "Connection")
	}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// forwarding are the fields by which proxies tell an application who the client
// is, beside those that begin with X-Forwarded-.
var forwarding = map[string]bool{
	"Forwarded": true, "X-Real-Ip": true, "X-Client-Ip": true, "X-Cluster-Client-Ip": true, "X-Original-Forwarded-For": true,
	"X-Original-Host": true, "X-Host": true, "X-Proxyuser-Ip": true, "Client-Ip": true, "True-Client-Ip": true, "Cf-Connecting-Ip": true,
	"Fastly-Client-Ip": true, "X-Envoy-External-Address": true, "X-Appengine-User-Ip": true, "X-Azure-Clientip": true,
}

// isForwarding reports whether an application may believe the field name to say
// who the client is. Those that see fields as environment variables (CGI, WSGI)
// take an underscore for a hyphen.
func isForwarding(name string) bool {
	if strings.Contains(name, "_") {
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	return strings.HasPrefix(name, "X-Forwarded-") || forwarding[name]
}

// pool lends buffers to httputil.
type pool struct{ *sync.Pool }

// Get implements httputil.BufferPool.
func (p pool) Get() []byte { return *p.Pool.Get().(*[]byte) }

// Put implements httputil.BufferPool.
func (p pool) Put(b []byte) { p.Pool.Put(&b) }
