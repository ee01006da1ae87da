package registrar_test

import (
	"testing"

	"wellkey/keystore"
	. "wellkey/registrar"
)

// steps are what a site is most often found like: as it should be, and new.
var steps = map[string]func() Observation{
	"registered": func() Observation {
		o := ready()
		o.Record.Answer = answer(o.Key)
		return o
	},
	"new": func() Observation {
		o := ready()
		o.Record.Answer = answer(keystore.Key{})
		return o
	},
}

// BenchmarkDecide is the pure part of a step, without what is observed and done.
func BenchmarkDecide(b *testing.B) {
	for name, step := range steps {
		b.Run(name, func(b *testing.B) {
			o := step()
			b.ReportAllocs()
			for b.Loop() {
				Decide(o)
			}
		})
	}
}
