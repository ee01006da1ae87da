package fleetapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// An answer is what came back for a request.
type answer struct {
	request request
	status  int
	header  http.Header
	body    Body
	raw     []byte
	fields  map[string]json.RawMessage // of a BodyJSON
	text    string                     // what the answer says about what went wrong
	txid    string
}

// succeeded reports whether the answer is not a refusal. What an operation
// needs may still be missing in it.
func (a *answer) succeeded() bool {
	if a.status == http.StatusNoContent && a.request.op == OpRegister {
		return true
	}
	return a.status/100 == 2 && a.body == BodyJSON && a.text == ""
}

func (a *answer) broken(why string) { a.body, a.text, a.fields = BodyBroken, why, nil }

// readAnswer reads an answer in one of the envelopes that Tesla uses:
//
//	{"response":null,"error":"…","error_description":"","txid":"…"}      partner endpoints
//	{"error":"…","error_description":"…","referenceID":"…"}              tokens
//	{"error":"…","error_description":"…","error_uri":"…/reference/…"}    tokens, older
func readAnswer(status int, header http.Header, raw []byte) answer {
	a := answer{status: status, header: header, raw: raw, txid: name(header.Get("X-Txid"))}
	trimmed := bytes.TrimSpace(raw)
	switch {
	case len(raw) > largest:
		a.broken("the body is larger than 1 MiB")
		return a
	case len(trimmed) == 0:
		a.body = BodyEmpty
		return a
	case trimmed[0] != '{':
		a.body, a.text = BodyOther, string(trimmed[:min(len(trimmed), largest)])
		return a
	}
	fields, err := object(trimmed)
	if err != nil {
		a.broken(err.Error())
		return a
	}
	a.body, a.fields = BodyJSON, fields
	a.text = a.words()
	if id := name(a.string("txid")); id != "" {
		a.txid = id
	}
	if a.txid == "" { // token endpoint: "<id>. For more information, visit: …", or a link that ends in the id
		reference, _, _ := strings.Cut(a.string("referenceID"), ". ")
		uri := a.string("error_uri")
		a.txid = name(reference)
		if a.txid == "" {
			a.txid = name(uri[strings.LastIndexByte(uri, '/')+1:])
		}
	}
	return a
}

// string returns the field if it is a string, else "".
func (a *answer) string(field string) string {
	var s string
	_ = json.Unmarshal(a.fields[field], &s) // another type is as good as nothing: see words
	return s
}

// words returns what the envelope says about what went wrong; "" if nothing.
func (a *answer) words() string {
	var parts []string
	for _, field := range []string{"error", "error_description"} {
		value := a.fields[field]
		if s := a.string(field); s != "" {
			parts = append(parts, s)
		} else if empty := string(value); value != nil && empty != "null" && empty != `""` && empty != "false" {
			parts = append(parts, empty) // an object, say: show it as it is
		}
	}
	var messages map[string][]string // what is wrong with which field of the request
	if json.Unmarshal(a.fields["messages"], &messages) == nil {
		for _, field := range slices.Sorted(maps.Keys(messages)) {
			parts = append(parts, field+" "+strings.Join(messages[field], ", "))
		}
	}
	return strings.Join(parts, ": ")
}

// name returns s if it can be the name of a request, else "". Names are shown
// without quotes, so that they can be copied.
func name(s string) string {
	s = strings.TrimSpace(s)
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}
	if len(s) > 100 || strings.ContainsFunc(s, odd) {
		return ""
	}
	return s
}

// object reads one JSON object and nothing after it. It refuses an object, here
// or within, that has a name twice, also in another case: two readers of such
// an answer would understand different things.
func object(data []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil { // checks the whole, and its depth
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) && syntax.Offset >= int64(len(data)) {
			return nil, errors.New("the JSON is cut")
		}
		return nil, errors.New("the JSON is malformed")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := unique(dec); err != nil {
		return nil, err
	}
	return fields, nil
}

// unique reads one value.
func unique(dec *json.Decoder) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			folded := strings.ToLower(fmt.Sprint(key))
			if seen[folded] {
				return errors.New("the JSON has a name twice")
			}
			seen[folded] = true
		}
		if err := unique(dec); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
