package cli_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"wellkey/internal/testworld"
)

// A canary collects what wellkey shows, to search it for what must never be
// shown: the client secret, tokens, and private keys.
type canary struct {
	mu    sync.Mutex
	logs  []*testworld.Log
	shown map[string][]byte // by where
	more  []spelling
}

// forbid adds something that must never be shown.
func (c *canary) forbid(what, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.more = append(c.more, spelling{what, text})
}

func (c *canary) watch(log *testworld.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.logs = append(c.logs, log)
}

func (c *canary) saw(where string, text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shown == nil {
		c.shown = map[string][]byte{}
	}
	c.shown[where] = append(c.shown[where], text...)
}

// look lets the canary see what the admin listener shows now, if it answers.
func (w *world) look() {
	for _, path := range []string{"/metrics", "/status"} {
		if visit, err := w.Admin(w.ctx, path); err == nil {
			w.canary.saw("GET "+path, visit.Body)
		}
	}
}

// checkCanary searches all that was shown, and the state on the disk, where only
// private keys may be.
func (w *world) checkCanary() {
	w.t.Helper()
	w.canary.mu.Lock()
	defer w.canary.mu.Unlock()
	forbidden := append(spellings("the client secret", testworld.ClientSecret), w.canary.more...)
	for _, token := range w.Tesla.Tokens() {
		// The signature alone is enough to recognise a token, the whole is it.
		forbidden = append(forbidden, spelling{"a token", token}, spelling{"a token's signature", token[strings.LastIndex(token, ".")+1:]})
	}
	files := w.files()
	for path, text := range files {
		find(w, "the file "+path, text, forbidden)
		forbidden = append(forbidden, privateKeys(path, text)...)
	}
	for where, text := range w.canary.shown {
		find(w, where, text, forbidden)
	}
	for _, log := range w.canary.logs {
		find(w, "the log", []byte(log.String()), forbidden)
	}
}

func find(w *world, where string, text []byte, forbidden []spelling) {
	w.t.Helper()
	for _, f := range forbidden {
		if bytes.Contains(text, []byte(f.text)) {
			w.t.Errorf("%s holds %s", where, f.what)
		}
	}
}

// A spelling is one way to write a secret.
type spelling struct{ what, text string }

// spellings returns the ways in which a secret can turn up.
func spellings(what, secret string) []spelling {
	quoted, _ := json.Marshal(secret) // a string always marshals
	middle := secret[len(secret)/4 : len(secret)*3/4]
	return []spelling{
		{what, secret},
		{"half of " + what, middle},
		{what + " as form", url.QueryEscape(secret)},
		{what + " as path", url.PathEscape(secret)},
		{what + " as JSON", strings.Trim(string(quoted), `"`)},
		{what + " in hexadecimal", hex.EncodeToString([]byte(secret))},
		{what + " in base64", base64.RawStdEncoding.EncodeToString([]byte(secret))[:len(secret)]},
	}
}

// files returns wellkey's state on the disk.
func (w *world) files() map[string][]byte {
	files := map[string][]byte{}
	err := filepath.WalkDir(w.DataDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files[path], err = os.ReadFile(path)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		w.t.Errorf("reading the state: %v", err)
	}
	return files
}

// privateKeys returns the lines of a private key in PEM.
func privateKeys(path string, text []byte) []spelling {
	if !bytes.Contains(text, []byte("PRIVATE KEY-----")) {
		return nil
	}
	var found []spelling
	for _, line := range strings.Fields(string(text)) {
		if len(line) == 64 {
			found = append(found, spelling{"the private key of " + path, line})
		}
	}
	return found
}
