package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wellkey/internal/config"
)

// faultRows has every way to be at fault, and its text. domain is set where a
// row does not set it.
var faultRows = []struct {
	name string
	in   inputs
	want []string
}{
	{"no domain", inputs{}, []string{
		`domain: is not set, and everything depends on it. Give --domain example.com, set WELLKEY_DOMAIN, or write domain: example.com into the file`,
	}},
	{"limits that are none", inputs{args: []string{"--domain=example.com", "--max-connections=0"}, env: []string{"WELLKEY_MAX_CLIENT_RATE=fast"}, yaml: "max_client_connections: 1000001\n"}, []string{
		`--max-connections: "0" is no such number. Write a number from 1 to 1000000`,
		`$DIR/wellkey.yaml:1: max_client_connections: "1000001" is no such number. Write a number from 1 to 1000000`,
		`WELLKEY_MAX_CLIENT_RATE: "fast" is no such number. Write a number from 1 to 1000000`,
	}},
	{"several at once", inputs{args: []string{"--https-addr=443"}, env: []string{"WELLKEY_LOG_LEVEL=verbose"}, yaml: "domain: https://Example.com/\nprobe_port: 0\n"}, []string{
		`$DIR/wellkey.yaml:1: domain: "https://Example.com/" has a scheme, a slash at the end and upper-case letters. Write example.com`,
		`--https-addr: "443" is a port alone. Write :443`,
		`WELLKEY_LOG_LEVEL: "verbose" is not known here. Choose among debug, info, warn and error`,
		`$DIR/wellkey.yaml:2: probe_port: "0" is no port. Write a number from 1 to 65535`,
	}},
	{"unknown flag", inputs{args: []string{"--htps-addr=:443"}}, []string{
		`--htps-addr: is no flag of this command. Did you mean --https-addr?`,
	}},
	{"unknown flag, like nothing", inputs{args: []string{"--zzzzzzzzzzzzzzzz"}}, []string{
		`--zzzzzzzzzzzzzzzz: is no flag of this command. Remove it; wellkey serve --help lists all settings`,
	}},
	{"unknown short flag", inputs{args: []string{"-x"}}, []string{
		`-x: is no flag of this command. Remove it; wellkey serve --help lists all settings`,
	}},
	{"flag without value", inputs{args: []string{"--domain"}}, []string{
		`--domain: needs a value. Write it behind the flag, as in --domain=VALUE`,
	}},
	{"secret as a flag", inputs{args: []string{"--client-secret=x"}}, []string{
		`--client-secret: a secret on the command line can be read by every user of the machine (ps, /proc). Write it into a file and give --client-secret-file, or set WELLKEY_CLIENT_SECRET`,
	}},
	{"hmac key as a flag", inputs{args: []string{"--acme-eab-hmac-key", "x"}}, []string{
		`--acme-eab-hmac-key: a secret on the command line can be read by every user of the machine (ps, /proc). Write it into a file and give --acme-eab-hmac-key-file, or set WELLKEY_ACME_EAB_HMAC_KEY`,
	}},
	{"storage with a password as a flag", inputs{args: []string{"--storage=redis://u:x@host", "--key-file=/k"}}, []string{
		`--storage: has a password in it, and what is on the command line can be read by every user of the machine (ps, /proc). Take it out of the URL, and set storage_password_file; or write the whole URL into a file and give --storage-file`,
	}},
	{"storage without a key", inputs{env: []string{"WELLKEY_STORAGE=redis://host"}}, []string{
		`key_file: is not set, and storage is one which replicas share: each would make a key of its own, and cars trust one only. Make one key (wellkey keygen), give the same file to every replica, and set key_file to its path`,
	}},
	{"storage of another kind", inputs{env: []string{"WELLKEY_STORAGE=mysql://host"}}, []string{
		`WELLKEY_STORAGE: has a scheme that is none of redis, rediss, postgres and postgresql. Write rediss://user@host:6379/0 or postgres://user@host:5432/database; for a directory, set data_dir`,
	}},
	{"storage that is a path", inputs{env: []string{"WELLKEY_STORAGE=/data"}}, []string{
		`WELLKEY_STORAGE: has a scheme that is none of redis, rediss, postgres and postgresql. Write rediss://user@host:6379/0 or postgres://user@host:5432/database; for a directory, set data_dir`,
	}},
	{"storage without a host", inputs{env: []string{"WELLKEY_STORAGE=redis:///0"}}, []string{
		`WELLKEY_STORAGE: names no host. Write it as redis://user@host:port/database`,
	}},
	{"storage that is no URL", inputs{env: []string{"WELLKEY_STORAGE=redis://u:%zz@host"}}, []string{
		`WELLKEY_STORAGE: is no URL. Write it as redis://user@host:6379/0; what is special in a user or password is percent-encoded`,
	}},
	{"storage with a password in its query", inputs{env: []string{"WELLKEY_STORAGE=postgres://host/d?password=x"}}, []string{
		`WELLKEY_STORAGE: has a password in its query. Take it out, and set storage_password_file`,
	}},
	{"storage in two ways", inputs{env: []string{"WELLKEY_STORAGE=redis://u:p@host", "WELLKEY_STORAGE_PASSWORD=x", "WELLKEY_KEY_FILE=/k"}}, []string{
		`WELLKEY_STORAGE_PASSWORD: is set, and the URL has a password, too. Remove one of the two`,
	}},
	{"storage from a file that is wrong", inputs{args: []string{"--storage-file=$DIR/s", "--storage-password-file=$DIR/none", "--storage-key-file=$DIR/empty"}, files: map[string]string{"s": "host:6379", "empty": "\n"}}, []string{
		`--storage-file: the value in "$DIR/s" has a scheme that is none of redis, rediss, postgres and postgresql. Write rediss://user@host:6379/0 or postgres://user@host:5432/database; for a directory, set data_dir`,
		`--storage-password-file: there is no file "$DIR/none". Check the path; in a container it is the path inside`,
		`--storage-key-file: "$DIR/empty" is empty. Make a key: openssl rand -base64 32`,
	}},
	{"unknown variable", inputs{env: []string{"WELLKEY_DOMIAN=x"}}, []string{
		`WELLKEY_DOMIAN: is no setting. Did you mean WELLKEY_DOMAIN?`,
	}},
	{"proxies that are none", inputs{args: []string{"--domain=example.com"}, env: []string{"HTTP_PROXY=http://user:pa%ss@proxy:3128", "HTTPS_PROXY=http://:3128"}}, []string{
		`HTTP_PROXY: is no URL of a proxy. Write http://user:password@host:3128, where what is special in a user or password is percent-encoded (% as %25, / as %2F, @ as %40, # as %23, ? as %3F); or unset it`,
		`HTTPS_PROXY: names no host. Write http://user:password@host:3128, where what is special in a user or password is percent-encoded (% as %25, / as %2F, @ as %40, # as %23, ? as %3F); or unset it`,
	}},
	{"proxies that are none, in small letters", inputs{args: []string{"--domain=example.com"}, env: []string{"http_proxy=ftp://proxy", "https_proxy=http://user:p@ss/word@proxy:3128"}}, []string{
		`http_proxy: has a scheme that is none of http, https, socks5 and socks5h. Write http://user:password@host:3128, where what is special in a user or password is percent-encoded (% as %25, / as %2F, @ as %40, # as %23, ? as %3F); or unset it`,
		`https_proxy: has an @ behind the host, as where a password holds one of /?#. Write http://user:password@host:3128, where what is special in a user or password is percent-encoded (% as %25, / as %2F, @ as %40, # as %23, ? as %3F); or unset it`,
	}},
	{"unknown variable, like nothing", inputs{env: []string{"WELLKEY_QQQQQQQQQQQQQQQQQ=x"}}, []string{
		`WELLKEY_QQQQQQQQQQQQQQQQQ: is no setting. Remove it; wellkey serve --help lists all settings`,
	}},
	{"unknown key", inputs{yaml: "domain: example.com\nhttp-addr: ':80'\n"}, []string{
		`$DIR/wellkey.yaml:2: http-addr: is no setting. Did you mean http_addr?`,
	}},
	{"unknown key, like nothing", inputs{yaml: "domain: example.com\nqqqqqqqqqqqqqqqq: 1\n"}, []string{
		`$DIR/wellkey.yaml:2: qqqqqqqqqqqqqqqq: is no setting. Remove it; wellkey serve --help lists all settings`,
	}},
	{"config in the file", inputs{yaml: "domain: example.com\nconfig: x\n"}, []string{
		`$DIR/wellkey.yaml:2: config: is no setting. Remove it; wellkey serve --help lists all settings`,
	}},
	{"key twice", inputs{yaml: "domain: example.com\nprobe_port: 1\nprobe_port: 2\n"}, []string{
		`$DIR/wellkey.yaml:3: probe_port: was already set in line 2. Remove one of the two`,
	}},
	{"two documents", inputs{yaml: "domain: example.com\n---\nprobe_port: 1\n"}, []string{
		`$DIR/wellkey.yaml: holds more than one YAML document. Remove the line --- and what follows it`,
	}},
	{"no mapping", inputs{yaml: "- domain\n"}, []string{
		`$DIR/wellkey.yaml:1: is no list of settings. Write one setting a line, as in domain: example.com, with a space behind the colon`,
	}},
	{"no YAML", inputs{yaml: "domain: example.com\nregions: [na\n"}, []string{
		`$DIR/wellkey.yaml:1: is not valid YAML near this line. Write one setting a line, without indentation, a space behind the colon, and quotes around a value that holds any of : { } [ ] * & ! # % @`,
	}},
	{"nested", inputs{yaml: "domain: example.com\ntls:\n  mode: off\n"}, []string{
		`$DIR/wellkey.yaml:2: tls: is neither a value nor a list of values. Write one value behind the colon, in quotes if it holds any of : { } [ ] * & ! #`,
	}},
	{"nested list", inputs{yaml: "domain: example.com\nregions: [[na]]\n"}, []string{
		`$DIR/wellkey.yaml:2: regions: is neither a value nor a list of values. Write one value behind the colon, in quotes if it holds any of : { } [ ] * & ! #`,
	}},
	{"list for a value", inputs{yaml: "domain: [example.com]\n"}, []string{
		`$DIR/wellkey.yaml:1: domain: is a list, but must be one value. Write it as in domain: example.com`,
	}},
	{"no file", inputs{args: []string{"--config=$DIR/none.yaml"}}, []string{
		`--config: there is no file "$DIR/none.yaml". Check the path; in a container it is the path inside`,
	}},
	{"no file, environment", inputs{env: []string{"WELLKEY_CONFIG=$DIR/none.yaml"}}, []string{
		`WELLKEY_CONFIG: there is no file "$DIR/none.yaml". Check the path; in a container it is the path inside`,
	}},
	{"file for a directory", inputs{args: []string{"--data-dir=$DIR/f"}, files: map[string]string{"f": ""}}, []string{
		`--data-dir: "$DIR/f" is a file. Name a directory; it need not exist yet`,
	}},
	{"directory for a file", inputs{args: []string{"--config=$DIR"}}, []string{
		`--config: "$DIR" is a directory. Name the file; Docker makes a directory where the file to mount does not exist, so remove it and write the file first`,
	}},
	{"path through a file", inputs{args: []string{"--config=$DIR/f/x"}, files: map[string]string{"f": ""}}, []string{
		`--config: reading "$DIR/f/x": not a directory. Check the path and the disk`,
	}},
	{"huge file", inputs{args: []string{"--config=$DIR/huge"}, files: map[string]string{"huge": strings.Repeat("#", 1<<20+1)}}, []string{
		`--config: "$DIR/huge" is larger than 1 MiB. Check the path: this is another file`,
	}},
	{"domain: scheme and slash", inputs{args: []string{"--domain=https://example.com/"}}, []string{
		`--domain: "https://example.com/" has a scheme and a slash at the end. Write example.com`,
	}},
	{"domain: path", inputs{args: []string{"--domain=example.com/x"}}, []string{
		`--domain: "example.com/x" has a path. Write example.com`,
	}},
	{"domain: port", inputs{args: []string{"--domain=example.com:443"}}, []string{
		`--domain: "example.com:443" has a port. Write example.com`,
	}},
	{"domain: upper case", inputs{args: []string{"--domain=Example.com"}}, []string{
		`--domain: "Example.com" has upper-case letters. Write example.com`,
	}},
	{"domain: dot at the end", inputs{args: []string{"--domain=example.com."}}, []string{
		`--domain: "example.com." has a dot at the end. Write example.com`,
	}},
	{"domain: all of it", inputs{args: []string{"--domain= HTTPS://Example.com:443/path?x. "}}, []string{
		`--domain: " HTTPS://Example.com:443/path?x. " has white space around it, a scheme, a path, a port and upper-case letters. Write example.com`,
	}},
	{"domain: IDN", inputs{args: []string{"--domain=bücher.example"}}, []string{
		`--domain: "bücher.example" has letters beyond ASCII. Write xn--bcher-kva.example`,
	}},
	{"domain: bad punycode", inputs{args: []string{"--domain=xn--a.example"}}, []string{
		`--domain: "xn--a.example" is no valid internationalized name. Check the part that begins with xn--`,
	}},
	{"domain: underscore", inputs{args: []string{"--domain=my_car.example.com"}}, []string{
		`--domain: "my_car.example.com" has an underscore, and certificates allow none in a host name. Choose a name with letters, digits and hyphens`,
	}},
	{"domain: IPv4", inputs{args: []string{"--domain=192.0.2.1"}}, []string{
		`--domain: "192.0.2.1" is an IP address. Tesla requires a host name; write the bare host name that owners shall see, such as example.com`,
	}},
	{"domain: IPv6", inputs{args: []string{"--domain=2001:db8::1"}}, []string{
		`--domain: "2001:db8::1" is an IP address. Tesla requires a host name; write the bare host name that owners shall see, such as example.com`,
	}},
	{"domain: IPv6 in brackets", inputs{args: []string{"--domain=[2001:db8::1]:443"}}, []string{
		`--domain: "[2001:db8::1]:443" is an IP address. Tesla requires a host name; write the bare host name that owners shall see, such as example.com`,
	}},
	{"domain: localhost", inputs{args: []string{"--domain=localhost"}}, []string{
		`--domain: "localhost" is known on this machine or network only. Write the bare host name that owners shall see, such as example.com`,
	}},
	{"domain: single label", inputs{args: []string{"--domain=myserver"}}, []string{
		`--domain: "myserver" is known on this machine or network only. Write the bare host name that owners shall see, such as example.com`,
	}},
	{"domain: below localhost", inputs{args: []string{"--domain=a.localhost"}}, []string{
		`--domain: "a.localhost" is known on this machine or network only. Write the bare host name that owners shall see, such as example.com`,
	}},
	{"domain: public suffix", inputs{args: []string{"--domain=co.uk"}}, []string{
		`--domain: "co.uk" is a public suffix, under which everybody may have names. Write the name below it that is yours, such as example.co.uk`,
	}},
	{"domain: private suffix", inputs{args: []string{"--domain=duckdns.org"}}, []string{
		`--domain: "duckdns.org" is a public suffix, under which everybody may have names. Write the name below it that is yours, such as example.duckdns.org`,
	}},
	{"domain: two dots", inputs{args: []string{"--domain=a..example.com"}}, []string{
		`--domain: "a..example.com" has two dots in a row, or begins with one. Remove the dot`,
	}},
	{"domain: leading dot", inputs{args: []string{"--domain=.example.com"}}, []string{
		`--domain: ".example.com" has two dots in a row, or begins with one. Remove the dot`,
	}},
	{"domain: wildcard", inputs{args: []string{"--domain=*.example.com"}}, []string{
		`--domain: "*.example.com" is a wildcard. Write one host name: Tesla registers one`,
	}},
	{"domain: white space inside", inputs{args: []string{"--domain=my car.example.com"}}, []string{
		`--domain: "my car.example.com" has the character ' ', and host names allow letters, digits and hyphens. Remove it`,
	}},
	{"domain: hyphen", inputs{args: []string{"--domain=-a.example.com"}}, []string{
		`--domain: "-a.example.com" has a part that begins or ends with a hyphen. Remove the hyphen`,
	}},
	{"domain: long label", inputs{args: []string{"--domain=" + strings.Repeat("a", 64) + ".example.com"}}, []string{
		`--domain: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com" has a part of 64 characters, and DNS allows 63 between two dots. Choose a shorter name`,
	}},
	{"domain: long name", inputs{args: []string{"--domain=" + strings.Repeat("a.", 130) + "example.com"}}, []string{
		`--domain: "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a."... is 271 characters long, and DNS allows 253. Choose a shorter name`,
	}},
	{"domain: number at the end", inputs{args: []string{"--domain=example.123"}}, []string{
		`--domain: "example.123" ends in a number, as no host name does. Write the bare host name that owners shall see, such as example.com`,
	}},
	{"domain: control character", inputs{args: []string{"--domain=a\u001b.example.com"}}, []string{
		`--domain: "a\x1b.example.com" has the character '\x1b', and host names allow letters, digits and hyphens. Remove it`,
	}},
	{"domain: scheme alone", inputs{args: []string{"--domain=https://"}}, []string{
		`--domain: "https://" holds no host name. Write the bare host name that owners shall see, such as example.com`,
	}},
	{"client id is a secret", inputs{env: []string{"WELLKEY_CLIENT_ID=ta-secret.x", "WELLKEY_CLIENT_SECRET=s"}}, []string{
		`WELLKEY_CLIENT_ID: is a client secret, not a client id. Swap the two; the client id has the form of a UUID`,
	}},
	{"client id with white space", inputs{env: []string{"WELLKEY_CLIENT_ID=a b", "WELLKEY_CLIENT_SECRET=s"}}, []string{
		`WELLKEY_CLIENT_ID: holds white space or characters beyond ASCII. Copy it from Tesla's portal again, alone`,
	}},
	{"client secret with a line end", inputs{env: []string{"WELLKEY_CLIENT_ID=a", "WELLKEY_CLIENT_SECRET=s\n"}}, []string{
		`WELLKEY_CLIENT_SECRET: has white space or an empty line before or behind it. Remove it; one line end behind it is fine in a file`,
	}},
	{"client secret beyond ASCII", inputs{env: []string{"WELLKEY_CLIENT_ID=a", "WELLKEY_CLIENT_SECRET=s…"}}, []string{
		`WELLKEY_CLIENT_SECRET: holds white space or characters beyond ASCII. Copy it from Tesla's portal again, alone`,
	}},
	{"client secret too long", inputs{env: []string{"WELLKEY_CLIENT_ID=a", "WELLKEY_CLIENT_SECRET=" + strings.Repeat("a", 2000)}}, []string{
		`WELLKEY_CLIENT_SECRET: is longer than 1024 characters. Copy it from Tesla's portal again, alone`,
	}},
	{"client id alone", inputs{env: []string{"WELLKEY_CLIENT_ID=a"}}, []string{
		`WELLKEY_CLIENT_ID: is set without a client secret. Set client_secret_file too, or neither, to add both later in a credentials_file`,
	}},
	{"client id file alone", inputs{env: []string{"WELLKEY_CLIENT_ID_FILE=/a"}}, []string{
		`WELLKEY_CLIENT_ID_FILE: is set without a client secret. Set client_secret_file too, or neither, to add both later in a credentials_file`,
	}},
	{"client secret alone", inputs{env: []string{"WELLKEY_CLIENT_SECRET=a"}}, []string{
		`WELLKEY_CLIENT_SECRET: is set without a client id. Set client_id too, or neither, to add both later in a credentials_file`,
	}},
	{"client secret file alone", inputs{args: []string{"--client-secret-file=/a"}}, []string{
		`--client-secret-file: is set without a client id. Set client_id too, or neither, to add both later in a credentials_file`,
	}},
	{"both forms of the id", inputs{args: []string{"--client-id-file=/a"}, env: []string{"WELLKEY_CLIENT_ID=a", "WELLKEY_CLIENT_SECRET=s"}}, []string{
		`--client-id-file: is set, and so is WELLKEY_CLIENT_ID. Remove one of the two`,
	}},
	{"both forms of the secret", inputs{env: []string{"WELLKEY_CLIENT_ID=a", "WELLKEY_CLIENT_SECRET=s", "WELLKEY_CLIENT_SECRET_FILE=/s"}}, []string{
		`WELLKEY_CLIENT_SECRET_FILE: is set, and so is WELLKEY_CLIENT_SECRET. Remove one of the two`,
	}},
	{"credentials file and the rest", inputs{args: []string{"--credentials-file=/c"}, env: []string{"WELLKEY_CLIENT_ID=a"}, yaml: "domain: example.com\nclient_secret_file: /s\n"}, []string{
		`--credentials-file: is set, and so is WELLKEY_CLIENT_ID. Remove one of the two`,
		`--credentials-file: is set, and so is client_secret_file. Remove one of the two`,
	}},
	{"client secret file with two lines", inputs{env: []string{"WELLKEY_CLIENT_ID=a", "WELLKEY_CLIENT_SECRET_FILE=$DIR/s"}, files: map[string]string{"s": "a\nb\n"}}, []string{
		`WELLKEY_CLIENT_SECRET_FILE: the value in "$DIR/s" holds white space or characters beyond ASCII. Copy it from Tesla's portal again, alone`,
	}},
	{"client secret file with two line ends", inputs{env: []string{"WELLKEY_CLIENT_ID=a", "WELLKEY_CLIENT_SECRET_FILE=$DIR/s"}, files: map[string]string{"s": "a\n\n"}}, []string{
		`WELLKEY_CLIENT_SECRET_FILE: the value in "$DIR/s" has white space or an empty line before or behind it. Remove it; one line end behind it is fine in a file`,
	}},
	{"client id file with a secret", inputs{env: []string{"WELLKEY_CLIENT_ID_FILE=$DIR/i", "WELLKEY_CLIENT_SECRET_FILE=$DIR/s"}, files: map[string]string{"i": "ta-secret.x", "s": "y"}}, []string{
		`WELLKEY_CLIENT_ID_FILE: the value in "$DIR/i" is a client secret, not a client id. Swap the two; the client id has the form of a UUID`,
	}},
	{"client secret file is a directory", inputs{env: []string{"WELLKEY_CLIENT_ID=a", "WELLKEY_CLIENT_SECRET_FILE=$DIR"}}, []string{
		`WELLKEY_CLIENT_SECRET_FILE: "$DIR" is a directory. Name the file; Docker makes a directory where the file to mount does not exist, so remove it and write the file first`,
	}},
	{"credentials file is a directory", inputs{env: []string{"WELLKEY_CREDENTIALS_FILE=$DIR"}}, []string{
		`WELLKEY_CREDENTIALS_FILE: "$DIR" is a directory. Name the file; Docker makes a directory where the file to mount does not exist, so remove it and write the file first`,
	}},
	{"credentials file with one line", inputs{env: []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, files: map[string]string{"c": "client_id: a\n"}}, []string{
		`$DIR/c: client_secret: is missing. Write the two lines client_id: ... and client_secret: ...`,
	}},
	{"credentials file with other keys", inputs{env: []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, files: map[string]string{"c": "client_id: a\nsecret: b\n"}}, []string{
		`$DIR/c:2: secret: is no setting. Remove it; wellkey serve --help lists all settings`,
	}},
	{"credentials file swapped", inputs{env: []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, files: map[string]string{"c": "client_id: ta-secret.a\nclient_secret: 'b c'\n"}}, []string{
		`$DIR/c:1: client_id: is a client secret, not a client id. Swap the two; the client id has the form of a UUID`,
		`$DIR/c:2: client_secret: holds white space or characters beyond ASCII. Copy it from Tesla's portal again, alone`,
	}},
	{"credentials file with a list", inputs{env: []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, files: map[string]string{"c": "client_id: a\nclient_secret: [b]\n"}}, []string{
		`$DIR/c:2: client_secret: is a list, but must be one value. Write one value behind the colon`,
	}},
	{"credentials file is no YAML", inputs{env: []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, files: map[string]string{"c": "client_id: a\nclient_secret: @b\n"}}, []string{
		`$DIR/c:2: is not valid YAML near this line. Write one setting a line, without indentation, a space behind the colon, and quotes around a value that holds any of : { } [ ] * & ! # % @`,
	}},
	{"credentials file without a space", inputs{env: []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, files: map[string]string{"c": "client_secret:b\n"}}, []string{
		`$DIR/c:1: is no list of settings. Write one setting a line, as in domain: example.com, with a space behind the colon`,
	}},
	{"regions: unknown", inputs{args: []string{"--regions=mars"}}, []string{
		`--regions: "mars" is no region. Choose among na, eu and cn`,
	}},
	{"regions: us", inputs{args: []string{"--regions=us"}}, []string{
		`--regions: "us" is no region. Write na (North America and Asia-Pacific)`,
	}},
	{"regions: upper case", inputs{args: []string{"--regions=NA,EU"}}, []string{
		`--regions: "NA" is no region. Write na`,
	}},
	{"regions: twice", inputs{args: []string{"--regions=na,na"}}, []string{
		`--regions: names na twice. Remove one of the two`,
	}},
	{"regions: cn among others", inputs{args: []string{"--regions=na,cn"}}, []string{
		`--regions: names cn beside another region, but China needs an application of its own. Run a second wellkey, with its own domain, for cn`,
	}},
	{"regions: none", inputs{args: []string{"--regions=,"}}, []string{
		`--regions: names no region. Write na,eu`,
	}},
	{"accept key", inputs{args: []string{"--accept-key=12:34"}}, []string{
		`--accept-key: "12:34" is no SHA-256 fingerprint of a key. Write its 64 hexadecimal digits, as wellkey status prints them`,
	}},
	{"path with a tilde", inputs{args: []string{"--data-dir=~/wellkey"}}, []string{
		`--data-dir: "~/wellkey" begins with ~, which only a shell understands. Write the whole path`,
	}},
	{"path with white space", inputs{env: []string{"WELLKEY_KEY_FILE=/a "}}, []string{
		`WELLKEY_KEY_FILE: "/a " has white space around it, or a NUL. Remove it`,
	}},
	{"no home", inputs{env: []string{"HOME="}}, []string{
		`data_dir: is not set, and there is no home directory to fall back to. Set it to a directory that outlives restarts`,
	}},
	{"address 443", inputs{args: []string{"--https-addr=443"}}, []string{
		`--https-addr: "443" is a port alone. Write :443`,
	}},
	{"address 127.0.0.1", inputs{args: []string{"--https-addr=127.0.0.1"}}, []string{
		`--https-addr: "127.0.0.1" has no port. Write 127.0.0.1:443, or another port`,
	}},
	{"address ::1", inputs{args: []string{"--https-addr=::1"}}, []string{
		`--https-addr: "::1" is an IPv6 address without brackets. Put it into brackets and the port behind them, such as [::1]:9090`,
	}},
	{"address localhost", inputs{args: []string{"--https-addr=localhost"}}, []string{
		`--https-addr: "localhost" is no address. Write host:port, such as :443, 127.0.0.1:9090 or [::1]:9090`,
	}},
	{"address example.com", inputs{args: []string{"--https-addr=example.com"}}, []string{
		`--https-addr: "example.com" is no address. Write host:port, such as :443, 127.0.0.1:9090 or [::1]:9090`,
	}},
	{"address ::1:443", inputs{args: []string{"--https-addr=::1:443"}}, []string{
		`--https-addr: "::1:443" is an IPv6 address without brackets. Put it into brackets and the port behind them, such as [::1]:9090`,
	}},
	{"address :https", inputs{args: []string{"--https-addr=:https"}}, []string{
		`--https-addr: ":https" has no valid port. Write a number from 0 to 65535 behind the last colon`,
	}},
	{"address :65536", inputs{args: []string{"--https-addr=:65536"}}, []string{
		`--https-addr: ":65536" has no valid port. Write a number from 0 to 65535 behind the last colon`,
	}},
	{"address :080", inputs{args: []string{"--https-addr=:080"}}, []string{
		`--https-addr: ":080" has no valid port. Write a number from 0 to 65535 behind the last colon`,
	}},
	{"address my host:80", inputs{args: []string{"--https-addr=my host:80"}}, []string{
		`--https-addr: "my host:80" has no valid host. Write an IP address of this machine, or none for all: :80`,
	}},
	{"all listeners off", inputs{args: []string{"--http-addr=", "--tls=off"}}, []string{
		`--http-addr: is empty, so that nothing serves the key. Set an address such as :80`,
	}},
	{"https off, tls on", inputs{env: []string{"WELLKEY_HTTPS_ADDR="}}, []string{
		`WELLKEY_HTTPS_ADDR: is empty, but tls is acme, which serves HTTPS. Set an address such as :443, or tls to off behind a proxy that ends TLS`,
	}},
	{"tls off, https on", inputs{args: []string{"--tls=off", "--https-addr=:443"}}, []string{
		`--https-addr: is set, but tls is off, so that HTTPS is the business of the proxy in front. Remove it, or set tls to acme or files`,
	}},
	{"same address", inputs{args: []string{"--http-addr=:443"}}, []string{
		`https_addr: is :443, which overlaps with http_addr :443. Choose another port for one of the two`,
	}},
	{"overlapping addresses", inputs{env: []string{"WELLKEY_ADMIN_ADDR=127.0.0.1:80"}}, []string{
		`WELLKEY_ADMIN_ADDR: is 127.0.0.1:80, which overlaps with http_addr :80. Choose another port for one of the two`,
	}},
	{"tls unknown", inputs{args: []string{"--tls=file"}}, []string{
		`--tls: "file" is not known here. Choose among acme, files and off; did you mean files?`,
	}},
	{"tls files without files", inputs{args: []string{"--tls=files"}}, []string{
		`tls_cert_file: is not set, and tls is files. Set it to the path of the file, or tls to acme`,
		`tls_key_file: is not set, and tls is files. Set it to the path of the file, or tls to acme`,
	}},
	{"tls files without key", inputs{args: []string{"--tls=files", "--tls-cert-file=/c"}}, []string{
		`tls_key_file: is not set, and tls is files. Set it to the path of the file, or tls to acme`,
	}},
	{"files without tls files", inputs{args: []string{"--tls-key-file=/k"}, env: []string{"WELLKEY_TLS_CERT_FILE=/c"}}, []string{
		`WELLKEY_TLS_CERT_FILE: is set, but tls is acme. Set tls to files, or remove this`,
		`--tls-key-file: is set, but tls is acme. Set tls to files, or remove this`,
	}},
	{"directory unknown", inputs{args: []string{"--acme-directory=letsencrpyt"}}, []string{
		`--acme-directory: "letsencrpyt" is not known here. Choose among letsencrypt, letsencrypt-staging, zerossl, google and an https URL; did you mean letsencrypt?`,
	}},
	{"directory by http", inputs{args: []string{"--acme-directory=http://ca.example"}}, []string{
		`--acme-directory: is no https URL of a directory. Write it as the certificate authority documents it, such as https://acme-v02.api.letsencrypt.org/directory`,
	}},
	{"email", inputs{args: []string{"--acme-email=ops"}}, []string{
		`--acme-email: "ops" is no e-mail address. Write it bare, such as ops@example.com, or leave it out`,
	}},
	{"email with a name", inputs{args: []string{"--acme-email=Ops <ops@example.com>"}}, []string{
		`--acme-email: "Ops <ops@example.com>" is no e-mail address. Write it bare, such as ops@example.com, or leave it out`,
	}},
	{"email with mailto", inputs{args: []string{"--acme-email=mailto:ops@example.com"}}, []string{
		`--acme-email: "mailto:ops@example.com" has a scheme. Write "ops@example.com"`,
	}},
	{"profile", inputs{args: []string{"--acme-profile=a b"}}, []string{
		`--acme-profile: "a b" is no name of a profile. Write one of the names in the authority's directory, such as classic`,
	}},
	{"key id with white space", inputs{args: []string{"--acme-eab-key-id=a b"}, env: []string{"WELLKEY_ACME_EAB_HMAC_KEY=YWFh"}}, []string{
		`--acme-eab-key-id: holds white space or characters beyond ASCII. Copy it from the certificate authority again, alone`,
	}},
	{"key id alone", inputs{args: []string{"--acme-eab-key-id=a"}}, []string{
		`--acme-eab-key-id: is set without acme_eab_hmac_key. Set acme_eab_hmac_key_file too: the certificate authority gives both`,
	}},
	{"hmac key alone", inputs{env: []string{"WELLKEY_ACME_EAB_HMAC_KEY=YWFh"}}, []string{
		`WELLKEY_ACME_EAB_HMAC_KEY: is set without acme_eab_key_id. Set acme_eab_key_id too: the certificate authority gives both`,
	}},
	{"hmac key file alone", inputs{args: []string{"--acme-eab-hmac-key-file=$DIR/h"}, files: map[string]string{"h": "YWFh"}}, []string{
		`--acme-eab-hmac-key-file: is set without acme_eab_key_id. Set acme_eab_key_id too: the certificate authority gives both`,
	}},
	{"hmac key not base64url", inputs{env: []string{"WELLKEY_ACME_EAB_HMAC_KEY=a+/b", "WELLKEY_ACME_EAB_KEY_ID=a"}}, []string{
		`WELLKEY_ACME_EAB_HMAC_KEY: is not in base64url (letters, digits, - and _). Copy the HMAC key from the certificate authority again, alone`,
	}},
	{"both forms of the hmac key", inputs{env: []string{"WELLKEY_ACME_EAB_HMAC_KEY=YWFh", "WELLKEY_ACME_EAB_HMAC_KEY_FILE=/h", "WELLKEY_ACME_EAB_KEY_ID=a"}}, []string{
		`WELLKEY_ACME_EAB_HMAC_KEY_FILE: is set, and so is WELLKEY_ACME_EAB_HMAC_KEY. Remove one of the two`,
	}},
	{"no hmac key file", inputs{env: []string{"WELLKEY_ACME_EAB_HMAC_KEY_FILE=$DIR/h", "WELLKEY_ACME_EAB_KEY_ID=a"}}, []string{
		`WELLKEY_ACME_EAB_HMAC_KEY_FILE: there is no file "$DIR/h". Check the path; in a container it is the path inside`,
	}},
	{"empty hmac key file", inputs{env: []string{"WELLKEY_ACME_EAB_HMAC_KEY_FILE=$DIR/h", "WELLKEY_ACME_EAB_KEY_ID=a"}, files: map[string]string{"h": "\n"}}, []string{
		`WELLKEY_ACME_EAB_HMAC_KEY_FILE: "$DIR/h" is empty. Write the secret into it, alone`,
	}},
	{"bad hmac key file", inputs{env: []string{"WELLKEY_ACME_EAB_HMAC_KEY_FILE=$DIR/h", "WELLKEY_ACME_EAB_KEY_ID=a"}, files: map[string]string{"h": "YW Fh\n"}}, []string{
		`WELLKEY_ACME_EAB_HMAC_KEY_FILE: the value in "$DIR/h" is not in base64url (letters, digits, - and _). Copy the HMAC key from the certificate authority again, alone`,
	}},
	{"zerossl without binding", inputs{args: []string{"--acme-directory=zerossl"}}, []string{
		`--acme-directory: is zerossl, which requires an external account binding. Set acme_eab_key_id and acme_eab_hmac_key_file, as the authority's console gives them`,
	}},
	{"fallback is zerossl without binding", inputs{args: []string{"--acme-fallback-directory=zerossl"}}, []string{
		`--acme-fallback-directory: is zerossl, which requires an external account binding. Set acme_fallback_eab_key_id and acme_fallback_eab_hmac_key_file, as the authority's console gives them`,
	}},
	{"fallback is the first", inputs{args: []string{"--acme-fallback-directory=letsencrypt"}}, []string{
		`--acme-fallback-directory: is the authority of acme_directory, so it fails when that one does. Name another one, or leave it out`,
	}},
	{"fallback's key id alone", inputs{args: []string{"--acme-fallback-eab-key-id=a"}}, []string{
		`--acme-fallback-eab-key-id: is set without acme_fallback_eab_hmac_key. Set acme_fallback_eab_hmac_key_file too: the certificate authority gives both`,
	}},
	{"fallback's hmac key as a flag", inputs{args: []string{"--acme-fallback-eab-hmac-key", "x"}}, []string{
		`--acme-fallback-eab-hmac-key: a secret on the command line can be read by every user of the machine (ps, /proc). Write it into a file and give --acme-fallback-eab-hmac-key-file, or set WELLKEY_ACME_FALLBACK_EAB_HMAC_KEY`,
	}},
	{"time span without unit", inputs{args: []string{"--acme-fallback-after=24"}}, []string{
		`--acme-fallback-after: "24" is no time span. Write a number with its unit, h, m or s, such as 24h or 1h30m`,
	}},
	{"time span in days", inputs{args: []string{"--acme-fallback-after=1d"}}, []string{
		`--acme-fallback-after: "1d" is no time span. Write a number with its unit, h, m or s, such as 24h or 1h30m`,
	}},
	{"time span too short", inputs{args: []string{"--acme-fallback-after=0s"}}, []string{
		`--acme-fallback-after: "0s" is out of bounds. Write a time span from 1m to 720h`,
	}},
	{"time span too long", inputs{args: []string{"--acme-fallback-after=721h"}}, []string{
		`--acme-fallback-after: "721h" is out of bounds. Write a time span from 1m to 720h`,
	}},
	{"no roots file", inputs{args: []string{"--acme-roots=$DIR/r"}}, []string{
		`--acme-roots: there is no file "$DIR/r". Check the path; in a container it is the path inside`,
	}},
	{"roots file without PEM", inputs{args: []string{"--acme-roots=$DIR/r"}, files: map[string]string{"r": "x"}}, []string{
		`--acme-roots: "$DIR/r" holds no certificate in PEM. Name a file with "-----BEGIN CERTIFICATE-----" in it; openssl x509 -inform DER converts`,
	}},
	{"roots file with a key", inputs{args: []string{"--probe-roots=$DIR/r"}, files: map[string]string{"r": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}}, []string{
		`--probe-roots: "$DIR/r" holds a "PRIVATE KEY" block. Name a file that holds certificates only`,
	}},
	{"roots file with rubbish", inputs{args: []string{"--probe-roots=$DIR/r"}, files: map[string]string{"r": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}}, []string{
		`--probe-roots: certificate 1 in "$DIR/r" cannot be read: "x509: malformed certificate". Export it again, in PEM`,
	}},
	{"base URL: slash", inputs{args: []string{"--tesla-auth-url=https://a.example/"}}, []string{
		`--tesla-auth-url: "https://a.example/" has a slash, a path, upper-case letters or more behind the host. Write https://a.example`,
	}},
	{"base URL: path", inputs{args: []string{"--tesla-auth-url=https://a.example/api"}}, []string{
		`--tesla-auth-url: "https://a.example/api" has a slash, a path, upper-case letters or more behind the host. Write https://a.example`,
	}},
	{"base URL: upper case", inputs{args: []string{"--tesla-auth-url=https://A.example"}}, []string{
		`--tesla-auth-url: "https://A.example" has a slash, a path, upper-case letters or more behind the host. Write https://a.example`,
	}},
	{"base URL: http", inputs{args: []string{"--tesla-auth-url=http://a.example"}}, []string{
		`--tesla-auth-url: "http://a.example" would send the client secret in the clear. Write https; http is for loopback only`,
	}},
	{"base URL: no scheme", inputs{args: []string{"--tesla-auth-url=a.example"}}, []string{
		`--tesla-auth-url: is no base URL. Write it as in https://fleet-api.prd.na.vn.cloud.tesla.com`,
	}},
	{"base URL: userinfo", inputs{args: []string{"--tesla-auth-url=https://u:p@a.example"}}, []string{
		`--tesla-auth-url: is no base URL. Write it as in https://fleet-api.prd.na.vn.cloud.tesla.com`,
	}},
	{"base URL: other scheme", inputs{args: []string{"--tesla-auth-url=ftp://a.example"}}, []string{
		`--tesla-auth-url: is no base URL. Write it as in https://fleet-api.prd.na.vn.cloud.tesla.com`,
	}},
	{"base URL of a region", inputs{args: []string{"--tesla-api-url-na=https://a.example/"}}, []string{
		`--tesla-api-url-na: "https://a.example/" has a slash, a path, upper-case letters or more behind the host. Write https://a.example`,
	}},
	{"resolver by name", inputs{args: []string{"--probe-resolvers=dns.google"}}, []string{
		`--probe-resolvers: "dns.google" is no IP address. Write the resolver's IP address, such as 1.1.1.1, [2606:4700:4700::1111]:53 or 127.0.0.1:5353`,
	}},
	{"resolver with port 0", inputs{args: []string{"--probe-resolvers=1.1.1.1:0"}}, []string{
		`--probe-resolvers: "1.1.1.1:0" has port 0. Write the port that the resolver answers at, 53 as a rule`,
	}},
	{"probe port 0", inputs{args: []string{"--probe-port=0"}}, []string{
		`--probe-port: "0" is no port. Write a number from 1 to 65535`,
	}},
	{"probe port 65536", inputs{args: []string{"--probe-port=65536"}}, []string{
		`--probe-port: "65536" is no port. Write a number from 1 to 65535`,
	}},
	{"probe port http", inputs{args: []string{"--probe-port=http"}}, []string{
		`--probe-port: "http" is no port. Write a number from 1 to 65535`,
	}},
	{"probe port +1", inputs{args: []string{"--probe-port=+1"}}, []string{
		`--probe-port: "+1" is no port. Write a number from 1 to 65535`,
	}},
	{"neither true nor false", inputs{args: []string{"--probe-allow-private=yes"}}, []string{
		`--probe-allow-private: "yes" is neither true nor false. Write true or false`,
	}},
	{"log level", inputs{args: []string{"--log-level=warning"}}, []string{
		`--log-level: "warning" is not known here. Choose among debug, info, warn and error; did you mean warn?`,
	}},
	{"log format", inputs{args: []string{"--log-format=xml"}}, []string{
		`--log-format: "xml" is not known here. Choose among auto, json and console`,
	}},
}

