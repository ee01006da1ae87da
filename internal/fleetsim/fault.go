package fleetsim

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"wellkey/registrar/fleetapi"
)

// A Kind is a way to fail that is no refusal of Tesla's.
type Kind string

// The kinds of fault.
const (
	Hang          Kind = "hang"           // no answer until the client gives up
	Drip          Kind = "drip"           // an answer that never ends, one byte at a time
	Reset         Kind = "reset"          // the connection is reset
	Cut           Kind = "cut"            // the body is shorter than announced
	Huge          Kind = "huge"           // a body of 2 MiB
	HTML          Kind = "html"           // a web page with status 200
	Redirect      Kind = "redirect"       // to another host: see Strays
	DuplicateKeys Kind = "duplicate_keys" // JSON that says two things
	WrongToken    Kind = "wrong_token"    // the token of a user; for other operations nothing
	OtherAudience Kind = "other_audience" // the token of another region; for other operations nothing
	OldToken      Kind = "old_token"      // a token that is over; for other operations nothing
	Garbage       Kind = "garbage"        // bytes that are not HTTP
)

// Kinds returns all kinds of fault.
func Kinds() []Kind {
	return []Kind{Hang, Drip, Reset, Cut, Huge, HTML, Redirect, DuplicateKeys, WrongToken, OtherAudience, OldToken, Garbage}
}

// A Limit says which requests a fault meets; the zero Limit is all, for ever.
type Limit struct {
	Regions    []fleetapi.Region
	Operations []fleetapi.Operation
	Times      int // 0 = until Clear
	Every      int // the first of so many, and so on; 0 = each
}

type fault struct {
	Limit
	kind    Kind // "" = answer
	example fleetapi.Example
	passed  int // requests since the one that it last answered, which counts; where Every is set
}

// Inject makes requests end as the catalogue's row for code says: with its
// first example, or by the fault that causes it. Without operations in the
// limit, those of the row are meant. Three codes are about the way to Tesla and
// cannot come from a server that listens: for them use BrokenURL.
func (s *Sim) Inject(code fleetapi.ReasonCode, l Limit) error {
	row := refusal(code)
	if l.Operations == nil {
		l.Operations = row.Operations
	}
	kinds := map[fleetapi.ReasonCode]Kind{
		fleetapi.Timeout: Hang, fleetapi.ConnectionReset: Reset, fleetapi.Network: Garbage, fleetapi.Redirected: Redirect,
	}
	if kind, ok := kinds[code]; ok {
		s.Break(kind, l)
		return nil
	}
	if url := s.BrokenURL(code); url != "" {
		return fmt.Errorf("injecting %s: set the URL %s instead", code, url)
	}
	s.Answer(row.Examples[0], l)
	return nil
}

// BrokenURL returns an auth or base URL with which requests end in code, for
// the three codes that Inject cannot cause; else "".
func (s *Sim) BrokenURL(code fleetapi.ReasonCode) string {
	switch code {
	case fleetapi.DNS:
		// A label longer than DNS allows (RFC 1035, section 2.3.4), so that the
		// lookup fails without asking anybody; .invalid is nobody's (RFC 2606).
		return "https://" + strings.Repeat("nowhere-", 8) + ".invalid"
	case fleetapi.TLS:
		return strings.Replace(s.trapURL, "http:", "https:", 1) // which speaks plain HTTP
	case fleetapi.ConnectionRefused:
		return "http://127.0.0.1:1" // a port that is nobody's
	}
	return ""
}

// Answer makes requests end in the answer x, whatever it is.
func (s *Sim) Answer(x fleetapi.Example, l Limit) { s.add(&fault{Limit: l, example: x}) }

// Break makes requests fail in the given way.
func (s *Sim) Break(k Kind, l Limit) { s.add(&fault{Limit: l, kind: k}) }

func (s *Sim) add(f *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// Clear ends all faults, and what GiveTokens began. Requests that hang go on hanging.
func (s *Sim) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.opaque = nil, nil
}

