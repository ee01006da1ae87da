package fleetapi

import (
	"fmt"
	"slices"
)

// classify returns the first row of the catalogue that fits an answer which is
// no success. There always is one: the last rows take everything.
func classify(op Operation, a answer) Refusal {
	for i := range catalogue {
		if catalogue[i].fits(op, a) {
			return catalogue[i]
		}
	}
	panic(fmt.Sprintf("fleetapi: no row of the catalogue fits status %d", a.status))
}

// find returns the row with the code.
func find(code ReasonCode) Refusal {
	i := slices.IndexFunc(catalogue, func(r Refusal) bool { return r.Code == code })
	return catalogue[i]
}

func (r *Refusal) fits(op Operation, a answer) bool {
	return !r.Local &&
		slices.Contains(r.Operations, op) &&
		r.fitsStatus(a.status) &&
		(len(r.Bodies) == 0 || slices.Contains(r.Bodies, a.body)) &&
		(r.Pattern == nil || a.body == BodyJSON && r.Pattern.MatchString(a.text)) &&
		(!r.Strict || a.fields["response"] != nil)
}

func (r *Refusal) fitsStatus(status int) bool {
	if len(r.Statuses) == 0 {
		return true
	}
	return slices.ContainsFunc(r.Statuses, func(s int) bool {
		switch {
		case s < 10:
			return status/100 == s
		case r.Pattern != nil && !r.Strict:
			return status/100 == s/100
		}
		return status == s
	})
}
