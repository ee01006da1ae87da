// Package pattern has regular expressions that are compiled when they are first
// asked. Most of a program's are about what seldom happens, and to compile them all
// costs every start of every command.
package pattern

import (
	"regexp"
	"sync"
)

// A Pattern is a regular expression. Its text stands in the program: one that is
// wrong panics when it is first used, so a test uses each.
type Pattern struct {
	text string
	expr func() *regexp.Regexp
}

// New returns the pattern of an expression in the syntax of package regexp.
func New(expr string) *Pattern {
	return &Pattern{text: expr, expr: sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })}
}

// String returns the text of the expression.
func (p *Pattern) String() string { return p.text }

// MatchString is regexp.Regexp.MatchString.
func (p *Pattern) MatchString(s string) bool { return p.expr().MatchString(s) }

// FindStringSubmatch is regexp.Regexp.FindStringSubmatch.
func (p *Pattern) FindStringSubmatch(s string) []string { return p.expr().FindStringSubmatch(s) }

// FindString is regexp.Regexp.FindString.
func (p *Pattern) FindString(s string) string { return p.expr().FindString(s) }

// FindAllStringIndex is regexp.Regexp.FindAllStringIndex.
func (p *Pattern) FindAllStringIndex(s string, n int) [][]int {
	return p.expr().FindAllStringIndex(s, n)
}
