package fleetsim

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"wellkey/registrar/fleetapi"
)

// A Request is one that arrived at the simulator.
type Request struct {
	Operation fleetapi.Operation
	Region    fleetapi.Region // of a token: the audience's; "" if that is nobody's
	Domain    string
	ClientID  string
	UserAgent string
	At        time.Time
	Status    int    // of the answer; 0 while there is none, and where a fault broke the connection
	Download  string // of a registration: how the download of the key ended, "ok" or a problem; "" = there was none
	Fault     bool   // a fault answered it
}

// Requests returns all requests so far, oldest first, those under way included.
func (s *Sim) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count returns how many requests came for an operation, in the regions given
// or in all.
func (s *Sim) Count(op fleetapi.Operation, regions ...fleetapi.Region) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Operation == op && (len(regions) == 0 || slices.Contains(regions, r.Region)) {
			n++
		}
	}
	return n
}

// Downloads returns how many times a key was fetched, or tried to.
func (s *Sim) Downloads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.downloads
}

// An exchange is one request and its answer. Only its own goroutine uses it.
type exchange struct {
	sim    *Sim
	w      http.ResponseWriter
	r      *http.Request
	index  int // of the record among the requests
	record Request
	told   bool // OnRequest was called
}

func (s *Sim) begin(w http.ResponseWriter, r *http.Request, op fleetapi.Operation, region fleetapi.Region, domain, clientID string) *exchange {
	e := &exchange{sim: s, w: w, r: r, record: Request{
		Operation: op, Region: region, Domain: domain, ClientID: clientID,
		UserAgent: r.UserAgent(), At: s.clock(),
	}}
	w.Header().Set("Date", e.record.At.UTC().Format(http.TimeFormat)) // by the clock that tokens go by, too
	s.mu.Lock()
	defer s.mu.Unlock()
	e.index = len(s.requests)
	s.requests = append(s.requests, e.record)
	return e
}

// keep makes the record visible.
func (e *exchange) keep() {
	e.sim.mu.Lock()
	defer e.sim.mu.Unlock()
	e.sim.requests[e.index] = e.record
}

func (e *exchange) setClient(id string) {
	e.record.ClientID = id
	e.keep()
}

func (e *exchange) end() { e.tell() }

// tell calls OnRequest, once.
func (e *exchange) tell() {
	if f := e.sim.config.OnRequest; f != nil && !e.told {
		f(e.record)
	}
	e.told = true
}

// refuse answers with the first example of the code.
func (e *exchange) refuse(code fleetapi.ReasonCode) { e.answer(refusal(code).Examples[0]) }

// answer answers with x, filled in for this request.
func (e *exchange) answer(x fleetapi.Example) {
	subject := fleetapi.Subject{
		Region: e.record.Region, Domain: e.record.Domain, ClientID: e.record.ClientID,
		BaseURL: e.sim.bases[e.record.Region], AuthURL: e.sim.authURL,
	}
	txid := random(16)
	body := strings.NewReplacer("{txid}", txid, "{reference}", random(16)+"-1754650000000").Replace(subject.Fill(x.Body))
	if e.record.Operation != fleetapi.OpToken {
		e.w.Header().Set("X-Txid", txid)
	}
	for name, value := range x.Header {
		e.w.Header().Set(name, value)
	}
	kind := "text/html"
	if strings.HasPrefix(body, "{") {
		kind = "application/json"
	}
	e.write(x.Status, kind, body)
}

func (e *exchange) json(status int, value any) {
	body, _ := json.Marshal(value) // maps of strings and numbers always marshal
	e.write(status, "application/json", string(body))
}

func (e *exchange) write(status int, kind, body string) {
	e.record.Status = status
	e.keep() // before the answer: who has it may look at once
	e.tell()
	e.w.Header().Set("Content-Type", kind)
	e.w.WriteHeader(status)
	_, _ = io.WriteString(e.w, body) // a client that left is none of our business
}
