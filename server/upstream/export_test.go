package upstream

// Diagnose returns what a visitor and the log are told of err.
func Diagnose(err error) (reason, cause, fix string, code int) {
	t := diagnose(err)
	return t.reason, t.cause, t.fix, t.code
}

// Reasons are the values of the label reason.
func Reasons() []string { return reasons }

// Sentences are what visitors read, by status.
var Sentences = sentences

// IsForwarding reports whether a field says who the client is.
var IsForwarding = isForwarding
