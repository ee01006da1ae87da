package server_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"wellkey/keystore"
	"wellkey/server"
)

// canonical reports whether text is the one form in which a key may be served:
// what crypto/x509 and encoding/pem, which have no part in it, make of the very key
// that they read in it, which must be a point of P-256.
func canonical(text []byte) bool {
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		return false
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	public, ok := key.(*ecdsa.PublicKey)
	if err != nil || !ok || public.Curve != elliptic.P256() {
		return false
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	return err == nil && bytes.Equal(text, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// A hosted is a key file, what follows it, and the real routes over it.
type hosted struct {
	path  string
	store *keystore.Store
	face  *server.Server
}

// host opens the key file at path as the program does, and has a server of this
// configuration serve it. The error is that of a start that is refused.
func host(t testing.TB, config server.Config, path string) (*hosted, error) {
	t.Helper()
	store, err := keystore.Open(keystore.Config{Path: path})
	if err != nil {
		return nil, err
	}
	config.Registerer = nil
	config.PlainHTTP = true
	config.Key = func(string) keystore.Key { return store.Key() }
	return &hosted{path, store, newServer(t, config)}, nil
}

// fetch asks for the key and for much else, by both listeners, and returns the key
// that is served, nil if none is.
func (h *hosted) fetch(t testing.TB) []byte {
	t.Helper()
	var key []byte
	for _, face := range []http.Handler{h.face.HTTPSHandler(), h.face.HTTPHandler()} {
		for _, request := range []struct{ method, path string }{
			{"GET", server.KeyPath}, {"HEAD", server.KeyPath}, {"POST", server.KeyPath}, {"GET", "/"}, {"GET", server.KeyPath + "/.."},
			{"GET", "/key.pem"}, {"GET", "/" + h.path}, {"GET", "/.well-known/acme-challenge/key.pem"},
		} {
			w := httptest.NewRecorder()
			face.ServeHTTP(w, httptest.NewRequest(request.method, request.path, nil))
			answer := fmt.Sprint(w.Code, w.Header(), w.Body)
			if strings.Contains(answer, "PRIVATE") {
				t.Fatalf("%s %s: got %s", request.method, request.path, answer)
			}
			switch {
			case request.path != server.KeyPath || request.method == "POST":
				if w.Code == http.StatusOK {
					t.Fatalf("%s %s: got %s", request.method, request.path, answer)
				}
			case request.method == "GET" && w.Code == http.StatusOK:
				if !canonical(w.Body.Bytes()) {
					t.Fatalf("what is served is no canonical key: %q", w.Body)
				}
				key = w.Body.Bytes()
			case w.Code != http.StatusOK && w.Code != http.StatusServiceUnavailable:
				t.Fatalf("%s: got %s", request.method, answer)
			}
		}
	}
	return key
}

// look looks at the key file as it is now: over a key that is served already, it
// gives another or leaves that one, and the error has nothing of the file.
func (h *hosted) look(t testing.TB) (key []byte, err error) {
	t.Helper()
	before := h.fetch(t)
	err = h.store.Reload()
	if err != nil && strings.Contains(err.Error(), "PRIVATE") {
		t.Fatalf("the error is %v", err)
	}
	key = h.fetch(t)
	if key == nil || err != nil && !bytes.Equal(key, before) {
		t.Fatalf("after %v, %q is served, and was %q", err, key, before)
	}
	return key, err
}

// written are key files as people and programs write them, by name. Those whose
// names begin with "good" may be served.
func written(t testing.TB) map[string]string {
	t.Helper()
	elliptical := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		return key
	}
	one, other, large := elliptical(elliptic.P256()), elliptical(elliptic.P256()), elliptical(elliptic.P384())
	encoded := func(label string, der []byte, err error) string {
		must(t, err)
		return block(label, der)
	}
	public := func(key crypto.Signer) string {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		return encoded("PUBLIC KEY", der, err)
	}
	sec1 := func(key *ecdsa.PrivateKey) string {
		der, err := x509.MarshalECPrivateKey(key)
		return encoded("EC PRIVATE KEY", der, err)
	}
	pkcs8 := func(key crypto.Signer) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		return encoded("PRIVATE KEY", der, err)
	}
	relabeled := func(text, label string) string { return block(label, der(text)) }
	crlf := func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
	off := der(public(one))
	off[len(off)-1] ^= 1
	// id-ecPublicKey and prime256v1 in a SubjectPublicKeyInfo, up to the point.
	named := func(point []byte) []byte {
		algorithm := "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
		return slices.Concat([]byte{0x30, byte(len(algorithm) + 3 + len(point))}, []byte(algorithm), []byte{3, byte(1 + len(point)), 0}, point)
	}
	certificate, err := newCertificates(t, one).config.GetCertificate(&tls.ClientHelloInfo{ServerName: domain})
	must(t, err)
	const parameters = "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
	return map[string]string{
		"good, public": public(one), "good, SEC 1": sec1(one), "good, PKCS 8": pkcs8(one), "good, BOM": "\xef\xbb\xbf" + public(one),
		"good, CRLF": crlf(public(one)), "good, private, CRLF and BOM": "\xef\xbb\xbf" + crlf(sec1(one)), "good, no last line end": strings.TrimSuffix(public(one), "\n"),
		"good, after its parameters": block("EC PARAMETERS", []byte(parameters)) + sec1(one), "good, 4 KiB": public(one) + strings.Repeat("\n", 4<<10-len(public(one))),

		"two public": public(one) + public(other), "twice the same": public(one) + public(one), "private beside public": public(one) + sec1(one),
		"public beside private": sec1(one) + public(one), "private of another beside public": public(one) + pkcs8(other), "two private": sec1(one) + pkcs8(other),
		"comment before": "# the key\n" + public(one), "comment behind a private one": sec1(one) + "# PRIVATE\n", "bag attributes": "Bag Attributes\n    friendlyName: PRIVATE\n" + pkcs8(one),
		"headers":    strings.Replace(public(one), "\n", "\nComment: PRIVATE\n\n", 1),
		"encrypted":  strings.Replace(sec1(one), "\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1),
		"compressed": block("PUBLIC KEY", named(elliptic.MarshalCompressed(elliptic.P256(), one.X, one.Y))), "infinity": block("PUBLIC KEY", named([]byte{0})),
		"off the curve": block("PUBLIC KEY", off), "P-384": public(large), "P-384, private": sec1(large), "RSA": public(rsaKey(t)), "RSA, private": pkcs8(rsaKey(t)),
		"private called public": relabeled(sec1(one), "PUBLIC KEY"), "PKCS 8 called public": relabeled(pkcs8(one), "PUBLIC KEY"), "public called private": relabeled(public(one), "EC PRIVATE KEY"),
		"PKCS 8 called SEC 1": relabeled(pkcs8(one), "EC PRIVATE KEY"), "called another name": relabeled(public(one), "PRIVATE PUBLIC KEY"), "certificate": block("CERTIFICATE", certificate.Certificate[0]),
		"cut": public(one)[:120], "private, cut": sec1(one)[:150], "two begins": "-----BEGIN PUBLIC KEY-----\n" + public(one), "DER": string(der(public(one))), "private DER": string(der(pkcs8(one))),
		"more in the DER": block("PUBLIC KEY", append(der(public(one)), der(sec1(one))...)), "UTF-16": "\xff\xfe" + strings.Join(strings.Split(sec1(one), ""), "\x00") + "\x00",
		"more than 4 KiB": public(one) + strings.Repeat("\n", 4<<10), "4 KiB before": strings.Repeat("\n", 4<<10) + sec1(one), "64 MiB": strings.Repeat("PRIVATE\n", 8<<20),
		"empty": "", "one NUL": "\x00", "NUL within": strings.Replace(public(one), "M", "\x00M", 1), "HTML": "<html>" + public(one), "JSON": `{"key": "PRIVATE"}`,
		"hexadecimal point": fmt.Sprintf("%x", der(public(one))[26:]),
	}
}

func der(text string) []byte {
	found, _ := pem.Decode([]byte(text))
	return found.Bytes
}

func block(label string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
}

// TestKeyFiles: each of these files is served in its one form, or the start is
// refused; and where a good key is served already, that goes on. None is ever an
// answer that holds the word PRIVATE.
func TestKeyFiles(t *testing.T) {
	config, _ := configure(t)
	for name, text := range written(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key.pem")
			must(t, os.WriteFile(path, []byte(text), 0o600))
			h, err := host(t, config, path)
			if good := strings.HasPrefix(name, "good"); (err == nil) != good {
				t.Fatalf("got %v, want that it is served: %v", err, good)
			}
			if err == nil {
				if h.fetch(t) == nil {
					t.Error("no key is served")
				}
			} else if strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("the error is %v", err)
			}

			before := newKey(t).PEM()
			must(t, os.WriteFile(path, before, 0o600))
			h, err = host(t, config, path)
			must(t, err)
			must(t, os.WriteFile(path, []byte(text), 0o600))
			key, err := h.look(t)
			if same := bytes.Equal(key, before); same != (err != nil) {
				t.Errorf("after %v, the same key is served: %v", err, same)
			}
		})
	}
}

