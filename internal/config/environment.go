package config

import (
	"strings"

	"wellkey/internal/pattern"
)

// serviceLink matches the variables that Kubernetes sets in every pod for a
// Service named wellkey or wellkey-something, unless enableServiceLinks is off.
//
// Source: https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
var serviceLink = pattern.New(`^WELLKEY_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// readEnvironment returns the settings among environ by name. A variable that
// begins with WELLKEY_ but is none is a fault.
func (d *draft) readEnvironment(environ []string) map[string]string {
	known := map[string]string{}
	var names []string
	for _, r := range table() {
		if r.fileOnly {
			continue
		}
		known[envName(r.name)] = r.name
		names = append(names, envName(r.name))
	}
	kubernetes := lookup(environ, "KUBERNETES_SERVICE_HOST") != ""
	given := map[string]string{}
	for _, entry := range environ {
		variable, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, envPrefix) {
			continue
		}
		if name, ok := known[variable]; ok {
			given[name] = text
		} else if !kubernetes || !serviceLink.MatchString(variable) {
			d.faults = append(d.faults, &Fault{Setting: cutName(variable), What: "is no setting", Fix: didYouMean(cutName(variable), names)})
		}
	}
	return given
}

// lookup returns the value of variable; as in a process, the last one counts.
func lookup(environ []string, variable string) string {
	found := ""
	for _, entry := range environ {
		if name, text, _ := strings.Cut(entry, "="); name == variable {
			found = text
		}
	}
	return found
}
