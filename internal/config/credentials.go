package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"wellkey/internal/secret"
)

// finishApplication checks the ways in which credentials can be given, and that
// the files which are there already hold some.
func (d *draft) finishApplication(environ []string) {
	d.exclusive("client_id", "client_id_file")
	d.exclusive("client_secret", "client_secret_file")
	id := d.given("client_id") || d.given("client_id_file")
	key := d.given("client_secret") || d.given("client_secret_file")
	a := &d.settings.Application
	a.Options = strings.HasSuffix(d.settings.File, "/data/options.json") && // see deploy/homeassistant
		!d.given("client_id_file") && !d.given("client_secret_file") && !d.given("credentials_file")
	a.spelled = map[string]string{}
	for _, name := range []string{"client_id", "client_id_file", "client_secret", "client_secret_file", "credentials_file"} {
		a.spelled[name] = spell(name, d.values[name].from)
		if name != "credentials_file" && d.given("credentials_file") {
			d.exclusive(name, "credentials_file")
		}
	}
	if !d.given("credentials_file") && d.sound("client_id", "client_secret") {
		switch {
		case id && !key:
			d.fault(d.either("client_id"), "is set without a client secret", "Set client_secret_file too, or neither, to add both later in a credentials_file")
		case key && !id:
			d.fault(d.either("client_secret"), "is set without a client id", "Set client_id too, or neither, to add both later in a credentials_file")
		}
	}
	if !d.sound("client_id", "client_id_file", "client_secret", "client_secret_file", "credentials_file") {
		return
	}
	if !id && !key && !d.given("credentials_file") && d.settings.Dir != "" && d.sound("data_dir") {
		a.CredentialsFile = filepath.Join(d.settings.Dir, credentialsName)
		if passed := passedOn(environ); passed != "" && d.settings.Dir == d.settings.DataDir {
			a.CredentialsFile, a.PassedOn = passed, true
		}
	}
	_, _, warnings, faults := a.load()
	d.settings.Warnings = append(d.settings.Warnings, warnings...)
	if !d.live {
		d.faults = append(d.faults, faults...)
	}
}

// credentialsName is what the file is called where no setting names it.
const credentialsName = "credentials.yaml"

// passedOn returns the credentials file that systemd passes on (LoadCredential), ""
// if it does not. It is there from the start or never.
//
// Source: https://systemd.io/CREDENTIALS
func passedOn(environ []string) string {
	dir := lookup(environ, "CREDENTIALS_DIRECTORY")
	if !filepath.IsAbs(dir) {
		return ""
	}
	path := filepath.Join(dir, credentialsName)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return path
}

// either returns name, or name_file if that one was given.
func (d *draft) either(name string) string {
	if d.given(name + "_file") {
		return name + "_file"
	}
	return name
}

// Files returns the files from which LoadCredentials reads: those to watch. They
// need not exist.
func (a Application) Files() []string {
	var files []string
	for _, file := range []string{a.ClientIDFile, a.ClientSecretFile, a.CredentialsFile} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

// LoadCredentials returns the client id and secret, read now. Where one is not
// there yet (no setting, no file, or an empty file) both are zero, without an
// error. An error holds a *Fault for everything that is wrong; whoever has
// credentials already should keep them.
func LoadCredentials(s *Settings) (clientID string, clientSecret secret.Text, err error) {
	return s.Application.Load()
}

// Load is LoadCredentials for one application.
func (a Application) Load() (clientID string, clientSecret secret.Text, err error) {
	clientID, clientSecret, _, faults := a.load()
	if len(faults) > 0 || clientID == "" || clientSecret.IsZero() {
		return "", secret.Text{}, join(faults)
	}
	return clientID, clientSecret, nil
}

func (a Application) load() (id string, key secret.Text, warnings []string, faults []*Fault) {
	if a.CredentialsFile != "" {
		return a.loadBoth()
	}
	id, key = a.ClientID, a.ClientSecret
	read := func(name, path string, check func(string) (what, fix string)) string {
		if path == "" {
			return ""
		}
		data, mode, err := readFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return ""
		}
		if err != nil {
			what, fix := explainFile(path, err)
			faults = append(faults, &Fault{Setting: a.spelled[name], What: what, Fix: fix})
			return ""
		}
		text := oneLine(data)
		if what, fix := check(text); what != "" {
			faults = append(faults, &Fault{Setting: a.spelled[name], What: "the value in " + quote(path) + " " + what, Fix: fix})
			return ""
		}
		if name == "client_secret_file" && readableByAll(path, mode) {
			warnings = append(warnings, a.spelled[name]+": every user of the machine can read "+quote(path)+": chmod 600 it")
		}
		return text
	}
	if a.ClientIDFile != "" {
		id = read("client_id_file", a.ClientIDFile, checkClientID)
	}
	if a.ClientSecretFile != "" {
		key = secret.New(read("client_secret_file", a.ClientSecretFile, checkToken))
	}
	return id, key, warnings, faults
}

// loadBoth reads the credentials file. One that lacks a line may still be in the
// writing, but it is reported: nothing else would tell.
func (a Application) loadBoth() (id string, key secret.Text, warnings []string, faults []*Fault) {
	path := a.CredentialsFile
	data, mode, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", secret.Text{}, nil, nil
	}
	if err != nil {
		what, fix := explainFile(path, err)
		return "", secret.Text{}, nil, []*Fault{{Setting: a.spelled["credentials_file"], What: what, Fix: fix}}
	}
	entries, faults := parseYAML(path, data, []string{"client_id", "client_secret"})
	if len(entries) == 0 && len(faults) == 0 {
		return "", secret.Text{}, nil, nil
	}
	for _, name := range []string{"client_id", "client_secret"} {
		check, e := checkToken, entries[name]
		if name == "client_id" {
			check = checkClientID
		}
		what, fix := check(e.text)
		switch {
		case e.list:
			what, fix = "is a list, but must be one value", "Write one value behind the colon"
		case e.text == "":
			what, fix = "is missing", "Write the two lines client_id: ... and client_secret: ..."
		}
		if what == "" || len(faults) > 0 && e.text == "" { // what it was meant to be is reported already
			continue
		}
		where := e.where
		if where == "" {
			where = path
		}
		faults = append(faults, &Fault{Setting: name, Where: where, What: what, Fix: fix})
	}
	if len(faults) > 0 {
		return "", secret.Text{}, nil, faults
	}
	if readableByAll(path, mode) {
		warnings = append(warnings, a.spelled["credentials_file"]+": every user of the machine can read "+quote(path)+": chmod 600 it")
	}
	return entries["client_id"].text, secret.New(entries["client_secret"].text), warnings, nil
}
