package webconfig_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"wellkey/internal/testca"
	"wellkey/internal/webconfig"
)

const password = "Canary-correct-horse"

// hash is a cheap one, which takes no time to compare.
func hash(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

// A world is a directory with certificates and a web configuration.
type world struct {
	t      testing.TB
	dir    string
	signer *testca.Signer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	signer, err := testca.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), signer: signer}
	w.issue()
	w.write("ca.pem", string(signer.RootsPEM()))
	return w
}

// issue writes another certificate for the listener.
func (w *world) issue() {
	w.t.Helper()
	leaf := w.leaf("wellkey.monitoring.example")
	w.write("cert.pem", string(leaf.CertPEM))
	w.write("key.pem", string(leaf.KeyPEM))
}

func (w *world) leaf(names ...string) *testca.Leaf {
	w.t.Helper()
	leaf, err := w.signer.Issue(testca.LeafOptions{}, names...)
	if err != nil {
		w.t.Fatal(err)
	}
	return leaf
}

// client returns a certificate for a visitor.
func (w *world) client(name string) *testca.Leaf {
	w.t.Helper()
	leaf, err := w.signer.Issue(testca.LeafOptions{Client: true}, name)
	if err != nil {
		w.t.Fatal(err)
	}
	return leaf
}

// write replaces a file in one step and returns its path.
func (w *world) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	for _, err := range []error{os.WriteFile(path+".next", []byte(text), 0o600), os.Rename(path+".next", path)} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return path
}

// web writes the web configuration; HASH in it is that of the password.
func (w *world) web(text string) string {
	w.t.Helper()
	return w.write("web.yml", strings.ReplaceAll(text, "HASH", hash(w.t, password)))
}

// sanctioned has promtool, the reference, say that a file is one of the format.
func sanctioned(t testing.TB, path string) {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("finding promtool: %v; install Debian's package prometheus (.ci/need prometheus)", err)
	}
	if out, err := exec.Command(promtool, "check", "web-config", path).CombinedOutput(); err != nil {
		t.Errorf("promtool says of %s: %s", path, out)
	}
}

// follow returns a Follower of a web configuration that must be good.
func (w *world) follow(text string) *webconfig.Follower {
	w.t.Helper()
	f, err := webconfig.New(w.web(text), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// serve serves with f, to visitors who seem to come from another machine if far.
func (w *world) serve(f *webconfig.Follower, far bool) (addr string) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	addr = l.Addr().String()
	if far {
		l = farListener{l}
	}
	srv := &http.Server{
		Handler: f.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "in: "+r.URL.Path) // the visitor is gone, if this fails
		})),
		TLSConfig: f.TLSConfig(),
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if srv.TLSConfig != nil {
			_ = srv.ServeTLS(l, "", "") // it ends with Close
		} else {
			_ = srv.Serve(l) // the same
		}
	}()
	w.t.Cleanup(func() {
		_ = srv.Close() // it is a test
		<-ended
	})
	return addr
}

type farListener struct{ net.Listener }

func (l farListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return farConn{c}, nil
}

type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711} }

// A visitor asks as a scraper does.
type visitor struct {
	user, password string
	cert           *testca.Leaf
	roots          *x509.CertPool // nil: plain HTTP
}

// get returns the status, and the error of a visit that did not get one.
func (v visitor) get(ctx context.Context, addr, path string) (int, error) {
	config := &tls.Config{RootCAs: v.roots, ServerName: "wellkey.monitoring.example"}
	if v.cert != nil {
		config.Certificates = []tls.Certificate{v.cert.Certificate}
	}
	scheme := "http://"
	if v.roots != nil {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+addr+path, nil)
	if err != nil {
		return 0, err
	}
	if v.user != "" {
		req.SetBasicAuth(v.user, v.password)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK && string(body) != "in: "+path {
		return 0, io.ErrUnexpectedEOF
	}
	return resp.StatusCode, err
}
