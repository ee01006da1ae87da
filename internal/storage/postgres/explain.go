package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"wellkey/internal/storage/trouble"
)

// insufficientPrivilege is a SQLSTATE (PostgreSQL manual, appendix A).
const insufficientPrivilege = "42501"

// errReplica is what a write at a replica gives.
var errReplica = &pgconn.PgError{Code: "25006", Message: "the server is in recovery"}

// explain puts what the client said into words for the operator; nil stays nil.
// That the caller gave up needs none.
func (s *Store) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := trouble.Of(err); ok {
		return err
	}
	if answer, ok := errors.AsType[*pgconn.PgError](err); ok {
		if answer.Code == "42P01" {
			s.ready.Store(false) // Somebody dropped the tables; the next call makes them again.
		}
		if e := explainCode(answer); e != nil {
			e.Store, e.Err = s.name, err
			return e
		}
	}
	if e := trouble.Network(s.name, err); e != nil {
		return e
	}
	return trouble.Unexplained(s.name, err)
}

// explainCode explains an error that PostgreSQL itself gave; nil = none that is
// known.
func explainCode(answer *pgconn.PgError) *trouble.Error {
	said := trouble.Quote(answer.Message)
	switch {
	case answer.Code == "28P01":
		return &trouble.Error{Reason: trouble.Login, Seen: "it does not take the user or the password: " + said, Cause: "one of them is wrong",
			Fix: "correct the user in storage, and what is in storage_password_file"}
	case answer.Code == "28000":
		return &trouble.Error{Reason: trouble.Login, Seen: "it does not let us in: " + said, Cause: "its pg_hba.conf has no line for this user, database and address, or requires TLS",
			Fix: "add a line there, or sslmode=verify-full to the query of storage"}
	case answer.Code == insufficientPrivilege:
		return &trouble.Error{Reason: trouble.Privilege, Seen: "the user lacks a privilege: " + said, Cause: "it may not make tables in this schema, or was not granted those that are there",
			Fix: "GRANT CREATE, USAGE ON SCHEMA for the first start; or make the tables yourself, see docs/replicas.md"}
	case answer.Code == "25006":
		return &trouble.Error{Reason: trouble.ReadOnly, Seen: "it takes no writes: " + said, Cause: "storage names a replica, or a failover made it one",
			Fix: "name the primary; or all of them, with target_session_attrs=read-write in the query of storage"}
	case answer.Code == "3D000":
		return &trouble.Error{Reason: trouble.Database, Seen: "there is no such database: " + said, Cause: "its name is misspelled in storage, or it was not made",
			Fix: "CREATE DATABASE, or correct the name behind the host"}
	case answer.Code == "3F000":
		return &trouble.Error{Reason: trouble.Database, Seen: "there is no schema to make the tables in: " + said, Cause: "the search path names one that is not there",
			Fix: "CREATE SCHEMA, or correct search_path in the query of storage"}
	case strings.HasPrefix(answer.Code, "53"):
		return &trouble.Error{Reason: trouble.Full, Seen: "it has no room: " + said, Cause: "its disk or memory is full, or it has too many connections", Fix: "free some, or raise max_connections"}
	case strings.HasPrefix(answer.Code, "57P0"):
		return &trouble.Error{Reason: trouble.Starting, Seen: "it is not ready: " + said, Cause: "it starts, stops or fails over", Fix: "nothing, if this passes; else see its own log"}
	}
	return nil
}
