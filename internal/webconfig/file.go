package webconfig

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"

	"wellkey/internal/pattern"
	"wellkey/internal/phrase"
	"wellkey/internal/secret"
	"wellkey/internal/smallfile"
)

// A file is what a file says, checked, with what it names read.
type file struct {
	digest [sha256.Size]byte // of all contents; also where they are bad
	token  string            // see Client
	named  []string          // paths of the files that it names
	tls    *tls.Config       // nil: plain HTTP
	http2  bool
	header http.Header
	users  map[string]secret.Text // bcrypt hashes by name
}

// maxFile is far above any such file.
const maxFile = 1 << 20

// A reader takes a file apart and notes what it read.
type reader struct {
	path string
	sum  []byte   // digests of everything read
	all  []string // paths of everything read
	errs []error
}

// load reads the file at path and what it names. With an error the file still has
// its digest. No error shows a hash or a key.
func load(path string) (*file, error) {
	r := &reader{path: path}
	out := &file{http2: true, header: http.Header{}, users: map[string]secret.Text{}}
	data := r.read("", path)
	if len(r.errs) == 0 {
		r.root(data, out)
	}
	out.named = r.all
	out.digest, out.token = sha256.Sum256(r.sum), tokenOf(r.sum)
	return out, errors.Join(r.errs...)
}

// read returns the contents of a file; what names the key that leads to it.
func (r *reader) read(key, path string) []byte {
	r.all = append(r.all, path)
	data, err := smallfile.Read(path, maxFile)
	sum := sha256.Sum256(data)
	r.sum = append(r.sum, sum[:]...)
	if err != nil {
		r.sum = append(r.sum, err.Error()...)
		r.fail(0, key, fmt.Sprintf("cannot be read: %s; check the path, and that the user of wellkey may read it", plain(err)))
		return nil
	}
	return data
}

// plain returns an error as it may be shown, with a path that some file named.
func plain(err error) string {
	if at := (*fs.PathError)(nil); errors.As(err, &at) {
		return fmt.Sprintf("%s %s: %v", at.Op, phrase.Quote(at.Path, 200), at.Err)
	}
	return err.Error()
}

// fail notes what is wrong with a key.
func (r *reader) fail(line int, key, what string) {
	at := r.path
	if line > 0 {
		at = fmt.Sprintf("%s:%d", r.path, line)
	}
	if key != "" {
		at += ": " + key
	}
	r.errs = append(r.errs, fmt.Errorf("%s: %s", at, what))
}

// lineOf finds the place in an error of the YAML parser, whose words may quote a
// value.
var lineOf = pattern.New(`line (\d+)`)

func (r *reader) root(data []byte, out *file) {
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	var doc, second yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return // an empty file asks for nothing
	}
	if err != nil {
		what := "is not YAML"
		if m := lineOf.FindString(err.Error()); m != "" {
			what += ", at or near " + m
		}
		r.fail(0, "", what+"; look for a missing space behind a colon, a tab, or a quotation mark that is not closed")
		return
	}
	if !errors.Is(decoder.Decode(&second), io.EOF) {
		r.fail(0, "", "holds more than one document; remove the line --- and what follows it")
	}
	var tlsNode *yaml.Node
	r.mapping(doc.Content[0], "", map[string]func(string, *yaml.Node){
		"tls_server_config":  func(_ string, n *yaml.Node) { tlsNode = n },
		"http_server_config": func(key string, n *yaml.Node) { r.httpServer(key, n, out) },
		"basic_auth_users":   func(key string, n *yaml.Node) { r.basicAuth(key, n, out) },
	})
	if tlsNode != nil && !isNull(tlsNode) {
		out.tls = r.tlsServer("tls_server_config", tlsNode, out.http2)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// mapping calls known for each key of a mapping, and refuses all other keys.
func (r *reader) mapping(n *yaml.Node, of string, known map[string]func(key string, n *yaml.Node)) {
	r.each(n, of, func(key string, line int, value *yaml.Node) {
		take, ok := known[key]
		if !ok {
			var names []string
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			r.fail(line, join(of, cut(key)), "is not known here; known are "+strings.Join(names, ", "))
			return
		}
		take(join(of, key), value)
	})
}

// each calls f for each key of a mapping.
func (r *reader) each(n *yaml.Node, of string, f func(key string, line int, value *yaml.Node)) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n.Line, of, "is no mapping of keys to values; write each as key: value, with a space behind the colon")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if seen[key.Value] {
			r.fail(key.Line, join(of, cut(key.Value)), "is there twice; remove one of the two")
			continue
		}
		seen[key.Value] = true
		f(key.Value, key.Line, value)
	}
}

