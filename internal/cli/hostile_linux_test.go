package cli_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/registrar/fleetapi"
)

// nasty is what a stranger can say: an order to a terminal, a line of a log that is
// not ours, characters that turn the direction of a line, what is no UTF-8, markup, and
// more than anybody reads. The word by which it is found again comes first.
func nasty(word string) string {
	return word + " \x1b[2J\x1b]0;owned\a\r\n{\"level\":\"error\"}\u202e\u2066\u2028\u009b31m\x00\x7f\xff\xfe" +
		"<script>alert(1)</script><img src=x onerror=alert(1)>" + strings.Repeat("A", 64<<10)
}

// nastyJSON is nasty within the quotes of JSON, as raw as a reader may accept it.
func nastyJSON(word string) string {
	var b strings.Builder
	for _, c := range []byte(nasty(word)) {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(c))
		case c < 0x20:
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// nastyHeader is what of nasty a header may hold by the letter of HTTP, and more.
func nastyHeader(word string) string {
	return strings.NewReplacer("\r", "", "\n", "").Replace(nasty(word))[:4000]
}

// style is what a command may tell a terminal: colours and weight, to take back a line
// of waiting, and a line end as the terminal writes it.
var style = regexp.MustCompile("\x1b\\[[0-9;]*m|\r\x1b\\[K|\r\n")

// A shown is what wellkey showed somewhere.
type shown struct {
	where, text string
	terminal    bool
}

// wantHarmless wants nothing in what is shown that plays tricks, and nothing that is
// shown at length. All of words must be somewhere, or the test has shown nothing.
func wantHarmless(t *testing.T, all []shown, words ...string) {
	t.Helper()
	everything := ""
	for _, s := range all {
		everything += strings.ToLower(s.text)
		text := s.text
		if s.terminal {
			text = style.ReplaceAllString(text, "\n")
		}
		if text == "" {
			t.Errorf("%s is empty", s.where)
		}
		odd := func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }
		if at := strings.IndexFunc(text, odd); at >= 0 {
			t.Errorf("%s has a raw %q in it: %q", s.where, []rune(text[at:])[0], text[max(0, at-200):min(len(text), at+50)])
		}
		if !utf8.ValidString(text) {
			t.Errorf("%s is no UTF-8", s.where)
		}
		if at := strings.Index(text, strings.Repeat("A", 5000)); at >= 0 {
			t.Errorf("%s has a text of a stranger at length: %q", s.where, text[max(0, at-300):at+20])
		}
		if strings.Contains(s.where, "page") && (strings.Contains(text, "<script>alert") || strings.Contains(text, "<img src=x")) {
			t.Errorf("%s has markup of a stranger", s.where)
		}
		if strings.Contains(s.where, "log in JSON") {
			for line := range strings.Lines(text) {
				if !json.Valid([]byte(line)) {
					t.Errorf("%s has a line that is no JSON: %.300q", s.where, line)
				}
			}
		}
	}
	for _, word := range words {
		if !strings.Contains(everything, word) {
			t.Errorf("%q is shown nowhere, so that it was not tried", word)
		}
	}
}

// showing runs wellkey and returns all that it shows: its log as it ends, and what it
// has to say while it runs, when await is over.
func (w *world) showing(format string, settings []string, await func(), commands ...[]string) []shown {
	w.t.Helper()
	settings = append(settings, "LOG_FORMAT="+format, "LOG_LEVEL=debug")
	run := w.run(settings...)
	await()
	w.goOn()
	var all []shown
	for path, where := range map[string]string{"/metrics": "/metrics", "/status": "the status in JSON", "/status?format=html": "the page",
		"/status?format=html&q=%1b%5B2J%e2%80%ae%ff%3Cscript%3Ealert(1)": "the page after a search", "/status?format=html&domain=%1b%3Cscript%3Ealert": "the page of nobody"} {
		visit, err := w.Admin(w.ctx, path)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, shown{where: where, text: string(visit.Body)})
	}
	for _, command := range commands {
		all = append(all, w.commandShows(settings, command)...)
	}
	if code := run.Stop(); code != 0 {
		w.t.Errorf("exit code is %d, want 0", code)
	}
	return append(all, shown{where: "the log in " + strings.ToUpper(format), text: run.Log.String()})
}

