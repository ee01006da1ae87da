package cli_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/config"
	"wellkey/internal/doctor"
	"wellkey/internal/testworld"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// problems has a test for every row of docs/problems.md, by its id.
func problems() map[string]func(*problem) {
	all := map[string]func(*problem){}
	for _, group := range []map[string]func(*problem){applicationProblems(), keyProblems(), hostProblems(), pairingProblems()} {
		maps.Copy(all, group)
	}
	return all
}

// TestProblems sets up the 25 problems that people meet most, and wants each one
// prevented, or explained by whatever the document says it is explained by.
func TestProblems(t *testing.T) {
	t.Parallel()
	rows, tests := problemRows(t), problems()
	for i, row := range rows {
		if row.number != strconv.Itoa(i+1) {
			t.Errorf("row %d has the number %s", i+1, row.number)
		}
		test, ok := tests[row.id]
		if !ok {
			t.Errorf("docs/problems.md has the problem %s, and there is no test for it", row.id)
			continue
		}
		delete(tests, row.id)
		t.Run(row.id, func(t *testing.T) {
			t.Parallel()
			p := &problem{t: t}
			test(p)
			row.check(p)
		})
	}
	if len(rows) != 25 || len(tests) != 0 {
		t.Errorf("%d rows in docs/problems.md, want 25; tests without a row: %q", len(rows), slices.Sorted(maps.Keys(tests)))
	}
}

// A problemRow is a row of docs/problems.md.
type problemRow struct{ number, id, seen, by, fix string }

func problemRows(t *testing.T) []problemRow {
	t.Helper()
	var rows []problemRow
	for _, cells := range tableRows(t, "problems.md", 5) {
		if cells[1] != "id" {
			rows = append(rows, problemRow{cells[0], cells[1], cells[2], cells[3], cells[4]})
		}
	}
	return rows
}

// tableRows returns the rows of the table of a document, without its rule.
func tableRows(t *testing.T, document string, cells int) [][]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + document)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		row := strings.Split(strings.Trim(line, "| "), " | ")
		if strings.HasPrefix(line, "| | ") { // the head over the numbers
			row = append([]string{""}, row...)
		}
		if len(row) != cells {
			t.Fatalf("docs/%s: %d cells, want %d: %s", document, len(row), cells, line)
		}
		rows = append(rows, row)
	}
	return rows
}

// check compares what the document says of a problem with what happened: every
// code that it names was shown, every command was run, and the page about
// pairing was looked up where it leads there.
func (r problemRow) check(p *problem) {
	for _, cell := range []string{r.seen, r.by, r.fix} {
		if cell == "" {
			p.t.Errorf("a cell is empty: %+v", r)
		}
	}
	told := p.told.String()
	for _, span := range codeSpans(r.by) {
		switch {
		case strings.HasPrefix(span, "wellkey "):
			if !strings.Contains(told, "\n$ "+span) {
				p.t.Errorf("the document names %q, which was not run", span)
			}
		case !slices.Contains(codes(), span):
			p.t.Errorf("the document names %q, which is no code of wellkey's", span)
		case !regexp.MustCompile(`\b` + span + `\b`).MatchString(told):
			p.t.Errorf("the document names %s, which was not shown:%s", span, told)
		}
	}
	for _, span := range codeSpans(r.fix) {
		setting := strings.Contains(config.MarkdownTable(), "| `"+span+"` |")
		command := strings.HasPrefix(span, "wellkey ") && slices.Contains([]string{"doctor", "register", "rotate"}, strings.TrimPrefix(span, "wellkey "))
		if literal := slices.Contains([]string{".nojekyll", "https://<domain>"}, span); !setting && !command && !literal {
			p.t.Errorf("the fix names %q, which is neither a setting nor a command", span)
		}
	}
	if leads := strings.Contains(r.by, "(pairing.md)"); leads != p.pairing {
		p.t.Errorf("the document leads to pairing.md: %t; the test looked there: %t", leads, p.pairing)
	}
}

func codeSpans(text string) []string {
	var spans []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(text, -1) {
		spans = append(spans, m[1])
	}
	return spans
}

