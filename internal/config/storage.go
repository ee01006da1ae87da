package config

import (
	"crypto/x509"
	"net/url"
	"strings"

	"wellkey/internal/phrase"
	"wellkey/internal/secret"
	"wellkey/internal/storage/scheme"
)

// Storage says where state is kept.
type Storage struct {
	URL       string         // of a shared store, without a password; "" is the data directory
	Password  secret.Text    // of the user in URL
	RootsFile string         // where Roots came from, or ""
	Roots     *x509.CertPool // vouch for the store; nil is the system's
	Keys      secret.Text    // what storage_key_file holds; zero seals nothing
}

func storageRows() []row {
	return []row{
		{name: "storage", kind: kindURL, derived: "data_dir", example: "rediss://wellkey@redis.example.com:6379/0", set: setStorage,
			help: "store that several replicas share: redis://, rediss:// or postgres://; see docs/replicas.md"},
		{name: "storage_file", kind: kindPath, example: "/run/secrets/storage",
			help: "file that holds the whole URL of storage, with the password"},
		{name: "storage_password", kind: kindText, secret: true, example: "correct-horse", set: setStoragePassword,
			help: "password of the user in storage"},
		{name: "storage_password_file", kind: kindPath, example: "/run/secrets/storage_password",
			help: "file that holds it"},
		{name: "storage_roots", kind: kindPath, derived: "the system's", example: "/certs/ca.pem", set: roots(func(s *Settings) (*string, pool) { return &s.Storage.RootsFile, &s.Storage.Roots }),
			help: "root certificates in PEM that vouch for the shared store"},
		{name: "storage_key_file", kind: kindPath, derived: "nothing is sealed", example: "/run/secrets/storage_key",
			help: "file with 32 random bytes in base64, which seal the private keys of certificates and accounts in the storage"},
	}
}

// setStorage takes the URL apart, so that its password is a secret from here on.
// No fault shows the text, which may hold one.
func setStorage(s *Settings, text string) (what, fix string) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "is no URL", "Write it as redis://user@host:6379/0; what is special in a user or password is percent-encoded"
	case scheme.Of(u.Scheme) == scheme.None:
		return "has a scheme that is none of " + phrase.List(scheme.All()), "Write rediss://user@host:6379/0 or postgres://user@host:5432/database; for a directory, set data_dir"
	case u.Host == "":
		return "names no host", "Write it as " + u.Scheme + "://user@host:port/database"
	case u.Query().Has("password"):
		return "has a password in its query", "Take it out, and set storage_password_file"
	}
	if password, given := u.User.Password(); given {
		s.Storage.Password = secret.New(password)
		u.User = url.User(u.User.Username())
		if u.User.Username() == "" {
			u.User = nil
		}
	}
	s.Storage.URL = u.String()
	return "", ""
}

func setStoragePassword(s *Settings, text string) (what, fix string) {
	if strings.ContainsAny(text, "\r\n\x00") {
		return "has a line break or a NUL in it", "Write one line"
	}
	s.Storage.Password = secret.New(text)
	return "", ""
}

// finishStorage reads the files that hold what must not be on a command line.
func (d *draft) finishStorage() {
	s := &d.settings.Storage
	d.exclusive("storage", "storage_file")
	d.exclusive("storage_password", "storage_password_file")
	inURL := d.given("storage") && d.passwordInURL("storage")
	if inURL && d.values["storage"].from == fromFlag {
		d.fault("storage", "has a password in it, and what is on the command line can be read by every user of the machine (ps, /proc)",
			"Take it out of the URL, and set storage_password_file; or write the whole URL into a file and give --storage-file")
	}
	if d.given("storage_file") && d.sound("storage_file") {
		if text, ok := d.secretLine("storage_file", "the URL"); ok {
			if what, fix := setStorage(&d.settings, text); what != "" {
				d.fault("storage_file", "the value in "+quote(d.values["storage_file"].text)+" "+what, fix)
			}
			inURL = !s.Password.IsZero()
		}
	}
	for _, name := range []string{"storage_password", "storage_password_file"} {
		if d.given(name) && inURL {
			d.fault(name, "is set, and the URL has a password, too", "Remove one of the two")
		}
		if d.given(name) && !d.given("storage") && !d.given("storage_file") {
			d.warn(name, "has no effect, since storage is not set")
		}
	}
	if d.given("storage_password_file") && d.sound("storage_password_file") {
		if text, ok := d.secretLine("storage_password_file", "the password"); ok {
			if what, fix := setStoragePassword(&d.settings, text); what != "" {
				d.fault("storage_password_file", "the value in "+quote(d.values["storage_password_file"].text)+" "+what, fix)
			}
		}
	}
	d.readStorageKeys()
}

// wantSharedKey refuses a site without a key of its own where replicas share the
// storage.
func (d *draft) wantSharedKey() {
	if d.settings.Storage.URL != "" && !d.given("key_file") && d.sound("key_file", "storage") && d.placed() {
		d.fault("key_file", "is not set, and storage is one which replicas share: each would make a key of its own, and cars trust one only",
			"Make one key (wellkey keygen), give the same file to every replica, and set key_file to its path")
	}
}

func (d *draft) passwordInURL(name string) bool {
	u, err := url.Parse(d.values[name].text)
	if err != nil {
		return false
	}
	_, given := u.User.Password()
	return given
}

// secretLine reads a file that holds one line.
func (d *draft) secretLine(name, what string) (text string, ok bool) {
	path := d.values[name].text
	data, mode, err := d.settings.readOnce(path)
	if err != nil {
		what, fix := explainFile(path, err)
		d.fault(name, what, fix)
		return "", false
	}
	text = oneLine(data)
	if text == "" {
		d.fault(name, quote(path)+" is empty", "Write "+what+" into it")
		return "", false
	}
	if readableByAll(path, mode) {
		d.warn(name, "every user of the machine can read "+quote(path)+": chmod 600 it")
	}
	return text, true
}

func (d *draft) readStorageKeys() {
	const name = "storage_key_file"
	if !d.given(name) || !d.sound(name) {
		return
	}
	path := d.values[name].text
	data, mode, err := d.settings.readOnce(path)
	if err != nil {
		what, fix := explainFile(path, err)
		d.fault(name, what, fix)
		return
	}
	if strings.TrimSpace(string(data)) == "" {
		d.fault(name, quote(path)+" is empty", "Make a key: openssl rand -base64 32")
		return
	}
	if readableByAll(path, mode) {
		d.warn(name, "every user of the machine can read "+quote(path)+": chmod 600 it")
	}
	d.settings.Storage.Keys = secret.New(string(data))
}
