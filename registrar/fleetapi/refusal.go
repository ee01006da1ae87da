package fleetapi

import "wellkey/internal/pattern"

// An Operation is one of the requests that this package makes.
type Operation string

// The operations.
const (
	OpToken     Operation = "token"      // POST {auth}/oauth2/v3/token
	OpRegister  Operation = "register"   // POST {base}/api/1/partner_accounts
	OpPublicKey Operation = "public_key" // GET {base}/api/1/partner_accounts/public_key
)

// Operations returns all operations, in the order in which a registration uses them.
func Operations() []Operation { return []Operation{OpToken, OpRegister, OpPublicKey} }

// A ReasonCode is the stable name of a refusal or failure: snake_case, one of
// the closed set that Catalogue lists. It is used in logs, metrics, the status
// and the documentation, and never changes its meaning.
type ReasonCode string

// An Actor is who has to act before a request can succeed.
type Actor string

// The actors.
const (
	ActorOperator Actor = "operator" // whoever runs wellkey
	ActorTesla    Actor = "tesla"    // Tesla: nothing but waiting, or a support ticket, helps
	ActorNobody   Actor = "nobody"   // it passes by itself, or wellkey deals with it
)

// A Retry says in what rhythm a request is worth repeating.
type Retry string

// The retry classes.
const (
	RetrySoon  Retry = "soon"  // Tesla or the network fails: seconds, growing
	RetryLag   Retry = "lag"   // a new application or a portal edit has to spread: 2 to 15 minutes for an hour, then up to an hour, then every 6 hours
	RetryCheck Retry = "check" // after a look at the key from outside: 1, 5, 15 minutes, then every hour
	RetrySlow  Retry = "slow"  // a person must act: after an hour, then every 6 hours
	RetryDaily Retry = "daily" // the credentials are refused: after an hour, for a new application, then once a day
)

// A Body is what an answer's body turned out to be.
type Body string

// The kinds of body.
const (
	BodyJSON   Body = "json"   // one JSON object, each name once
	BodyOther  Body = "other"  // HTML or text
	BodyEmpty  Body = "empty"  // nothing, or white space
	BodyBroken Body = "broken" // JSON that is cut, too large, or ambiguous
)

// A Refusal is one row of the catalogue: a way in which a request does not
// succeed, how it is recognised, and what to do about it.
type Refusal struct {
	Code       ReasonCode
	Operations []Operation

	// What an answer must be like. Empty fields allow anything. A status below
	// 10 stands for its whole class: 5 is 5xx. Where there is a Pattern, the
	// statuses are those where Tesla was seen to use the text, and any status
	// of the same class matches, since Tesla moves texts between statuses;
	// without one, the status must be exact. The Pattern is matched with the
	// text of a JSON answer only.
	Statuses []int
	Pattern  *pattern.Pattern
	Bodies   []Body

	// Strict rows have a Pattern that others than Tesla use, too: they match only
	// an exact status, and only in the envelope of the partner endpoints.
	Strict bool

	// Local rows are decided on this side of the wire; no answer matches them.
	Local bool

	// Absent rows, in answer to OpPublicKey, say that Tesla has no key of this
	// domain for this application in this region: errors.Is finds
	// ErrNotRegistered in their errors.
	Absent bool

	Actor   Actor
	Retry   Retry
	Summary string // what happened, as half a sentence
	Cause   string // the likely cause: whole sentences, with placeholders for Subject.Fill
	Fix     string // what to do: whole sentences, with placeholders for Subject.Fill
	Source  string // where the behaviour is documented or was seen

	// Examples are answers as Tesla gives them, the most common one first.
	// Their bodies hold placeholders for Subject.Fill, and {txid} or
	// {reference} for the name of the request. Local rows have none.
	Examples []Example
}

// An Example is one answer of Tesla, as it was documented or seen.
type Example struct {
	Status int
	Body   string
	Header map[string]string // besides the content type, which follows from the body
}
