package teststore

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The administrator of a Postgres.
const (
	Admin         = "admin"
	AdminPassword = "admin-password"
)

// A Postgres is a server. Its databases last over Stop and Start.
type Postgres struct {
	process
	Addr string
	made atomic.Int32
}

// StartPostgres makes a database cluster and starts a server for it. It takes a
// second. PostgreSQL refuses to run as root, so root runs it as the user
// postgres, or nobody.
func StartPostgres(t testing.TB, args ...string) *Postgres {
	t.Helper()
	bin := postgresBin(t)
	top := tempDir(t)
	data, password := filepath.Join(top, "data"), filepath.Join(top, "password")
	attr := attributes()
	if err := os.WriteFile(password, []byte(AdminPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		attr.Credential = unprivileged(t)
		for _, path := range []string{top, password} {
			if err := os.Chown(path, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--no-sync", "--username", Admin, "--pwfile", password, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--pgdata", data)
	initdb.SysProcAttr, initdb.Dir = attr, top
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("making a database: %v\n%s", err, out)
	}
	addr, host, port := freeAddr(t)
	p := &Postgres{Addr: addr}
	p.process = process{t: t, attr: attr, signal: syscall.SIGINT, args: append([]string{filepath.Join(bin, "postgres"), "-D", data,
		"-c", "listen_addresses=" + host, "-c", "port=" + port, "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=200"}, args...)}
	p.ready = func() error {
		conn, err := pgx.Connect(context.Background(), p.url(Admin, AdminPassword, "postgres"))
		if err == nil {
			err = conn.Close(context.Background())
		}
		return err
	}
	p.Start()
	t.Cleanup(p.Stop)
	return p
}

func (p *Postgres) url(user, password, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: p.Addr, Path: database, RawQuery: "sslmode=disable"}
	return u.String()
}

// URL returns what wellkey calls a database; without a password.
func (p *Postgres) URL(user, database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, p.Addr, database)
}

// Database makes a new database, and returns its name.
func (p *Postgres) Database() string {
	p.t.Helper()
	name := fmt.Sprintf("wellkey_%d", p.made.Add(1))
	p.Exec("postgres", "CREATE DATABASE "+name)
	return name
}

// Exec runs statements as the administrator.
func (p *Postgres) Exec(database string, statements ...string) {
	p.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, p.url(Admin, AdminPassword, database))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			p.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// postgresBin finds the programs: Debian has them in a directory a version.
func postgresBin(t testing.TB) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is good
	if len(found) > 0 {
		slices.Sort(found)
		return filepath.Dir(found[len(found)-1])
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		t.Fatal("initdb is not installed: it comes in Debian's package postgresql")
	}
	return filepath.Dir(path)
}

func unprivileged(t testing.TB) *syscall.Credential {
	t.Helper()
	who, err := user.Lookup("postgres")
	if err != nil {
		who, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Fatalf("PostgreSQL does not run as root, and there is no other user: %v", err)
	}
	uid, _ := strconv.ParseUint(who.Uid, 10, 32) // numbers, on Unix
	gid, _ := strconv.ParseUint(who.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
