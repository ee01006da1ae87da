package pattern_test

import (
	"reflect"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/pattern"
)

// TestAsRegexp: what a Pattern finds is what package regexp finds.
func TestAsRegexp(t *testing.T) {
	t.Parallel()
	p := pattern.New(`(\d+)s`)
	if !p.MatchString("7s") || p.MatchString("7") {
		t.Error("MatchString is not regexp's")
	}
	if got := p.FindString("in 7s"); got != "7s" {
		t.Errorf("FindString: %q", got)
	}
	if got := p.FindStringSubmatch("in 7s"); !reflect.DeepEqual(got, []string{"7s", "7"}) {
		t.Errorf("FindStringSubmatch: %q", got)
	}
	if got := p.FindAllStringIndex("7s 12s", -1); !reflect.DeepEqual(got, [][]int{{0, 2}, {3, 6}}) {
		t.Errorf("FindAllStringIndex: %v", got)
	}
	if p.String() != `(\d+)s` {
		t.Errorf("String: %s", p)
	}
}

// TestCompiledAtFirstUse: a pattern costs nothing until it is asked.
func TestCompiledAtFirstUse(t *testing.T) {
	t.Parallel()
	wrong := pattern.New(`(`)
	if wrong.String() != "(" {
		t.Errorf("String: %s", wrong)
	}
	defer func() {
		if recover() == nil {
			t.Error("a wrong expression is taken")
		}
	}()
	wrong.MatchString("")
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