// commandShows returns what a command shows on a terminal, and in a pipe.
func (w *world) commandShows(settings, command []string) []shown {
	w.t.Helper()
	where := "wellkey " + strings.Join(command, " ")
	environ := w.Environ(slices.DeleteFunc(slices.Clone(settings), func(s string) bool { return strings.HasPrefix(s, "LOG_") })...)
	piped := w.command(environ, command...)
	environ = append(environ, actAsWellkey+"=1", "TERM=xterm-256color", "PATH="+os.Getenv("PATH"), "HOME="+w.dir, coverage())
	text, _, err := onTerminal(w.dir, environ, "", os.Args[0], command)
	if err != nil {
		w.t.Fatal(err)
	}
	return []shown{{where: where + " in a pipe", text: piped.out + piped.errors}, {where: where + " on a terminal", text: string(text), terminal: true}}
}

// TestHostileTexts has everybody who can tell wellkey something say what plays tricks
// with terminals, logs and pages, and reads all that wellkey shows.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		t.Run("Tesla and clients, "+format, func(t *testing.T) { t.Parallel(); teslaIsHostile(t, format) })
		t.Run("CA and DNS, "+format, func(t *testing.T) { t.Parallel(); authorityIsHostile(t, format) })
		t.Run("site files, "+format, func(t *testing.T) { t.Parallel(); siteFilesAreHostile(t, format) })
	}
	t.Run("who hosts the domain", func(t *testing.T) { t.Parallel(); hostIsHostile(t) })
	t.Run("who answers for wellkey", func(t *testing.T) { t.Parallel(); adminIsHostile(t) })
}

func teslaIsHostile(t *testing.T, format string) {
	w := newRegistrable(t, withFiles)
	w.writeKey()
	w.Tesla.Answer(fleetapi.Example{Status: 400, Body: `{"error":"` + nastyJSON("nasty-tesla") + `","error_description":"` + nastyJSON("nasty-words") + `","txid":"` + nastyJSON("nasty-txid") + `"}`,
		Header: map[string]string{"X-Txid": "nasty-txid \u202e\xff"}}, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.NA}})
	w.Tesla.Answer(fleetapi.Example{Status: 503, Body: nasty("nasty-page")}, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.EU}})
	w.DNS.Set(w.Domain, "A "+w.Host(), `CAA 0 issue "nasty-caa\027[2J\255\226\128\174<script>alert(1)"`)
	all := w.showing(format, nil, func() {
		w.await("both refusals", func(s admin.Status) bool {
			r := s.Sites[0].Registrations
			return r[0].LastFailure != nil && r[1].LastFailure != nil
		})
		w.beHostile()
	}, []string{"status"}, []string{"status", "--json"}, []string{"doctor"}, []string{"doctor", "--json"}, []string{"register"})
	wantHarmless(t, all, "nasty-tesla", "nasty-page", "nasty-caa", "nasty-path")
}