// codes returns all that wellkey calls things by: checks, reasons, refusals and
// states.
func codes() []string {
	all := slices.Concat(doctor.Checks(), reach.Reasons())
	for _, refusal := range fleetapi.Catalogue() {
		all = append(all, string(refusal.Code))
	}
	for _, state := range registrar.States() {
		all = append(all, string(state))
	}
	return all
}

// A problem is one problem under test. It remembers all that the operator was
// shown.
type problem struct {
	t       *testing.T
	told    strings.Builder
	pairing bool // the page about pairing was looked up
}

// world returns a world with credentials and a certificate from files.
func (p *problem) world(options ...func(*testworld.Config)) *world {
	p.t.Helper()
	return newRegistrable(p.t, append(options, withFiles)...)
}

// stranger is world without credentials: nothing is known but how the host looks
// from outside.
func (p *problem) stranger(options ...func(*testworld.Config)) *world {
	p.t.Helper()
	return newWorld(p.t, append(options, withFiles)...)
}

// hosted returns a world with credentials in which a web server that is not
// wellkey publishes body.
func (p *problem) hosted(body []byte) *world {
	p.t.Helper()
	w := p.world()
	w.host(body)
	return w
}

// wants runs a command in a world with its settings, and wants this exit code
// and these words.
func (p *problem) wants(w *world, code int, command string, words ...string) {
	p.t.Helper()
	p.wantsWith(w, nil, code, command, words...)
}

// wantsWith is wants with settings in place of those of the world; nil are those.
func (p *problem) wantsWith(w *world, environ []string, code int, command string, words ...string) {
	p.t.Helper()
	s := w.command(environ, strings.Fields(command)...)
	text := s.out + s.errors
	p.told.WriteString("\n$ wellkey " + command + "\n" + text)
	if s.code != code {
		p.t.Errorf("wellkey %s: exit code %d, want %d:\n%s", command, s.code, code, text)
	}
	p.contains("wellkey "+command, text, words)
}

func (p *problem) contains(what, text string, words []string) {
	p.t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			p.t.Errorf("%s does not say %q:\n%s", what, word, text)
		}
	}
}

// refused wants "wellkey register" to end with this code and reason, in these
// words, and nothing to be registered.
func (p *problem) refused(w *world, code int, reason fleetapi.ReasonCode, words ...string) {
	p.t.Helper()
	p.wants(w, code, "register", words...)
	p.wants(w, code, "register --json", `"reason": "`+string(reason)+`"`, `"txid": "`)
	for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
		if account, ok := w.Tesla.Account(region, w.Domain); ok && account.ClientID == testworld.ClientID {
			p.t.Errorf("registered in %s: %+v", region, account)
		}
	}
}

// serves runs "wellkey serve" until both regions are in state, and wants these
// words in what "wellkey status" then shows.
func (p *problem) serves(w *world, state registrar.State, words ...string) *testworld.Run {
	p.t.Helper()
	r := w.run()
	w.awaitStates(state, state)
	p.told.WriteString("\n$ wellkey serve")
	p.status(w, words...)
	return r
}

// status asks the wellkey that runs how it stands, as a person and as a program.
func (p *problem) status(w *world, words ...string) admin.Status {
	p.t.Helper()
	text := w.command(nil, "status").out
	body := []byte(w.command(nil, "status", "--json").out)
	p.told.WriteString("\n$ wellkey status\n" + text + string(body))
	p.contains("wellkey status", text, words)
	var status admin.Status
	if err := json.Unmarshal(body, &status); err != nil {
		p.t.Fatalf("%v: %q", err, body)
	}
	return status
}

// healthy is a world in which nothing that a host can see is wrong: wellkey
// serves, both regions are registered, and nobody finds a fault.
func (p *problem) healthy() *world {
	p.t.Helper()
	w := p.world()
	p.serves(w, registrar.Registered, "All is well", "docs/pairing.md")
	p.wants(w, 0, "doctor", "All is well")
	return w
}

// explained wants a row of docs/pairing.md for what an owner sees, with these
// words in cause or fix.
func (p *problem) explained(message string, words ...string) {
	p.t.Helper()
	p.pairing = true
	for _, row := range tableRows(p.t, "pairing.md", 4) {
		if strings.Contains(row[0], message) {
			p.contains("docs/pairing.md", row[1]+"\n"+row[2], words)
			return
		}
	}
	p.t.Errorf("docs/pairing.md does not explain %q", message)
}
