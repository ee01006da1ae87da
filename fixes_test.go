package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// selfExplaining are the messages at warn and error that need no field "fix", and why.
var selfExplaining = map[string]string{
	// The error, or the warning, is a text with a fix of its own, which has its tests.
	"address not available yet, retrying":      "error",
	"setting needs attention":                  "warning",
	"key needs attention":                      "warning",
	"site is bad; the others are not affected": "error",
	"data directory cannot be written, so only what is in it is served, and nothing is ordered or registered":     "error",
	"no copy of the certificate can be kept on this disk, so a start while the store is down would serve nothing": "error",
	"local copy not written": "error",
	"local copy not deleted": "error",
	"storage does not take what is written; what is in use goes on from memory": "error",
	"two sites use the same key": "error",
	"credentials not usable, so nothing is registered until they are fixed; the key is still served": "error",
	"credentials not usable; the last good ones stay in use":                                         "error",
	"reload left the last good state in use":                                                         "error",
	// The message says it.
	"accepted key not readable, so nothing is replaced; run wellkey rotate again":                                                                                                   "message",
	"the sandbox does not allow writing where the key file is: if there is no key, make one (wellkey keygen); if others can read it, run chmod 600 on it; or set landlock to false": "message",
	"cannot accept connections for now, retrying; too many open files? raise LimitNOFILE or ulimit -n":                                                                              "message",
	"a trusted proxy sent no valid PROXY header, so its connection was closed; make it send one, or set proxy_protocol off":                                                         "message",
	"max_connections is more than the open files allow, so fewer are held; raise LimitNOFILE or ulimit -n":                                                                          "message",
	"a part of wellkey panicked and goes on: this is a bug, please report it":                                                                                                       "message",
	// There is nothing to do: it was asked for, or wellkey has healed it.
	"connections still open at the end of the drain were cut":                               "nothing",
	"deleted the oldest items in quarantine":                                                "nothing",
	"the CA rejects the reference to the certificate that is replaced; ordering without it": "nothing",
	"damaged item is deleted":                                                               "nothing",
	"account found at the CA by its key":                                                    "nothing",
	"the first authority has failed for so long that the fallback is asked":                 "nothing",
	"metadata of the certificate was missing or damaged; written again":                     "nothing",
	"storage has lost what was in it, so the certificate in use is stored again":            "nothing",
	"storage has lost what was in it, so each domain gives back what is kept here":          "nothing",
	"the certificate that is kept here cannot be stored again":                              "nothing",
	"replacing the registered key, as the operator accepted; every owner must pair again":   "nothing",
}

// TestTroubleComesWithAFix: a line of the log at warn or error says what to do, in the
// field "fix", or in fields that are put together elsewhere; or it stands above.
func TestTroubleComesWithAFix(t *testing.T) {
	used := map[string]bool{}
	lines := 0
	for _, line := range golist(t, "-deps", "-f", `{{.ImportPath}} {{.Dir}} {{join .GoFiles " "}}`, ".") {
		fields := strings.Fields(line)
		if len(fields) < 3 || !within(fields[0], "wellkey") {
			continue
		}
		for _, name := range fields[2:] {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, filepath.Join(fields[1], name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range troublesIn(file) {
				lines++
				used[line.message] = true
				if line.message == "" {
					t.Errorf("%s: the message is no text that stands here, so that nobody finds it by it", set.Position(line.pos))
				} else if _, known := selfExplaining[line.message]; !known && !line.fix {
					t.Errorf("%s: %q does not say what to do: add a field \"fix\"", set.Position(line.pos), line.message)
				}
			}
		}
	}
	if lines < 50 {
		t.Errorf("only %d lines were found", lines)
	}
	for message := range selfExplaining {
		if !used[message] {
			t.Errorf("%q is logged nowhere", message)
		}
	}
}

// A troubleLine is a call that logs at warn or error, or at a level that is not known
// before it runs.
type troubleLine struct {
	pos     token.Pos
	message string // "" = it is no literal
	fix     bool   // it says what to do
}

func troublesIn(file *ast.File) (lines []troubleLine) {
	packages := map[string]bool{}
	for _, i := range file.Imports {
		name := path.Base(strings.Trim(i.Path.Value, `"`))
		if i.Name != nil {
			name = i.Name.Name
		}
		packages[name] = true
	}
	for _, within := range file.Decls {
		ast.Inspect(within, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if on, is := method.X.(*ast.Ident); is && packages[on.Name] {
				return true // zap.Error, http.Error and others
			}
			args := call.Args
			switch {
			case method.Sel.Name == "Log" && len(args) > 1 && !quiet(args[0]):
				args = args[1:]
			case (method.Sel.Name == "Warn" || method.Sel.Name == "Error") && len(args) > 0:
			default:
				return true
			}
			lines = append(lines, troubleLine{call.Pos(), textOf(args[0]), saysFix(within, args[1:], call.Ellipsis.IsValid())})
			return true
		})
	}
	return lines
}