// TestKeyFileThatIsNone: what is no regular file, or leads elsewhere.
func TestKeyFileThatIsNone(t *testing.T) {
	config, _ := configure(t)
	all := written(t)
	for _, tc := range []struct {
		name string
		make func(path string) error
		good bool
	}{
		{"directory", func(path string) error { return os.Mkdir(path, 0o700) }, false},
		{"fifo", func(path string) error { return syscall.Mkfifo(path, 0o600) }, false},
		{"socket", func(path string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			must(t, err)
			defer syscall.Close(fd)
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: path})
		}, false},
		{"link to /dev/zero", func(path string) error { return os.Symlink("/dev/zero", path) }, false},
		{"link to /dev/null", func(path string) error { return os.Symlink("/dev/null", path) }, false},
		{"link to itself", func(path string) error { return os.Symlink(path, path) }, false},
		{"link to a fifo", func(path string) error {
			must(t, syscall.Mkfifo(path+".to", 0o600))
			return os.Symlink(path+".to", path)
		}, false},
		{"link to what is no key", func(path string) error { return os.Symlink("/etc/passwd", path) }, false},
		{"link to a private key", func(path string) error {
			must(t, os.WriteFile(path+".to", []byte(all["good, SEC 1"]), 0o600))
			return os.Symlink(path+".to", path)
		}, true},
		{"private key for all to read", func(path string) error {
			must(t, os.WriteFile(path, []byte(all["good, SEC 1"]), 0o600))
			return os.Chmod(path, 0o644)
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "wellkey") // short enough for a socket
			must(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			path := filepath.Join(dir, "key.pem")
			must(t, tc.make(path))
			h, err := host(t, config, path)
			if (err == nil) != tc.good {
				t.Fatalf("got %v, want that it is served: %v", err, tc.good)
			}
			if tc.good && h.fetch(t) == nil {
				t.Error("no key is served")
			}

			must(t, os.RemoveAll(path))
			must(t, os.WriteFile(path, newKey(t).PEM(), 0o600))
			h, err = host(t, config, path)
			must(t, err)
			must(t, os.RemoveAll(path+".to"))
			must(t, os.Remove(path))
			must(t, tc.make(path))
			if _, err := h.look(t); (err == nil) != tc.good {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestKeyFileThatChanges writes over the key file, in pieces and without a rename,
// while it is read and served: whatever a look meets, what is served is a whole key,
// and one of those that were written.
func TestKeyFileThatChanges(t *testing.T) {
	config, _ := configure(t)
	keys := [][]byte{newKey(t).PEM(), newKey(t).PEM(), newKey(t).PEM()}
	path := filepath.Join(t.TempDir(), "key.pem")
	must(t, os.WriteFile(path, keys[0], 0o600))
	h, err := host(t, config, path)
	must(t, err)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			file, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for rest := keys[n%len(keys)]; len(rest) > 0; rest = rest[min(len(rest), 7):] {
				if _, err := file.Write(rest[:min(len(rest), 7)]); err != nil {
					t.Error(err)
				}
			}
			_ = file.Close()
		}
	})
	refused := 0
	for range 2000 {
		if h.store.Reload() != nil {
			refused++
		}
		w := httptest.NewRecorder()
		h.face.HTTPSHandler().ServeHTTP(w, httptest.NewRequest("GET", server.KeyPath, nil))
		if !slices.ContainsFunc(keys, func(key []byte) bool { return bytes.Equal(key, w.Body.Bytes()) }) {
			t.Fatalf("got %q", w.Body)
		}
	}
	close(stop)
	writer.Wait()
	t.Logf("%d of 2000 looks met half a key", refused)
	if err := h.store.Reload(); err != nil {
		t.Errorf("when nobody writes any more: %v", err)
	}
}

// FuzzKeyFile is TestKeyFiles for any file.
func FuzzKeyFile(f *testing.F) {
	config, _ := configure(f)
	for name, text := range written(f) {
		if len(text) <= 4<<10 || strings.HasPrefix(name, "more") {
			f.Add([]byte(text))
		}
	}
	path := filepath.Join(f.TempDir(), "key.pem")
	before := newKey(f).PEM()
	over := filepath.Join(f.TempDir(), "key.pem")
	must(f, os.WriteFile(over, before, 0o600))
	good, err := host(f, config, over)
	must(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		must(t, os.WriteFile(path, text, 0o600))
		h, err := host(t, config, path)
		must(t, os.WriteFile(over, before, 0o600))
		must(t, good.store.Reload())
		must(t, os.WriteFile(over, text, 0o600))
		key, again := good.look(t)
		if (err == nil) != (again == nil) {
			t.Fatalf("a start says %v, and a look %v", err, again)
		}
		if err != nil {
			if strings.Contains(err.Error(), "PRIVATE") {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		if served := h.fetch(t); served == nil || !bytes.Equal(served, key) {
			t.Fatalf("a start serves %q, and a look %q", served, key)
		}
	})
}
