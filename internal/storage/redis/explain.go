package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"wellkey/internal/storage/trouble"
)

// explain puts what the client said into words for the operator. That the caller
// gave up needs none.
func (s *Store) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if e := answer(err); e != nil {
		e.Store, e.Err = s.name, err
		return e
	}
	if e := trouble.Network(s.name, err); e != nil {
		if e.Reason == trouble.Silent && strings.HasPrefix(s.name, "rediss:") {
			e.Cause += ", or it does not speak TLS at this port" // it waits for the end of the line
		}
		return e
	}
	return trouble.Unexplained(s.name, err)
}

// Privileges are what a user must have (redis.io, ACL SETUSER).
const Privileges = "~{wellkey}:* resetchannels +@connection +@hash +@sortedset +@string +@scripting +del +pexpire +time +info"

// answer explains an error that Redis itself gave; nil = none that is known. Its
// first word is the kind (redis.io, "RESP protocol", simple errors).
func answer(err error) *trouble.Error {
	text := err.Error()
	has := func(words ...string) bool {
		for _, word := range words {
			if strings.Contains(text, word) {
				return true
			}
		}
		return false
	}
	switch {
	case has("NOAUTH"):
		return &trouble.Error{Reason: trouble.Login, Seen: "it requires a password (NOAUTH)", Cause: "no password was given",
			Fix: "set storage_password_file"}
	case has("WRONGPASS", "invalid password", "invalid username"):
		return &trouble.Error{Reason: trouble.Login, Seen: "it does not take the user or the password (WRONGPASS)", Cause: "one of them is wrong, or the user is switched off",
			Fix: "correct the user in storage, and what is in storage_password_file"}
	case has("without any password configured"):
		return &trouble.Error{Reason: trouble.Login, Seen: "it has no password, but one was given", Cause: "requirepass is not set there, or this is another Redis",
			Fix: "remove storage_password, or set the password there"}
	case has("NOPERM"):
		return &trouble.Error{Reason: trouble.Privilege, Seen: "the user may not do this: " + trouble.Quote(text), Cause: "its access list is too narrow",
			Fix: "allow it the keys and commands: ACL SETUSER name on " + Privileges}
	case has("READONLY"):
		return &trouble.Error{Reason: trouble.ReadOnly, Seen: "it is a replica, which takes no writes (READONLY)", Cause: "storage names a replica, or a failover made it one",
			Fix: "name the master; or let Sentinel find it: redis://sentinel:26379/0?master_name=NAME"}
	case has("MISCONF"):
		return &trouble.Error{Reason: trouble.Full, Seen: "it takes no writes, since it cannot save to its disk (MISCONF)", Cause: "its disk is full or read-only",
			Fix: "see its own log, and free some space"}
	case has("OOM command"):
		return &trouble.Error{Reason: trouble.Full, Seen: "its memory is used up (OOM)", Cause: "maxmemory is reached", Fix: "raise maxmemory, or give wellkey a Redis of its own"}
	case has("NOREPLICAS"):
		return &trouble.Error{Reason: trouble.ReadOnly, Seen: "it takes no writes, since it has too few replicas (NOREPLICAS)", Cause: "min-replicas-to-write is not reached", Fix: "bring its replicas back"}
	case has("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"):
		return &trouble.Error{Reason: trouble.Starting, Seen: "it is not ready: " + trouble.Quote(text), Cause: "it has just started, or a failover goes on", Fix: "nothing, if this passes; else see its own log"}
	case has("DB index is out of range", "SELECT is not allowed"):
		return &trouble.Error{Reason: trouble.Database, Seen: "there is no such database: " + trouble.Quote(text), Cause: "the number at the end of storage is too large, or it is a Cluster, which has only 0", Fix: "write /0"}
	case has("MOVED ", "CROSSSLOT", "cluster support disabled"):
		return &trouble.Error{Reason: trouble.Database, Seen: "one of the two is a Cluster, and the other is not: " + trouble.Quote(text), Cause: "storage says otherwise than the server is", Fix: "add cluster=true to the query of storage for a Cluster, and leave it out elsewhere"}
	case has("all sentinels specified in configuration are unreachable", "No such master"):
		return &trouble.Error{Reason: trouble.Refused, Seen: "no Sentinel names the master: " + trouble.Quote(text), Cause: "the Sentinels do not run, or master_name is another", Fix: "correct host, port and master_name in storage"}
	}
	return nil
}

// Ephemeral tells whether what is stored may be lost, and why: where Redis keeps
// nothing on disk, or drops what it likes when memory is short.
func (s *Store) Ephemeral(ctx context.Context) (ephemeral bool, why string) {
	memory, err := s.client.Info(ctx, "memory").Result()
	if err != nil {
		return false, "" // it may not be asked
	}
	if limit, policy := infoField(memory, "maxmemory"), infoField(memory, "maxmemory_policy"); limit != "0" && strings.HasPrefix(policy, "allkeys-") {
		return true, fmt.Sprintf("%s drops keys when its memory is full (maxmemory-policy %s): set it to noeviction or volatile-lru", s.name, policy)
	}
	persistence, err := s.client.Info(ctx, "persistence").Result()
	if err != nil || infoField(persistence, "aof_enabled") != "0" {
		return false, ""
	}
	if save, err := s.client.ConfigGet(ctx, "save").Result(); err == nil && save["save"] == "" {
		if _, known := save["save"]; known {
			return true, s.name + " keeps nothing on disk: set appendonly yes there"
		}
	}
	return false, ""
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

// Ping returns why the store cannot be used, as far as that can be seen without
// writing; nil = it can.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return s.explain(err)
	}
	if err := s.client.HExists(ctx, items, "").Err(); err != nil && !errors.Is(err, redis.Nil) {
		return s.explain(err)
	}
	if _, one := s.client.(*redis.Client); one { // of a Cluster, another node may answer
		if info, err := s.client.Info(ctx, "replication").Result(); err == nil && infoField(info, "role") == "slave" && infoField(info, "slave_read_only") != "0" {
			return s.explain(errReplica)
		}
	}
	return nil
}

// errReplica is what a write at a replica gives.
var errReplica = errors.New("READONLY by its role")
