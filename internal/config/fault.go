package config

import (
	"errors"
	"strings"

	"wellkey/internal/phrase"
)

// A Fault is one thing that is wrong with the settings. No text of it holds a
// secret, and every text from outside is quoted and cut.
type Fault struct {
	Setting string // in the spelling the user used: --domain, WELLKEY_DOMAIN or domain
	Where   string // path:line of the file, or "" for flags, environment and what is missing
	What    string // what is wrong; begins in lower case
	Fix     string // what to do; a sentence without its full stop
}

// Error gives the fault on one line.
func (f *Fault) Error() string {
	text := f.What + ". " + f.Fix
	if f.Setting != "" {
		text = f.Setting + ": " + text
	}
	if f.Where != "" {
		text = f.Where + ": " + text
	}
	return text
}

// join returns the faults as one error, a line each, or nil if there are none.
func join(faults []*Fault) error {
	var errs []error
	for _, fault := range faults {
		errs = append(errs, fault)
	}
	return errors.Join(errs...)
}

// spell returns the name of a setting in the spelling of source. What was not
// given has the spelling of the file, the shortest.
func spell(name string, from source) string {
	switch from {
	case fromFlag:
		return "--" + flagName(name)
	case fromEnvironment:
		return envName(name)
	}
	return name
}

const envPrefix = "WELLKEY_"

func flagName(name string) string { return strings.ReplaceAll(name, "_", "-") }
func envName(name string) string  { return envPrefix + strings.ToUpper(name) }

// quote returns s as it may be shown: cut and with control characters escaped.
func quote(s string) string { return phrase.Quote(s, 100) }

// Nearest returns the one of names that is most like name, or "" if none is like
// it enough to be meant.
func Nearest(name string, names []string) string {
	best, least := "", len(name)/3+2
	for _, n := range names {
		if d := distance(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements of single bytes
// that make a into b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// didYouMean returns the advice for an unknown name.
func didYouMean(name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return "Did you mean " + near + "?"
	}
	return "Remove it; wellkey serve --help lists all settings"
}