// saying tells a server something, over TLS where there is a name for it, and returns the
// first line of the answer; "" where the server wants none of it, or waits for more.
func (w *world) saying(addr string, tlsName *string, text string) (answer string, err error) {
	conn, err := new(net.Dialer).DialContext(w.ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if tlsName != nil {
		client := tls.Client(conn, &tls.Config{ServerName: *tlsName, InsecureSkipVerify: true, NextProtos: []string{"http/1.1", "nasty-alpn\x1b[2J\u202e\xff"}})
		if err := client.HandshakeContext(w.ctx); err != nil {
			return "", err
		}
		conn = client
	}
	_, _ = conn.Write([]byte(text)) // it may be refused before it is read
	return bufio.NewReader(conn).ReadString('\n')
}

// wantAnswer is saying to whoever has to answer in HTTP.
func (w *world) wantAnswer(addr string, tlsName *string, text string) {
	for {
		began := time.Now()
		answer, err := w.saying(addr, tlsName, text)
		switch {
		case strings.HasPrefix(answer, "HTTP/1.1 "):
			return
		case time.Since(began) < hurry || w.ctx.Err() != nil:
			w.t.Errorf("%s answers %q and %v to %.80q, want an answer in HTTP", addr, answer, err, text)
			return
		}
		// We got no processor, so that the server gave us up.
	}
}

// beHostile is a client that says what nobody should. Where HTTP is spoken, over TLS or
// not, all of it is answered, or it was not heard.
func (w *world) beHostile() {
	w.t.Helper()
	var clients sync.WaitGroup
	odd := "nasty-name\x1b[2J\u202e\xff." + w.Domain
	ordinary := fmt.Sprintf("GET /nasty-path%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nConnection: close\r\n\r\n", "%1b%5b2J%e2%80%ae%ff%0d%0a", w.Domain, "nasty-agent \u202e\u009b\xff<script>alert(1)</script>")
	told := func(addr string, tlsName *string, text string) {
		clients.Go(func() {
			if (tlsName == nil) == (addr == w.HTTPSAddr) || tlsName == &odd {
				_, _ = w.saying(addr, tlsName, text) // it is refused, which is as good
				return
			}
			w.wantAnswer(addr, tlsName, text)
		})
	}
	for _, addr := range []string{w.HTTPAddr, w.HTTPSAddr, w.AdminAddr} {
		clients.Go(func() { _, _ = w.saying(addr, nil, nasty("nasty-garbage")) }) // the same
		for _, name := range []*string{nil, &w.Domain, &odd} {
			told(addr, name, ordinary)
			told(addr, name, strings.Replace(ordinary, "Host: ", "Host: \x1b\u202e", 1))
			told(addr, name, "GET /"+nastyHeader("nasty-path")+" HTTP/1.1\r\nHost: "+w.Domain+"\r\n\r\n")
			told(addr, name, "GET / HTTP/1.1\r\nHost: "+w.Domain+"\r\nUser-Agent: "+nastyHeader("nasty-agent")+"\r\nX-Forwarded-For: "+nastyHeader("nasty-for")+"\r\n\r\n")
			told(addr, name, nastyHeader("nasty-method")+" / HTTP/1.1\r\n\r\n")
		}
	}
	clients.Wait()
}

func authorityIsHostile(t *testing.T, format string) {
	w := newRegistrable(t)
	w.writeKey()
	w.CA.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != testca.NewOrderPath || r.Method != http.MethodPost {
			return false
		}
		rw.Header().Set("Content-Type", "application/problem+json")
		rw.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(rw, `{"type":"urn:ietf:params:acme:error:unauthorized","detail":"%s","subproblems":[{"type":"%s","detail":"%s","identifier":{"type":"dns","value":"%s"}}]}`,
			nastyJSON("nasty-authority"), nastyJSON("nasty-type"), nastyJSON("nasty-detail"), nastyJSON("nasty-name"))
		return true
	})
	w.DNS.Set(w.Domain, "A "+w.Host(), `TXT "nasty-text\027[2J\226\128\174\255"`, `CAA 0 issue "nasty-caa\027[2J\255\226\128\174<script>alert(1)"`)
	all := w.showing(format, nil, func() {
		w.await("the refusal", func(s admin.Status) bool { return s.Sites[0].Certificate.LastError != nil })
	}, []string{"status"}, []string{"status", "--json"}, []string{"doctor"})
	wantHarmless(t, all, "nasty-authority", "nasty-caa")
}

func siteFilesAreHostile(t *testing.T, format string) {
	s := newSeveral(t, "good.example.com")
	s.write("good.example.com", credentials("good.example.com"))
	s.write("raw.example.com", nasty("nasty-file")[:60<<10])
	s.write("key.example.com", "\"nasty-setting\\e[2J\\u202E\\x9b<script>alert(1)\": x\n")
	s.write("value.example.com", "regions: \"nasty-value\\e[2J\\u202E\\r\\n<script>alert(1)\"\nclient_id: \"nasty-id\\e[2J\\u202E\"\nkey_file: \"nasty-path\\e[2J\\u202E\"\n")
	s.write("path.example.com", "key_file: \""+s.dir+"/nasty-key\\e[2J\\u202E<img src=x>\"\n")
	s.write("odd\x1b[2J\u202e\xff.example.com", "regions: eu\n")
	settings := []string{"DOMAIN", "CREDENTIALS_FILE", "SITES_DIR=" + s.dir}
	all := s.showing(format, settings, func() {
		s.await("what is wrong", func(status admin.Status) bool {
			return len(status.BadSites) >= 3 && site(status, "good.example.com") != nil
		})
	}, []string{"status"}, []string{"status", "--json"}, []string{"sites", "list"}, []string{"sites", "check"})
	wantHarmless(t, all, "nasty-setting", "nasty-value")
}

