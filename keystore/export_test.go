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