func join(of, key string) string {
	if of == "" {
		return key
	}
	return of + "." + key
}

// cut makes a key fit to be shown: it may be a value in a wrong place, so of
// anything long only the beginning is.
func cut(key string) string {
	const most = 12
	if len(key) > 2*most {
		key = key[:most] + "..."
	}
	return strings.Trim(fmt.Sprintf("%q", key), `"`)
}

// text returns a scalar as it stands.
func (r *reader) text(key string, n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode {
		r.fail(n.Line, key, "is no single value; write one behind the colon")
		return ""
	}
	return n.Value
}

func (r *reader) yes(key string, n *yaml.Node) bool {
	text := r.text(key, n)
	if text != "true" && text != "false" {
		r.fail(n.Line, key, "is neither true nor false")
	}
	return text == "true"
}

func (r *reader) list(key string, n *yaml.Node) []string {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n.Line, key, "is no list; write each item on a line of its own, behind a dash")
		return nil
	}
	var items []string
	for _, item := range n.Content {
		items = append(items, r.text(key, item))
	}
	return items
}

// file returns the contents of a file that a key names, relative to this one.
func (r *reader) file(key string, n *yaml.Node) []byte {
	path := r.text(key, n)
	if path == "" {
		return nil
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(r.path), path)
	}
	return r.read(key, path)
}

// headers are the fields that may be set: those of the format. An empty list
// takes every value.
var headers = map[string][]string{
	"Strict-Transport-Security": nil,
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"deny", "sameorigin"},
	"X-XSS-Protection":          nil,
	"Content-Security-Policy":   nil,
}

func (r *reader) httpServer(key string, n *yaml.Node, out *file) {
	r.mapping(n, key, map[string]func(string, *yaml.Node){
		"http2": func(key string, n *yaml.Node) { out.http2 = r.yes(key, n) },
		"headers": func(key string, n *yaml.Node) {
			r.each(n, key, func(name string, line int, value *yaml.Node) {
				text := r.text(join(key, cut(name)), value)
				may, ok := headers[name]
				switch {
				case !ok:
					r.fail(line, join(key, cut(name)), "may not be set here")
				case len(may) > 0 && !slices.Contains(may, text):
					r.fail(line, join(key, name), "has another value than "+strings.Join(may, " or "))
				case strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }):
					r.fail(line, join(key, name), "holds a line break or a character that no header field may have")
				default:
					out.header.Set(name, text)
				}
			})
		},
	})
}

// maxCost bounds what one wrong password may cost: 2^14 rounds are about a second
// on a small machine.
const maxCost = 14

func (r *reader) basicAuth(key string, n *yaml.Node, out *file) {
	r.each(n, key, func(name string, line int, value *yaml.Node) {
		at := join(key, cut(name))
		hash := r.text(at, value)
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case name == "" || strings.Contains(name, ":"):
			r.fail(line, at, "is no user name: it is empty or holds a colon")
		case err != nil:
			r.fail(line, at, "has no bcrypt hash of a password, which begins with $2y$ or $2b$; make one with: htpasswd -nBC 10 "+cut(name))
		case cost > maxCost:
			r.fail(line, at, fmt.Sprintf("has a hash of cost %d, which strangers could use to keep this machine busy; make one of cost 10", cost))
		default:
			out.users[name] = secret.New(hash)
		}
	})
}