// quiet reports whether a level is one that nobody need look at.
func quiet(level ast.Expr) bool {
	s, is := level.(*ast.SelectorExpr)
	return is && (s.Sel.Name == "DebugLevel" || s.Sel.Name == "InfoLevel")
}

// textOf returns a text that stands in the source; "" = it is put together, has a name,
// or is empty.
func textOf(e ast.Expr) string {
	literal, is := e.(*ast.BasicLit)
	if !is || literal.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(literal.Value) // it was parsed
	return strings.TrimSpace(text)
}

// saysFix reports whether fields have one "fix" that is not empty, or one by such a
// name; of a list, whether it comes from where such fields are put together.
func saysFix(within ast.Node, fields []ast.Expr, spread bool) bool {
	for i, field := range fields {
		if spread && i == len(fields)-1 {
			return listsFix(within, field)
		}
		if name, is := field.(*ast.Ident); is && strings.HasPrefix(name.Name, "fix") || isFix(field) {
			return true
		}
	}
	return false
}

// isFix reports whether n makes a field "fix" that is not empty.
func isFix(n ast.Node) bool {
	call, is := n.(*ast.CallExpr)
	if !is || len(call.Args) != 2 || textOf(call.Args[0]) != "fix" {
		return false
	}
	_, literal := call.Args[1].(*ast.BasicLit)
	return !literal || textOf(call.Args[1]) != ""
}

// listsFix reports whether a list has a fix in it, as what is assigned to it within the
// same function shows.
func listsFix(within ast.Node, list ast.Expr) (found bool) {
	makers := []string{"noteFields", "reasonFields", "failureFields"}
	has := func(n ast.Node) bool {
		name, is := n.(*ast.Ident)
		found = found || isFix(n) || is && slices.Contains(makers, name.Name)
		return !found
	}
	ast.Inspect(list, has)
	if name, is := list.(*ast.Ident); is {
		ast.Inspect(within, func(n ast.Node) bool {
			if set, is := n.(*ast.AssignStmt); is && len(set.Lhs) == len(set.Rhs) {
				for i, to := range set.Lhs {
					if to, is := to.(*ast.Ident); is && to.Name == name.Name {
						ast.Inspect(set.Rhs[i], has)
					}
				}
			}
			return true
		})
	}
	return found
}

// TestTroublesAreSeen: what logs trouble is seen in each way to write it.
func TestTroublesAreSeen(t *testing.T) {
	for source, want := range map[string][]troubleLine{
		`log.Info("x")`: nil,
		`log.Warn("x")`: {{message: "x"}},
		`log.Error("x", zap.Error(err), zap.String("fix", "Do it."))`:            {{message: "x", fix: true}},
		`log.Warn("x", zap.String("fix", why.Fix))`:                              {{message: "x", fix: true}},
		`log.Warn("x", zap.String("fix", ""))`:                                   {{message: "x"}},
		`log.Warn("x", fixOf(err))`:                                              {{message: "x"}},
		`log.Warn(text, zap.String("fix", "Do it."))`:                            {{fix: true}},
		`log.Warn("x" + text)`:                                                   {{}},
		`log.Log(zap.DebugLevel, "x")`:                                           nil,
		`log.Log(zap.WarnLevel, "x")`:                                            {{message: "x"}},
		`log.Log(level, "x", zap.String("fix", "Do it."))`:                       {{message: "x", fix: true}},
		`http.Error(w, text, 500)`:                                               nil,
		`log.Warn("x", fields...)`:                                               {{message: "x"}},
		`fields := noteFields(n); log.Warn("x", append(fields, more)...)`:        {{message: "x"}},
		`fields := append(noteFields(n), more); log.Warn("x", fields...)`:        {{message: "x", fix: true}},
		`fields := []zap.Field{zap.String("fix", "")}; log.Warn("x", fields...)`: {{message: "x"}},
		`log.Log(level, "x", failureFields(f)...)`:                               {{message: "x", fix: true}},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", `package x; import ("net/http"; "go.uber.org/zap"); func f() { `+source+` }`, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		got := troublesIn(file)
		for i := range got {
			got[i].pos = 0
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %+v, want %+v", source, got, want)
		}
	}
}
