package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A peer is one of the servers that are compared.
type peer struct {
	name  string
	title string // for people
	// command returns the command that serves d at an address. What it writes, such
	// as its settings, it writes into dir, which is its own.
	command func(d *deed, dir, addr string) (*exec.Cmd, error)
}

// The names of the peers.
const (
	wellkey     = "wellkey"
	nginx       = "nginx"
	nginxAgain  = "nginx-again" // the control
	nginxFile   = "nginx-file"
	haproxy     = "haproxy"
	caddy       = "caddy"
	caddyFile   = "caddy-file"
	bare        = "bare"
	wellkeyMany = "wellkey-many" // with ten thousand sites
	oneAgain    = "wellkey-again"
)

// peers are those beside wellkey, each set up as somebody would who knows it well.
var peers = []peer{
	{nginx, "nginx", nginxReturn},
	{nginxAgain, "nginx again", nginxReturn},
	{nginxFile, "nginx, from a file", nginxFromFile},
	{haproxy, "HAProxy", haproxyReturn},
	{caddy, "Caddy, respond", caddyRespond},
	{caddyFile, "Caddy, file_server", caddyFromFile},
	{bare, "bare crypto/tls", bareLoop},
}

// titleOf returns the name of a peer for people.
func titleOf(name string) string {
	for _, p := range peers {
		if p.name == name {
			return p.title
		}
	}
	switch name {
	case wellkeyMany:
		return "wellkey, 10,000 sites"
	case oneAgain:
		return "wellkey again"
	}
	return name
}

// A deed is what all of them do: give this answer at this path, with this
// certificate.
type deed struct {
	path              string
	body              []byte
	contentType       string
	header            []headerLine // besides the type and the length
	certFile, keyFile string
	root              string // a directory with the body as a file at path
	files             uint64 // that a process may open
	programs          programs
}

// A headerLine is a header of the answer.
type headerLine struct{ name, value string }

// programs are the paths of what is compared.
type programs struct {
	wellkey, caddy, bare string
	profiled             string // wellkey with a profile; "" = nothing is profiled
	oldCaddy             bool   // Debian's
}

// headersOf returns the headers of an answer that the peers are to give, too: all
// but those that each gives by itself.
func headersOf(header http.Header) (contentType string, lines []headerLine) {
	for name, values := range header {
		switch name {
		case "Content-Type":
			contentType = values[0]
		case "Content-Length", "Date", "Connection", "Server":
		default:
			for _, value := range values {
				lines = append(lines, headerLine{name, value})
			}
		}
	}
	return contentType, lines
}

func nginxReturn(d *deed, dir, addr string) (*exec.Cmd, error) {
	return d.nginx(dir, nginxServer{addr: addr, name: host, certFile: d.certFile, keyFile: d.keyFile, answer: d.nginxAnswer()})
}

// nginxAnswer has nginx give the body from its settings.
func (d *deed) nginxAnswer() string {
	return fmt.Sprintf("return 200 \"%s\";", strings.ReplaceAll(string(d.body), "\n", `\n`))
}

func nginxFromFile(d *deed, dir, addr string) (*exec.Cmd, error) {
	return d.nginx(dir, nginxServer{addr: addr, name: host, certFile: d.certFile, keyFile: d.keyFile, answer: "root " + d.root + ";"})
}

// An nginxServer is a server block.
type nginxServer struct{ addr, name, certFile, keyFile, answer string }

// nginx writes settings for one worker. OpenSSL sends two tickets in two writes
// unless it is told that one will do.
func (d *deed) nginx(dir string, servers ...nginxServer) (*exec.Cmd, error) {
	var b strings.Builder
	user := ""
	if os.Getuid() == 0 {
		user = "user root;\n"
	}
	fmt.Fprintf(&b, `daemon off;
%spid %[2]s/pid;
error_log stderr crit;
worker_processes 1;
worker_rlimit_nofile %[3]d;
events {
	worker_connections %[4]d;
}
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	keepalive_requests 1000000000;
	keepalive_timeout 1h;
	http2_max_concurrent_streams 128;
	open_file_cache max=1000;
	ssl_protocols TLSv1.2 TLSv1.3;
	ssl_conf_command NumTickets 1;
	server_names_hash_max_size 65536;
	server_names_hash_bucket_size 128;
	default_type %[5]s;
	types { }
`, user, dir, d.files, d.files*4/5, d.contentType)
	for i, s := range servers {
		backlog := " backlog=4096"
		if i > 0 { // it may be said once
			backlog = ""
		}
		fmt.Fprintf(&b, "\tserver {\n\t\tlisten %s ssl http2%s;\n\t\tserver_name %s;\n\t\tssl_certificate %s;\n\t\tssl_certificate_key %s;\n\t\tlocation = %s {\n",
			s.addr, backlog, s.name, s.certFile, s.keyFile, d.path)
		for _, line := range d.header {
			fmt.Fprintf(&b, "\t\t\tadd_header %s '%s';\n", line.name, line.value)
		}
		fmt.Fprintf(&b, "\t\t\t%s\n\t\t}\n\t}\n", s.answer)
	}
	b.WriteString("}\n")
	config := filepath.Join(dir, "nginx.conf")
	return exec.Command(program(nginx), "-e", "stderr", "-p", dir, "-c", config), os.WriteFile(config, []byte(b.String()), 0o600)
}

