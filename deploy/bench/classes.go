package main

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The classes of cost that the samples of a profile are sorted into.
const (
	costSign     = "ECDSA signature"
	costExchange = "key exchange"
	costCrypto   = "ciphers, hashes, key schedule"
	costTLS      = "`crypto/tls` itself"
	costCalls    = "system calls"
	costHTTP     = "`net/http`, `net`"
	costMemory   = "allocation, garbage collector"
	costRuntime  = "goroutines: scheduling, stacks"
	costOurs     = "wellkey's own code"
	costOthers   = "other libraries"
)

// classes are in the order of the report.
var classes = []string{costSign, costExchange, costCrypto, costTLS, costCalls, costHTTP, costMemory, costRuntime, costOurs, costOthers}

// A trace is one stack of a profile, the innermost function first.
type trace struct {
	samples int
	stack   []string
}

var traceHead = regexp.MustCompile(`^\s*(\d+)\s+(\S.*)$`)

// typed is what a generic function was made for.
var typed = regexp.MustCompile(`\[.*\]`)

// tracesOf reads what "pprof -traces" says: stacks between lines, the number of
// samples before the innermost function.
func tracesOf(text []byte) ([]trace, error) {
	var all []trace
	head := true // the next line with words begins a stack
	for line := range bytes.Lines(text) {
		words := typed.ReplaceAllString(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(line)), "(inline)")), "")
		switch {
		case strings.HasPrefix(words, "-----------+"):
			all, head = append(all, trace{}), true
		case len(all) == 0 || words == "": // what stands before the first
		case head:
			parts := traceHead.FindStringSubmatch(words)
			if parts == nil {
				return nil, fmt.Errorf("a stack of the profile begins with %q", words)
			}
			n, err := strconv.Atoi(parts[1])
			if err != nil {
				return nil, err
			}
			all[len(all)-1], head = trace{n, []string{parts[2]}}, false
		default:
			all[len(all)-1].stack = append(all[len(all)-1].stack, words)
		}
	}
	all = slices.DeleteFunc(all, func(t trace) bool { return t.samples == 0 })
	if len(all) == 0 {
		return nil, errors.New("the profile has no samples")
	}
	return all, nil
}

// generated is what the compiler puts before the names of types that it compares.
var generated = regexp.MustCompile(`^type:\.(hash|eq)\.(vendor/)?`)

// packageOf returns the package of a function, as a profile names it.
func packageOf(function string) string {
	function = generated.ReplaceAllString(function, "")
	if i := strings.IndexByte(function, '('); i >= 0 { // a receiver
		function = function[:i]
	}
	at := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[at:], ".")
	return function[:at] + name
}

func isOf(pkg string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") })
}

// memoryWork are the functions below which all is allocation or collection.
var memoryWork = []string{"runtime.mallocgc", "runtime.gcBgMarkWorker", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart", "runtime.gcAssistAlloc", "runtime.wbBufFlush", "runtime.gcWriteBarrier", "runtime.freegc"}

// class returns the class of a stack, and the function that made it so. What is done
// for everybody, such as copying and looking into maps, belongs to the innermost
// function that is of a class.
func (t trace) class() (class, function string) {
	for _, f := range t.stack {
		if slices.Contains(memoryWork, f) {
			return costMemory, t.stack[0]
		}
	}
	own := slices.IndexFunc(t.stack, func(f string) bool { return !isOf(packageOf(f), "runtime", "internal/runtime") })
	if own < 0 || slices.Contains(t.stack[:own], "runtime.morestack") || slices.Contains(t.stack[:own], "runtime.newproc") {
		return costRuntime, t.stack[0]
	}
	if strings.HasPrefix(t.stack[0], "internal/runtime/syscall") || isOf(packageOf(t.stack[0]), "syscall", "golang.org/x/sys/unix") {
		return costCalls, callOf(t.stack[own:])
	}
	if strings.HasPrefix(t.stack[0], "runtime.futex") {
		return costRuntime, t.stack[own]
	}
	for i, f := range t.stack {
		switch pkg := packageOf(f); {
		case isOf(pkg, "crypto/tls", "crypto/x509"):
			return costTLS, f
		case isOf(pkg, "crypto"):
			return cryptoClass(t.stack[i:]), f
		case isOf(pkg, "net", "internal/poll", "bufio", "golang.org/x/net", "vendor/golang.org/x/net"): // net/http is in net
			return costHTTP, f
		case isOf(pkg, "wellkey"):
			return costOurs, f
		case strings.Contains(strings.SplitN(pkg, "/", 2)[0], "."):
			return costOthers, f
		}
	}
	return costRuntime, t.stack[0]
}

// callOf returns which system call a stack makes: the function that is named for it,
// below those that are the same for all.
func callOf(stack []string) string {
	for _, f := range stack {
		if name, ok := strings.CutPrefix(f, "syscall."); ok && !strings.Contains(name, "yscall") {
			return f
		}
	}
	return stack[0]
}

// cryptoClass tells the two large parts of a handshake from the rest, from a stack
// whose innermost function is cryptography.
func cryptoClass(stack []string) string {
	for _, f := range stack {
		switch pkg := packageOf(f); {
		case isOf(pkg, "crypto/tls"):
			return costCrypto
		case isOf(pkg, "crypto/ecdsa", "crypto/internal/fips140/ecdsa"):
			return costSign
		case isOf(pkg, "crypto/ecdh", "crypto/internal/fips140/ecdh", "crypto/mlkem", "crypto/internal/fips140/mlkem"):
			return costExchange
		}
	}
	return costCrypto
}
