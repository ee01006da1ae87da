package registrar

// A State says how the registration of one domain in one region stands. It is
// one of a closed set.
type State string

// The states of a registration.
const (
	// Pending: nothing was tried yet, because a key, a certificate or a first
	// look from outside is still missing, or the answer is still awaited.
	Pending State = "pending"
	// WaitingForCredentials: no application credentials were given so far.
	WaitingForCredentials State = "waiting_for_credentials"
	// Unreachable: our own look from outside failed for a reason that we are
	// sure of, so Tesla could not download the key either.
	Unreachable State = "unreachable"
	// Registered: Tesla answers with the key that we host.
	Registered State = "registered"
	// Mismatch: Tesla answers with another key than the one that we host.
	Mismatch State = "mismatch"
	// Refused: Tesla says no, and a person must act; the reason says what.
	Refused State = "refused"
	// Unavailable: Tesla or the network fails; we go on trying.
	Unavailable State = "unavailable"
)

// States returns all states, in the order in which a registration that goes
// well passes them and then those that go wrong.
func States() []State {
	return []State{Pending, WaitingForCredentials, Registered, Unreachable, Mismatch, Refused, Unavailable}
}

// An action is what a reconcile step does next.
type action string

const (
	wait     action = "wait"     // nothing until the next time, or until something changes
	ask      action = "ask"      // ask Tesla which key it has: GET public_key
	register action = "register" // register the domain: POST partner_accounts
)
