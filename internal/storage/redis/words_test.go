package redis_test

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"wellkey/internal/secret"
	"wellkey/internal/storage/redis"
	"wellkey/internal/storage/storagetest"
	"wellkey/internal/storage/trouble"
	"wellkey/internal/testca"
	"wellkey/internal/teststore"
)

// TestWords: what stands in the way of a Redis is said in words, each with the
// likely cause and the fix, and without a password.
func TestWords(t *testing.T) {
	t.Parallel()
	plain := teststore.StartRedis(t)
	guarded := teststore.StartRedis(t, "--requirepass", "right")
	limited := teststore.StartRedis(t)
	limited.Say("ACL SETUSER narrow on >right ~other:* +@all")
	replica := teststore.StartRedis(t, "--replicaof", strings.Replace(plain.Addr, ":", " ", 1))
	full := teststore.StartRedis(t, "--maxmemory", "1")
	signer, err := testca.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := signer.Issue(testca.LeafOptions{}, "redis.example.com")
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, err := leaf.WriteFiles(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	secured := teststore.StartRedisTLS(t, certFile, keyFile)
	stopped := teststore.StartRedis(t)
	stopped.Kill()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(signer.RootsPEM())

	for _, row := range []struct {
		name   string
		cfg    redis.Config
		reason trouble.Reason
		words  []string
	}{
		{"nobody there", redis.Config{URL: stopped.URL("/0")}, trouble.Refused, []string{"the connection was refused", "it does not run", "correct host and port"}},
		{"no such name", redis.Config{URL: "redis://redis.invalid:1/0"}, trouble.Unknown, []string{`"redis.invalid" has no address`, "correct the host"}},
		{"no password", redis.Config{URL: guarded.URL("/0")}, trouble.Login, []string{"requires a password (NOAUTH)", "set storage_password_file"}},
		{"wrong password", redis.Config{URL: guarded.URL("/0"), Password: secret.New("canary")}, trouble.Login, []string{"does not take the user or the password (WRONGPASS)", "storage_password_file"}},
		{"narrow user", redis.Config{URL: "redis://narrow@" + limited.Addr, Password: secret.New("right")}, trouble.Privilege, []string{"may not do this", "NOPERM", "ACL SETUSER name on ~{wellkey}:*"}},
		{"replica", redis.Config{URL: replica.URL("/0")}, trouble.ReadOnly, []string{"it is a replica", "master_name"}},
		{"no such database", redis.Config{URL: plain.URL("/99")}, trouble.Database, []string{"no such database", "write /0"}},
		{"full", redis.Config{URL: full.URL("/0")}, trouble.Full, []string{"its memory is used up", "raise maxmemory"}},
		{"no cluster", redis.Config{URL: plain.URL("/?cluster=true")}, trouble.Database, []string{"one of the two is a Cluster", "cluster=true"}},
		{"no sentinel", redis.Config{URL: stopped.URL("/0?master_name=primary")}, trouble.Refused, []string{"no Sentinel names the master", "master_name"}},
		{"untrusted", redis.Config{URL: "rediss://" + secured.Addr}, trouble.Untrusted, []string{"certificate is not trusted", "storage_roots"}},
		{"other name", redis.Config{URL: "rediss://" + secured.Addr, Roots: roots}, trouble.Untrusted, []string{"certificate is not trusted", "a host name that is in the certificate"}},
		{"TLS where there is none", redis.Config{URL: "rediss://" + plain.Addr}, trouble.Silent, []string{"did not answer in time", "or it does not speak TLS at this port"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.reason == trouble.Silent { // which is waited for
				row.cfg.Lease.Timeout = 5 * time.Second
			}
			storagetest.WantTrouble(t, open(t, row.cfg), row.reason, append(row.words, "storage redis")...)
		})
	}
}

// TestLeastPrivileges: the user that docs/replicas.md describes can do all.
func TestLeastPrivileges(t *testing.T) {
	t.Parallel()
	r := teststore.StartRedis(t)
	r.Say("ACL SETUSER wellkey on >right " + redis.Privileges)
	r.Say("ACL SETUSER default off")
	s := open(t, redis.Config{URL: "redis://wellkey@" + r.Addr + "/0", Password: secret.New("right")})
	ctx := t.Context()
	guarded, release, err := s.Guard(ctx, "l")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Load(ctx, "missing")
	for what, err := range map[string]error{
		"Ping": s.Ping(ctx), "Store": s.Store(guarded, "a/k", []byte("v")), "Renew": s.RenewLockLease(ctx, "l", time.Minute), "release": release(ctx),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if keys, err := s.List(ctx, "a", true); err != nil || len(keys) != 1 {
		t.Errorf("List: got %q, %v", keys, err)
	}
	if err := s.Delete(ctx, "a"); err != nil {
		t.Error(err)
	}
	_, fault := trouble.Of(err)
	if ephemeral, why := s.Ephemeral(ctx); fault || ephemeral {
		t.Errorf("Ephemeral: got %v, %q: it may not ask for the configuration", ephemeral, why)
	}
}

func TestEphemeral(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"memory only": {nil, "keeps nothing on disk"},
		"on disk":     {[]string{"--appendonly", "yes"}, ""},
		"evicting":    {[]string{"--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, "drops keys when its memory is full"},
	} {
		r := teststore.StartRedis(t, row.args...)
		s := open(t, redis.Config{URL: r.URL("/0")})
		ephemeral, why := s.Ephemeral(t.Context())
		if ephemeral != (row.want != "") || !strings.Contains(why, row.want) {
			t.Errorf("%s: got %v, %q, want %q", name, ephemeral, why, row.want)
		}
	}
}

func TestURLs(t *testing.T) {
	for url, want := range map[string]string{
		"redis://a:1/0":                         "",
		"rediss://u@a":                          "",
		"redis://a:1?addr=b:1&addr=c:1":         "",
		"redis://a:1/0?master_name=m&addr=b:1":  "",
		"redis://a:1/x":                         "invalid database number",
		"redis://a:1/0?nothing=1":               "unexpected option: nothing",
		"rediss://a:1/0?skip_verify=true":       "proves nothing",
		"redis://a:1/0?master_name=m&password=": "a setting of its own",
	} {
		err := redis.Check(url)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
}
