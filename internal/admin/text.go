package admin

import (
	"io"
	"strconv"
	"strings"
)

// A text writes gauges in the text formats of Prometheus, as the library does.
//
// Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and
// https://prometheus.io/docs/specs/om/open_metrics_spec/
type text struct {
	to   io.Writer
	open bool // OpenMetrics, whose numbers always have a point

	buffer []byte
	begun  bool // the head of the present metric is written
}

// chunk is how much is written at a time.
const chunk = 32 << 10

var (
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

// begin is called before the samples of each metric. One without any is not there.
func (t *text) begin() { t.begun = false }

// sample writes one line.
func (t *text) sample(m *metric, value float64, labels []string) {
	if !t.begun {
		t.begun = true
		t.head(m)
	}
	b := append(t.buffer, m.name...)
	for i, label := range labels {
		if i == 0 {
			b = append(b, '{')
		} else {
			b = append(b, ',')
		}
		b = append(append(b, m.labels[i]...), `="`...)
		if strings.ContainsAny(label, "\\\"\n") {
			label = labelEscapes.Replace(label)
		}
		b = append(append(b, label...), '"')
	}
	if len(labels) > 0 {
		b = append(b, '}')
	}
	t.buffer = append(t.number(append(b, ' '), value), '\n')
	if len(t.buffer) > chunk {
		t.flush()
	}
}

// head writes what comes before the samples.
func (t *text) head(m *metric) {
	help := helpEscapes
	if t.open {
		help = labelEscapes
	}
	t.buffer = append(t.buffer, "# HELP "+m.name+" "+help.Replace(m.help)+"\n# TYPE "+m.name+" gauge\n"...)
}

func (t *text) number(b []byte, value float64) []byte {
	begin := len(b)
	if value == 0 || value == 1 { // as most are
		b = append(b, '0'+byte(value))
	} else {
		b = strconv.AppendFloat(b, value, 'g', -1, 64)
	}
	if t.open && !strings.ContainsAny(string(b[begin:]), "e.") {
		b = append(b, ".0"...)
	}
	return b
}

// flush writes what is left. Who asked may be gone.
func (t *text) flush() {
	_, _ = t.to.Write(t.buffer)
	t.buffer = t.buffer[:0]
}
