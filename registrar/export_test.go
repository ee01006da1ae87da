package registrar

import "wellkey/registrar/reach"

// Kept returns a report as it was kept.
func Kept(r reach.Report) reach.Report { return keepReport(r).whole() }

type (
	Observation    = observation
	Decision       = decision
	Look           = look
	Record         = record
	KeyObservation = keyObservation
	KeyDecision    = keyDecision
)

const (
	Wait     = wait
	Ask      = ask
	Register = register

	KeyWait     = keyWait
	KeyGenerate = keyGenerate
	KeyRestore  = keyRestore
)

var (
	Decide     = decide
	DecideKey  = decideKey
	Backoff    = backoff
	CountAfter = countAfter
	Waits      = waits
	RecordKey  = recordKey
	LoadRecord = loadRecord
	Loaded     = record.loaded
	Hurried    = (*Failure).hurried
	NoteOf     = noteOf

	AcceptanceKey = acceptanceKey
)
