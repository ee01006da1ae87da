package keystore

import "maps"

// OpenOn is Open on file systems of which modeless tells whether they keep no
// permissions.
var OpenOn = open

// KeepsNoModes is the probe that Open uses.
var KeepsNoModes = keepsNoModes

// Refusals gives the words of every reason.
func Refusals() map[Reason]ParseError { return maps.Clone(refusals) }

// Refuse returns the refusal of reason in its usual words.
var Refuse = refuse

// CrashAt makes r stop before its n-th step, counted from 1, and every step after
// it, as if the power had failed there. It reports how many steps were begun.
func CrashAt(r *Rotation, n int, crash error) *int {
	steps := new(int)
	r.reached = func(string) error {
		if *steps++; *steps >= n {
			return crash
		}
		return nil
	}
	return steps
}

// Look is Store.Look, and what it logs.
func Look(s *Store) error { return s.look(false) }

// Explain is what a Rotation says where the key file cannot be written.
func Explain(r *Rotation, err error) error { return r.explain(err) }
