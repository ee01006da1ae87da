package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// selfExplaining are the messages at warn and error that need no field "fix", and why.
var selfExplaining = map[string]string{
	// The error, or the warning, is a text with a fix of its own, which has its tests.
	"address not to be had yet, trying on":      "error",
	"setting to look at":                        "warning",
	"key needs attention":                       "warning",
	"site is bad; the others are not concerned": "error",
	"data directory cannot be written, so only what is in it is served, and nothing is ordered or registered":     "error",
	"no copy of the certificate can be kept on this disk, so that a start while the store is down serves nothing": "error",
	"local copy not written": "error",
	"local copy not deleted": "error",
	"storage does not take what is written; what is in use goes on from memory": "error",
	"key is that of two sites": "error",
	"credentials not usable, so nothing is registered until they are mended; the key is served all the same": "error",
	"credentials not usable; the last good ones stay in use":                                                 "error",
	"reload left the last good state in use":                                                                 "error",
	// The message says it.
	"accepted key not readable, so nothing is replaced; run wellkey rotate again":                                                                                            "message",
	"key file is where the sandbox lets nothing be written: if there is no key, make it (wellkey keygen); let its owner alone read it (chmod 600); or set landlock to false": "message",
	"cannot accept connections for now, trying on; too many open files? raise LimitNOFILE or ulimit -n":                                                                      "message",
	"a trusted proxy sent no good PROXY header, so its connection was closed; make it send one, or set proxy_protocol off":                                                   "message",
	"max_connections is more than the open files allow, so fewer are held; raise LimitNOFILE or ulimit -n":                                                                   "message",
	"a part of wellkey panicked and goes on: this is a bug, please report it":                                                                                                "message",
	// There is nothing to do: it was asked for, or wellkey has healed it.
	"connections still open at the end of the drain were cut":                             "nothing",
	"deleted the oldest items in quarantine":                                              "nothing",
	"the CA refuses to hear which certificate is replaced, so a first one is asked for":   "nothing",
	"damaged item is deleted":                                                             "nothing",
	"account was found again at the CA by its key":                                        "nothing",
	"the first authority has failed for so long that the fallback is asked":               "nothing",
	"metadata of the certificate was missing or damaged and is made anew":                 "nothing",
	"storage has lost what was in it, so the certificate in use is stored again":          "nothing",
	"storage has lost what was in it, so each domain gives back what is kept here":        "nothing",
	"the certificate that is kept here cannot be stored again":                            "nothing",
	"replacing the registered key, as the operator accepted; every owner must pair again": "nothing",
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
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				message, ok := troubleOf(call)
				if !ok {
					return true
				}
				lines++
				used[message] = true
				if _, known := selfExplaining[message]; !known && !saysFix(call) {
					t.Errorf("%s: %q does not say what to do: add a field \"fix\"", set.Position(call.Pos()), message)
				}
				return true
			})
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

// troubleOf returns the message of a call that logs at warn or error.
func troubleOf(call *ast.CallExpr) (message string, ok bool) {
	method, is := call.Fun.(*ast.SelectorExpr)
	if !is || method.Sel.Name != "Warn" && method.Sel.Name != "Error" || len(call.Args) == 0 {
		return "", false
	}
	if text, is := call.Args[0].(*ast.BasicLit); is && text.Kind == token.STRING {
		message, err := strconv.Unquote(text.Value)
		return message, err == nil
	}
	return "", false
}

// saysFix reports whether a call has a field "fix", or fields that come as a list, or
// by a name.
func saysFix(call *ast.CallExpr) bool {
	if call.Ellipsis.IsValid() {
		return true
	}
	for _, arg := range call.Args[1:] {
		switch arg := arg.(type) {
		case *ast.Ident:
			if strings.HasPrefix(arg.Name, "fix") {
				return true
			}
		case *ast.CallExpr:
			if len(arg.Args) == 0 {
				continue
			}
			if name, is := arg.Args[0].(*ast.BasicLit); is && name.Value == `"fix"` {
				return true
			}
		}
	}
	return false
}
