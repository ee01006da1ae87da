// Package scheme lists the schemes of the URLs of shared stores, for the settings,
// which refuse others, and for the storage, which opens them.
package scheme

// A Kind is what speaks behind a URL.
type Kind string

// All kinds, and what is none.
const (
	None     Kind = ""
	Redis    Kind = "redis"
	Postgres Kind = "postgres"
)

// All returns the schemes that there are.
func All() []string { return []string{"redis", "rediss", "postgres", "postgresql"} }

// Of returns the kind that has a scheme.
func Of(scheme string) Kind {
	switch scheme {
	case "redis", "rediss":
		return Redis
	case "postgres", "postgresql":
		return Postgres
	}
	return None
}
