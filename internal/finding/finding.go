// Package finding holds the result of one check in the words that every face of
// wellkey shares: the log, the doctor, the status page and its JSON.
package finding

// A Status says how a check ended. It is one of a closed set.
type Status string

// The statuses of a check.
const (
	OK      Status = "ok"      // as it must be
	Warn    Status = "warn"    // works, but somebody should look
	Fail    Status = "fail"    // something must be fixed
	Unknown Status = "unknown" // could not be decided from here
	Skipped Status = "skipped" // not asked, because an earlier check failed or it does not apply
)

// A Finding is the result of one check. Texts are whole sentences for the
// operator; whatever came from outside is already quoted and cut in them, and no
// text ever holds a secret.
type Finding struct {
	ID     string `json:"id"`              // stable name of the check, such as "tls_chain"
	Status Status `json:"status"`          // how it ended
	On     string `json:"on,omitempty"`    // what it was asked of, where there are several: an address, a region
	Seen   string `json:"seen"`            // what was seen
	Cause  string `json:"cause,omitempty"` // the likely cause, unless Status is OK
	Fix    string `json:"fix,omitempty"`   // what to do, unless Status is OK
}