// haproxyReturn counts two files for each connection, although the second is not used
// here.
func haproxyReturn(d *deed, dir, addr string) (*exec.Cmd, error) {
	pem, err := pair(d)
	if err != nil {
		return nil, err
	}
	both, body, config := filepath.Join(dir, "tls.pem"), filepath.Join(dir, "body"), filepath.Join(dir, "haproxy.cfg")
	var header strings.Builder
	for _, line := range d.header {
		fmt.Fprintf(&header, " hdr %s %s", line.name, quoteHAProxy(line.value))
	}
	text := fmt.Sprintf(`global
	nbthread 1
	maxconn %d
	ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
	mode http
	timeout client 1h
	timeout server 1h
	timeout connect 5s
	timeout http-keep-alive 1h
frontend key
	bind %s ssl crt %s alpn h2,http/1.1 backlog 4096
	http-request return status 200 content-type %s file %s%s if { path %s }
	http-request return status 404
`, d.files/2-100, addr, both, d.contentType, body, header.String(), d.path)
	for path, data := range map[string][]byte{both: pem, body: d.body, config: []byte(text)} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return nil, err
		}
	}
	return exec.Command(program(haproxy), "-db", "-f", config), nil
}

// pair returns certificate and key in one.
func pair(d *deed) ([]byte, error) {
	certificate, err := os.ReadFile(d.certFile)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(d.keyFile)
	return append(certificate, key...), err
}

// quoteHAProxy writes a value as a format string: with blanks and quotes as they are.
func quoteHAProxy(value string) string {
	return strings.NewReplacer(`\`, `\\`, ` `, `\ `, `"`, `\"`, `'`, `\'`, `%`, `%%`, `#`, `\#`).Replace(value)
}

func caddyRespond(d *deed, dir, addr string) (*exec.Cmd, error) {
	return d.caddy(dir, addr, fmt.Sprintf("respond %s `%s` 200", d.path, d.body))
}

func caddyFromFile(d *deed, dir, addr string) (*exec.Cmd, error) {
	return d.caddy(dir, addr, "root * "+d.root+"\n\tfile_server")
}

// caddy writes settings without what costs and is not needed here: no admin endpoint,
// no HTTP/3, no access log.
func (d *deed) caddy(dir, addr, answer string) (*exec.Cmd, error) {
	var header strings.Builder
	for _, line := range append([]headerLine{{"Content-Type", d.contentType}}, d.header...) {
		fmt.Fprintf(&header, "\t\t%s `%s`\n", line.name, line.value)
	}
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`{
	admin off
	auto_https off
	grace_period 1s
	log {
		level ERROR
	}
	servers {
		protocols h1 h2
	}
}
https://%s:%s {
	bind %s
	tls %s %s
	header {
%s	}
	%s
}
`, host, port, ip, d.certFile, d.keyFile, header.String(), answer)
	config := filepath.Join(dir, "Caddyfile")
	cmd := exec.Command(d.programs.caddy, "run", "--config", config, "--adapter", "caddyfile")
	cmd.Env = []string{"HOME=" + dir, "XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	return cmd, os.WriteFile(config, []byte(text), 0o600)
}

func bareLoop(d *deed, dir, addr string) (*exec.Cmd, error) {
	var answer strings.Builder
	fmt.Fprintf(&answer, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n", d.contentType, len(d.body))
	for _, line := range d.header {
		fmt.Fprintf(&answer, "%s: %s\r\n", line.name, line.value)
	}
	fmt.Fprintf(&answer, "Date: Wed, 25 Nov 2026 00:00:00 GMT\r\n\r\n%s", d.body)
	path := filepath.Join(dir, "answer")
	return exec.Command(d.programs.bare, addr, d.certFile, d.keyFile, path), os.WriteFile(path, []byte(answer.String()), 0o600)
}

// program finds what Debian keeps out of the way of those who are not root.
func program(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return filepath.Join("/usr/sbin", name)
}