// hostIsHostile has the doctor look at a host that says such things, in the place of
// wellkey.
func hostIsHostile(t *testing.T) {
	w := newWorld(t, withFiles)
	leaf, err := w.Signer.Issue(testca.LeafOptions{SelfSigned: true}, "nasty-subject\x1b[2J<script>alert(1)</script>")
	if err != nil {
		t.Fatal(err)
	}
	for i, answer := range []string{
		"HTTP/1.1 302 nasty-reason\x1b[2J\u202e\r\nLocation: https://nasty-location/\u202e\u009b<script>alert(1)\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nServer: nasty-server\u202e\xff\r\nContent-Type: nasty-type\u202e\xff/<script>alert(1)\r\nContent-Encoding: nasty-encoding\u202e\r\n\r\n" + nasty("nasty-body"),
		nasty("nasty-garbage"),
	} {
		listener := testnet.Listen(t, w.HTTPSAddr)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
					secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{leaf.Certificate}})
					if _, err := http.ReadRequest(bufio.NewReader(secure)); err == nil {
						_, _ = secure.Write([]byte(answer)) // who asked may have heard enough
					}
				}()
			}
		}()
		w.DNS.Set(w.Domain, "CNAME nasty\\027[2J\\226\\128\\174.example.com.")
		w.DNS.Set("nasty\\027[2J\\226\\128\\174.example.com", "A "+w.Host())
		var all []shown
		for _, args := range [][]string{{"doctor", w.Domain}, {"doctor", w.Domain, "--json"}} {
			all = append(all, w.commandShows(nil, args)...)
		}
		_ = listener.Close() // for the next
		words := []string{"nasty"}
		if i == 0 {
			words = append(words, "nasty-subject")
		}
		wantHarmless(t, all, words...)
	}
}

// adminIsHostile has somebody else answer where wellkey's own admin listener is
// thought to be.
func adminIsHostile(t *testing.T) {
	w := newWorld(t, withFiles)
	text := `"` + strings.TrimRight(nastyJSON("nasty-admin"), "A") + `"`
	check := `{"id":` + text + `,"status":` + text + `,"label":` + text + `,"title":` + text + `,"name":` + text + `,"seen":` + text + `,"text":` + text + `,"cause":` + text + `,"fix":` + text + `}`
	body := `{"version":` + text + `,"ready":false,"not_ready":` + text + `,"listeners":[{"name":` + text + `,"address":` + text + `,"error":` + text + `}],
		"storage":{"name":` + text + `,"reason":` + text + `,"seen":` + text + `,"cause":` + text + `,"fix":` + text + `},
		"bad_sites":[{"name":` + text + `,"error":` + text + `}],
		"sites":[{"domain":` + text + `,"summary":{"state":"action","text":` + text + `,"fix":` + text + `,"title":` + text + `},"checklist":[` + check + `],
		"key":{"fingerprint":` + text + `,"origin":` + text + `,"path":` + text + `,"last_bad_change":` + text + `,"warnings":[` + text + `]},
		"certificate":{"issuer":` + text + `,"serial":` + text + `},
		"reachability":{"verdict":` + text + `,"reason":` + text + `,"findings":[` + check + `]},
		"registrations":[{"region":` + text + `,"state":` + text + `,"reason":` + text + `,"seen":` + text + `,"cause":` + text + `,"fix":` + text + `,"pairing_link":` + text + `}],
		"pairing_link":` + text + `}]}`
	for _, answer := range []struct {
		status int
		body   string
	}{{200, body}, {200, nasty("nasty-admin")}, {500, nasty("nasty-admin")}} {
		listener := testnet.Listen(t, w.AdminAddr)
		server := &http.Server{ReadHeaderTimeout: 20 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(answer.status)
			_, _ = rw.Write([]byte(answer.body)) // who asked may have heard enough
		})}
		go func() { _ = server.Serve(listener) }()
		var all []shown
		for _, args := range [][]string{{"status"}, {"status", "--json"}, {"healthcheck"}} {
			all = append(all, w.commandShows(nil, args)...)
		}
		_ = server.Close() // for the next
		all = slices.DeleteFunc(all, func(s shown) bool {
			return s.text == "" || strings.Contains(s.where, "--json") && answer.status == 200 && answer.body == body
		})
		wantHarmless(t, all)
	}
}
