// Package tree makes a tree out of the flat names of items: what lies below
// "a/b" makes "a" and "a/b" directories, as on a disk.
package tree

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Trim returns key without slashes at its ends and repeated ones, as
// certmagic.FileStorage understands it; "" is the root.
func Trim(key string) string { return strings.TrimPrefix(path.Clean("/"+key), "/") }

// Clean is Trim for a key that nobody has looked at: one with a part ".." or a NUL
// is fs.ErrInvalid.
func Clean(key string) (string, error) {
	if slices.Contains(strings.Split(key, "/"), "..") || strings.ContainsRune(key, 0) {
		return "", fmt.Errorf("storage key %q is not one: %w", key, fs.ErrInvalid)
	}
	return Trim(key), nil
}

// Item is Clean for a key that may not be the root.
func Item(key string) (string, error) {
	cleaned, err := Clean(key)
	if err == nil && cleaned == "" {
		err = fmt.Errorf("storage key %q is empty: %w", key, fs.ErrInvalid)
	}
	return cleaned, err
}

// Range returns from where up to where, without the end, the names below key lie
// in the order of their bytes; key is clean. Below the root lies everything: both
// are "".
func Range(key string) (from, to string) {
	if key == "" {
		return "", ""
	}
	return key + "/", key + "0" // '0' comes after '/'
}

// Entries returns what lies below key: the next level only, or all, with the
// directories. Items are the sorted names below key, as of Range.
func Entries(key string, items []string, recursive bool) []string {
	from, _ := Range(key)
	var entries []string
	seen := map[string]bool{}
	for _, item := range items {
		rest := strings.TrimPrefix(item, from)
		for end, r := range rest + "/" {
			if r != '/' {
				continue
			}
			if entry := from + rest[:end]; !seen[entry] {
				seen[entry] = true
				entries = append(entries, entry)
			}
			if !recursive {
				break
			}
		}
	}
	return entries
}
