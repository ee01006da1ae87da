package webconfig

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"

	"wellkey/internal/secret"
)

// HealthPath may be asked from the same machine by whoever is on it: it says that
// the process is alive, and nothing else.
const HealthPath = "/healthz"

// Handler lets through to next who may pass: whoever has the password of a user,
// where there are users, and a client certificate, where one is required.
//
// From the same machine, HealthPath may be asked without, so that a health check
// needs no password; and everything by those who prove that they can read the file
// (see Client), as the user of wellkey and root can.
func (f *Follower) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := f.current.Load()
		for name, values := range now.header {
			w.Header()[name] = values
		}
		if f.local(now, r) {
			next.ServeHTTP(w, r)
			return
		}
		if now.tls != nil && requires(now.tls.ClientAuth) && (r.TLS == nil || len(r.TLS.PeerCertificates) == 0) {
			http.Error(w, "refused: a client certificate is required here", http.StatusForbidden)
			return
		}
		if len(now.users) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		name, password, given := r.BasicAuth()
		right, compared := false, true
		if given {
			right, compared = f.proven.password(r.Context(), now.users, name, password, clientOf(r.RemoteAddr))
		}
		switch {
		case !compared:
			w.Header().Set("Retry-After", strconv.Itoa(int(patience.Seconds())))
			http.Error(w, "refused for now: this password was not compared and may well be right. Many others are tried, from your address or from elsewhere; try again in a few seconds", http.StatusTooManyRequests)
		case !right:
			w.Header().Set("WWW-Authenticate", `Basic realm="wellkey", charset="UTF-8"`)
			http.Error(w, "refused: a user name and its password are required here", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func requires(c tls.ClientAuthType) bool {
	return c == tls.RequireAnyClientCert || c == tls.RequireAndVerifyClientCert
}

// local reports whether r comes from this machine and may pass for that.
func (f *Follower) local(now *file, r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	remote, err := net.ResolveTCPAddr("tcp", r.RemoteAddr) // an address, so nobody is asked
	if err != nil || !SameHost(remote, local) {
		return false
	}
	if r.URL.Path == HealthPath {
		return true
	}
	token := r.Header.Get(tokenHeader)
	return token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(now.token)) == 1
}

// SameHost reports whether both ends of a connection are on one machine: over
// loopback, or over an address that both have.
func SameHost(remote, local net.Addr) bool {
	from, ok := remote.(*net.TCPAddr)
	to, ok2 := local.(*net.TCPAddr)
	return ok && ok2 && (from.IP.IsLoopback() || from.IP.Equal(to.IP))
}

// proven remembers which passwords were right, since to find that out takes tens
// of milliseconds, on purpose, and scrapes come often. It holds one entry a user at
// most.
type proven struct {
	once  sync.Once
	salt  [32]byte
	turns turns

	mu    sync.Mutex
	right map[string][sha256.Size]byte // guarded by mu; digests of hash and password, by user
}

// patience is how long a password waits for its turn: a flood of wrong ones shall
// not pile up.
const patience = 5 * time.Second

// nobody is compared with where there is no such user, so that names cannot be
// found out by the time it takes. It is a hash of random bytes that were thrown
// away.
var nobody = secret.New("$2a$10$wanIL6IbdKYY.Rv9ECoE3.hHkDJwzk0C6Ejx/nzK1HqlPKyGALDhq")

// password reports whether that of a user is right. Where it is not compared, since its
// turn does not come, it may be either.
func (p *proven) password(ctx context.Context, users map[string]secret.Text, name, password string, client netip.Prefix) (right, compared bool) {
	p.once.Do(func() {
		_, _ = rand.Read(p.salt[:]) // it never fails
		p.right = map[string][sha256.Size]byte{}
	})
	hash, known := users[name]
	if !known {
		hash = nobody
	}
	mark := sha256.Sum256([]byte(string(p.salt[:]) + hash.Reveal() + "\x00" + password))
	p.mu.Lock()
	last, there := p.right[name]
	p.mu.Unlock()
	if there && known && subtle.ConstantTimeCompare(last[:], mark[:]) == 1 {
		return true, true
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !p.turns.enter(ctx, client) {
		return false, false
	}
	began := time.Now()
	err := bcrypt.CompareHashAndPassword([]byte(hash.Reveal()), []byte(password))
	if !known || err != nil {
		p.turns.wrong(client, time.Since(began))
		return false, true
	}
	p.turns.right()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.right[name] = mark
	return true, true
}
