package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"wellkey/internal/pattern"
)

// readConfigFile reads the file that the flag or else the environment names.
func (d *draft) readConfigFile(flag, env string) map[string]value {
	path, from := flag, fromFlag
	if path == "" {
		path, from = env, fromEnvironment
	}
	if path == "" {
		return nil
	}
	d.settings.File = path
	data, mode, err := d.settings.readOnce(path)
	if err != nil {
		what, fix := explainFile(path, err)
		d.faults = append(d.faults, &Fault{Setting: spell("config", from), What: what, Fix: fix})
		d.unread = true
		return nil
	}
	f := file{path: path, mode: mode, nested: []string{"sites"}}
	entries, faults := f.parse(data, names(func(r row) bool { return r.name != "config" }))
	d.unread = len(entries) == 0 && len(faults) > 0
	d.take(faults)
	if e, ok := entries["sites"]; ok {
		d.readList(f, e)
	}
	return d.valuesOf(f, entries)
}

// take notes faults of a file.
func (d *draft) take(faults []*Fault) {
	for _, fault := range faults {
		d.faults = append(d.faults, fault)
		d.bad = append(d.bad, fault.Setting)
	}
}

// valuesOf returns the entries of a file as values of settings.
func (d *draft) valuesOf(f file, entries map[string]entry) map[string]value {
	given := map[string]value{}
	for _, r := range table() {
		e, ok := entries[r.name]
		if !ok {
			continue
		}
		if e.list && r.kind != kindList {
			d.faults = append(d.faults, &Fault{Setting: r.name, Where: e.where, What: "is a list, but must be one value", Fix: "Write it as in " + r.name + ": " + r.example})
			d.bad = append(d.bad, r.name)
			continue
		}
		if r.secret && e.text != "" && readableByAll(f.path, f.mode) {
			d.settings.Warnings = append(d.settings.Warnings, f.path+" holds "+r.name+" and every user of the machine can read it: chmod 600 it, or use "+r.name+"_file")
		}
		given[r.name] = e.value
	}
	return given
}

// A file is a YAML file of settings.
type file struct {
	path   string
	mode   os.FileMode
	nested []string // keys whose values are left to whoever asked for them
	site   bool     // it is about one of several sites
}

func (f file) at(line int) string { return fmt.Sprintf("%s:%d", f.path, line) }

// An entry is one key of a YAML file.
type entry struct {
	value
	list bool // the text is the items, with commas between them
	line int
	node *yaml.Node // of a nested key
}

// parseYAML reads a file that has no nested keys.
func parseYAML(path string, data []byte, known []string) (map[string]entry, []*Fault) {
	return file{path: path}.parse(data, known)
}

// parse reads a mapping with the keys known, whose values are scalars or lists of
// scalars. Their text is taken as it stands, without YAML's own idea of its type:
// a fingerprint may look like a number. An empty file is an empty mapping. No
// fault shows a value.
func (f file) parse(data []byte, known []string) (map[string]entry, []*Fault) {
	var faults []*Fault
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return map[string]entry{}, nil
	} else if err != nil {
		return map[string]entry{}, []*Fault{syntaxFault(f.path, err)}
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		faults = append(faults, &Fault{Where: f.path, What: "holds more than one YAML document", Fix: "Remove the line --- and what follows it"})
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return map[string]entry{}, faults
	}
	entries, more := f.mapping(root, known)
	return entries, append(faults, more...)
}

func (f file) mapping(root *yaml.Node, known []string) (map[string]entry, []*Fault) {
	entries := map[string]entry{}
	if root.Kind != yaml.MappingNode {
		return entries, []*Fault{{Where: f.at(root.Line), What: "is no list of settings", Fix: "Write one setting a line, as in domain: example.com, with a space behind the colon"}}
	}
	var faults []*Fault
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		name := cutName(key.Value)
		refuse := func(what, fix string) {
			faults = append(faults, &Fault{Setting: name, Where: f.at(key.Line), What: what, Fix: fix})
		}
		if f.site && !slices.Contains(known, key.Value) && slices.ContainsFunc(table(), func(r row) bool { return r.name == key.Value }) {
			refuse("is a setting of the process, not of one site", "Write it where the other settings of the process are")
			continue
		}
		if !slices.Contains(known, key.Value) {
			refuse("is no setting", didYouMean(name, known))
			continue
		}
		if first, twice := entries[name]; twice {
			refuse(fmt.Sprintf("was already set in line %d", first.line), "Remove one of the two")
			continue
		}
		if slices.Contains(f.nested, name) {
			entries[name] = entry{value{"", fromFile, f.at(key.Line)}, true, key.Line, node}
			continue
		}
		text, list, ok := scalars(node)
		if !ok {
			refuse("is neither a value nor a list of values", "Write one value behind the colon, in quotes if it holds any of : { } [ ] * & ! #")
			continue
		}
		entries[name] = entry{value{text, fromFile, f.at(key.Line)}, list, key.Line, nil}
	}
	return entries, faults
}

// scalars returns the text of a scalar, or of a list of scalars.
func scalars(node *yaml.Node) (text string, list, ok bool) {
	if node.Kind == yaml.ScalarNode {
		if node.Tag == "!!null" {
			return "", false, true
		}
		return node.Value, false, strings.HasPrefix(node.Tag, "!!")
	}
	if node.Kind != yaml.SequenceNode {
		return "", false, false
	}
	var items []string
	for _, item := range node.Content {
		if item.Kind != yaml.ScalarNode {
			return "", true, false
		}
		items = append(items, item.Value)
	}
	return strings.Join(items, ","), true, true
}

var lineNumber = pattern.New(`line (\d+)`)

// syntaxFault says where a file is no YAML. The parser's own words are not
// shown: they may quote the line, and with it a secret.
func syntaxFault(path string, err error) *Fault {
	where := path
	if m := lineNumber.FindStringSubmatch(err.Error()); m != nil {
		where += ":" + m[1]
	}
	return &Fault{
		Where: where, What: "is not valid YAML near this line",
		Fix: "Write one setting a line, without indentation, a space behind the colon, and quotes around a value that holds any of : { } [ ] * & ! # % @",
	}
}

// cutName returns the part of a name that may be shown: up to the first
// character that no name has, since behind it may stand a secret
// ("client_secret=...").
func cutName(name string) string {
	end := strings.IndexFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	})
	if end < 0 {
		end = len(name)
	}
	return name[:min(end, 40)]
}