// faulted lets the oldest fault that meets the request answer it, and reports
// whether there was one.
func (e *exchange) faulted() bool {
	f := e.takeFault()
	if f == nil {
		return false
	}
	e.record.Fault = true
	if f.kind == "" {
		e.answer(f.example)
		return true
	}
	e.fail(f.kind)
	return true
}

func (e *exchange) takeFault() *fault {
	e.sim.mu.Lock()
	defer e.sim.mu.Unlock()
	i := slices.IndexFunc(e.sim.faults, func(f *fault) bool {
		meets := (len(f.Regions) == 0 || slices.Contains(f.Regions, e.record.Region)) &&
			(len(f.Operations) == 0 || slices.Contains(f.Operations, e.record.Operation)) &&
			(!slices.Contains([]Kind{WrongToken, OtherAudience, OldToken}, f.kind) || e.record.Operation == fleetapi.OpToken)
		if !meets || f.Every == 0 {
			return meets
		}
		turn := f.passed
		f.passed = (turn + 1) % f.Every
		return turn == 0
	})
	if i < 0 {
		return nil
	}
	f := e.sim.faults[i]
	if f.Times > 0 {
		if f.Times--; f.Times == 0 {
			e.sim.faults = slices.Delete(e.sim.faults, i, i+1)
		}
	}
	return f
}

func (e *exchange) fail(k Kind) {
	switch k {
	case Hang:
		<-e.r.Context().Done()
	case Drip:
		e.drip()
	case Reset:
		e.raw("", true)
	case Garbage:
		e.raw("* BYE this is not the server you look for\r\n\r\n", false)
	case Cut:
		e.w.Header().Set("Content-Length", "4096") // the server breaks the connection where it is not kept
		e.write(http.StatusOK, "application/json", `{"response":{"public_key":"04`)
	case Huge:
		e.write(http.StatusOK, "application/json", `{"response":{"public_key":"`+strings.Repeat("0", 2<<20)+`"}}`)
	case HTML:
		e.write(http.StatusOK, "text/html", "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body></body></html>\n")
	case Redirect:
		e.w.Header().Set("Location", e.sim.trapURL+e.r.URL.RequestURI())
		e.write(http.StatusTemporaryRedirect, "text/plain", "") // 307: the only kind that repeats the body
	case DuplicateKeys:
		e.write(http.StatusOK, "application/json",
			`{"access_token":"a","access_token":"b","response":{"public_key":"04aa","public_key":"04bb"}}`)
	case WrongToken:
		e.json(http.StatusOK, e.sim.issue(e.record.ClientID, e.record.Region, []string{"openid"}, true))
	case OtherAudience:
		regions := e.sim.config.Regions
		other := regions[(slices.Index(regions, e.record.Region)+1)%len(regions)]
		e.json(http.StatusOK, e.sim.issue(e.record.ClientID, other, []string{"openid"}, false))
	case OldToken:
		answer := e.sim.issue(e.record.ClientID, e.record.Region, []string{"openid"}, false)
		e.sim.expire(answer["access_token"].(string))
		e.json(http.StatusOK, answer)
	}
}

func (e *exchange) drip() {
	e.write(http.StatusOK, "application/json", "")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-e.r.Context().Done():
			return
		case <-tick.C:
			_, _ = io.WriteString(e.w, " ")
			_ = http.NewResponseController(e.w).Flush() // fails when the client left, which ends the loop
		}
	}
}

// raw writes text instead of an answer and closes the connection.
func (e *exchange) raw(text string, reset bool) {
	conn, _, err := http.NewResponseController(e.w).Hijack()
	if err != nil {
		panic("fleetsim: taking over a connection: " + err.Error()) // only over HTTP/2, which is not served
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // makes Close send a reset
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

// Strays are the requests that followed a redirect to the other host.
type Strays struct {
	Requests int
	Secrets  int // how many of them brought a client secret or a token
}

// Strays returns what arrived at the other host. All of it should be zero.
func (s *Sim) Strays() Strays {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.strays
}

func (s *Sim) trap(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // what cannot be parsed holds no secret that we know
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strays.Requests++
	if r.Form.Get("client_secret") != "" || r.Header.Get("Authorization") != "" {
		s.strays.Secrets++
	}
	w.WriteHeader(http.StatusOK)
}