func TestFaults(t *testing.T) {
	for _, row := range slices.Concat(faultRows, shapeFaultRows, dnsFaultRows) {
		t.Run(row.name, func(t *testing.T) {
			if row.name != "no domain" && !strings.Contains(strings.Join(row.in.args, " ")+row.in.yaml+strings.Join(row.in.env, " "), "domain") {
				row.in.env = append(row.in.env, "WELLKEY_DOMAIN=example.com")
			}
			_, faults := load(t, row.in)
			if d := cmp.Diff(row.want, faults); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// TestSitesOnASharedStorage: of several sites, the one without a key file is at
// fault, and no other.
func TestSitesOnASharedStorage(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "wellkey.yaml")
	text := "storage: redis://host\nsites:\n- domain: a.example.com\n  key_file: /a.pem\n- domain: b.example.com\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := config.New([]string{"HOME=" + dir, "WELLKEY_CONFIG=" + file}).LoadAll(false)
	if err != nil {
		t.Fatal(err)
	}
	var good []string
	bad := ""
	for site, err := range s.Sites() {
		if err != nil {
			bad += err.Error()
			continue
		}
		good = append(good, site.Domain)
	}
	if !slices.Equal(good, []string{"a.example.com"}) || !strings.Contains(bad, "b.example.com") || !strings.Contains(bad, "storage is one which replicas share") {
		t.Errorf("good: %q, bad: %s", good, bad)
	}
}
