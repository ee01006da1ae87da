package dns01

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"strings"

	"wellkey/internal/durable"
	"wellkey/internal/pattern"
	"wellkey/internal/smallfile"
)

// An account at an acme-dns server, as POST /register answers it. It holds a
// password, so none is ever printed.
type account struct {
	FullDomain string   `json:"fulldomain"`
	Subdomain  string   `json:"subdomain"`
	Username   string   `json:"username"`
	Password   string   `json:"password"`
	ServerURL  string   `json:"server_url,omitempty"`
	AllowFrom  []string `json:"allowfrom,omitempty"`
}

// accounts are the entries of an account file, by domain, as other ACME clients
// have them: an object a domain, with the fields of account. What is not for us
// stays as it is.
type accounts map[string]json.RawMessage

// maxAccounts is room for tens of thousands.
const maxAccounts = 16 << 20

// readAccounts reads the file; one that is not there holds none.
func readAccounts(path string) (accounts, error) {
	data, err := smallfile.Read(path, maxAccounts)
	if errors.Is(err, fs.ErrNotExist) {
		return accounts{}, nil
	}
	if err != nil {
		return nil, wrap(KindProvider, err, "reading dns_acmedns_account_file")
	}
	all := accounts{}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fail(KindProvider, `%q of dns_acmedns_account_file is no JSON of the form {"example.com": {"fulldomain": "...", "subdomain": "...", "username": "...", "password": "..."}}`, path)
	}
	if all == nil { // the file says null
		return accounts{}, nil
	}
	return all, nil
}

// of returns the account of a domain. An entry that cannot be read is an account
// in which everything is missing.
func (all accounts) of(domain string) (account, bool) {
	data, ok := all[domain]
	var a account
	_ = json.Unmarshal(data, &a) // said by check
	return a, ok
}

// add puts the account of a domain into a copy, in memory.
func (all *accounts) add(domain string, a account) error {
	data, err := json.Marshal(a) // #nosec G117 -- for the file that holds the accounts, which nobody else can read
	if err != nil {
		return wrap(KindProvider, err, "encoding the acme-dns account")
	}
	more := maps.Clone(*all)
	more[domain] = data
	*all = more
	return nil
}

// write stores the accounts, for the owner alone.
func (all accounts) write(path string) error {
	data, err := json.MarshalIndent(all, "", "  ")
	if err == nil {
		err = errors.Join(durable.MkdirAll(filepath.Dir(path), 0o700), durable.WriteFile(path, append(data, '\n'), 0o600))
	}
	if err != nil {
		return wrap(KindProvider, err, "writing dns_acmedns_account_file, which must be in a directory that wellkey can write")
	}
	return nil
}

// missing names the fields without which an account is of no use.
func (a account) missing() string {
	var names []string
	for _, field := range []struct{ name, value string }{
		{"fulldomain", a.FullDomain}, {"subdomain", a.Subdomain}, {"username", a.Username}, {"password", a.Password},
	} {
		if field.value == "" {
			names = append(names, field.name)
		}
	}
	return strings.Join(names, ", ")
}

// hostName has the names of hosts, with a dot at the end or without, and of records beside them.
var hostName = pattern.New(`^([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?$`)

// named reports whether a CNAME can lead to the record of the account.
func (a account) named() bool {
	return len(strings.TrimSuffix(a.FullDomain, ".")) <= 253 && hostName.MatchString(a.FullDomain)
}

// check returns an error where the account cannot be used, or belongs to another
// server than the one that is set.
func (a account) check(path, domain, server string) error {
	if missing := a.missing(); missing != "" {
		return fail(KindProvider, "the acme-dns account of %s in %q lacks %s: copy it again, whole", domain, path, missing)
	}
	if !a.named() {
		return fail(KindProvider, "the fulldomain of the acme-dns account of %s in %q is no name of a host: copy the account again, whole", domain, path)
	}
	if a.server(server) == "" {
		return fail(KindProvider, "the acme-dns account of %s in %q does not say its server_url: add it, or set dns_acmedns_url", domain, path)
	}
	if a.ServerURL != "" && server != "" && a.server("") != strings.TrimSuffix(server, "/") {
		return fail(KindProvider, "the acme-dns account of %s in %q is one of %s, and dns_acmedns_url is %s: make them agree", domain, path, quote(a.ServerURL), server)
	}
	return nil
}

// server returns the URL of the API without a slash at its end.
func (a account) server(standard string) string {
	if a.ServerURL != "" {
		standard = a.ServerURL
	}
	return strings.TrimSuffix(standard, "/")
}
