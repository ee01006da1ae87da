package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The measures of the plot, in its own units.
const (
	plotWidth  = 900
	plotMargin = 12
	labelWidth = 230
	rowHeight  = 20
	headHeight = 34
	scaleWidth = plotWidth - labelWidth - 140
)

// The scale of the plot is logarithmic: half as much is as far from 1 as twice as much.
const (
	plotLeast = 1. / 16
	plotMost  = 16.
)

func plotX(ratio float64) float64 {
	ratio = min(max(ratio, plotLeast), plotMost)
	return labelWidth + scaleWidth*math.Log(ratio/plotLeast)/math.Log(plotMost/plotLeast)
}

// plot draws, for each scenario, what every server needs beside its reference, with
// the intervals. It has a background of its own, light or dark as the reader has it:
// that of the page around it may be neither.
func (r *results) plot() string {
	var b strings.Builder
	y := 30.
	for _, s := range scenarios {
		got := r.Scenarios[s.name]
		if got == nil {
			continue
		}
		reference := s.reference()
		title := s.title + ", beside " + titleOf(reference)
		if got.Void != "" {
			title += " (void)"
		}
		fmt.Fprintf(&b, "<text class=\"h\" x=\"4\" y=\"%.0f\">%s</text>\n", y+20, html.EscapeString(title))
		y += headHeight
		if got.Void != "" {
			continue
		}
		for _, name := range s.peers {
			ratio := got.ratio(name, reference)
			if ratio.Mid == 0 {
				continue
			}
			class := "p"
			if name == wellkey || name == wellkeyMany {
				class = "w"
			}
			middle := y + rowHeight/2
			fmt.Fprintf(&b, "<text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%s</text>\n", labelWidth-8, middle+4, html.EscapeString(titleOf(name)))
			fmt.Fprintf(&b, "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", class, plotX(ratio.Low), plotX(ratio.High), middle, middle)
			fmt.Fprintf(&b, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>\n", class, plotX(ratio.Mid), middle)
			fmt.Fprintf(&b, "<text x=\"%d\" y=\"%.0f\">%.2f× [%.2f–%.2f]</text>\n", plotWidth-125, middle+4, ratio.Mid, ratio.Low, ratio.High)
			y += rowHeight
		}
	}
	var axis strings.Builder
	for _, at := range []float64{1. / 8, 1. / 4, 1. / 2, 1, 2, 4, 8} {
		class := "g"
		if at == 1 {
			class = "o"
		}
		fmt.Fprintf(&axis, "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"22\" y2=\"%.0f\"/>\n", class, plotX(at), plotX(at), y)
		fmt.Fprintf(&axis, "<text x=\"%.1f\" y=\"14\" text-anchor=\"middle\">%s×</text>\n", plotX(at), fraction(at))
	}
	fmt.Fprintf(&b, "<text x=\"4\" y=\"%.0f\">What each needs beside the one that is named: less, to the left, is better. A dot is the median, its line the 90 %% interval.</text>\n", y+24)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="%[1]d %[1]d %[2]d %[3]d" role="img" aria-label="What every server needs in each scenario">
<style>
text { font: 12px sans-serif; fill: #333 } .h { font-weight: bold }
.b { fill: #fff } .g { stroke: #999; stroke-opacity: .35 } .o { stroke: #777 }
.p { stroke: #777; fill: #777; stroke-width: 2 } .w { stroke: #c60; fill: #c60; stroke-width: 3 }
@media (prefers-color-scheme: dark) { .b { fill: #161b22 } text { fill: #ddd } .p { stroke: #aaa; fill: #aaa } .w { stroke: #fa4; fill: #fa4 } }
</style>
<rect class="b" x="%[1]d" y="%[1]d" width="%[2]d" height="%[3]d" rx="8"/>
%[4]s%[5]s</svg>
`, -plotMargin, plotWidth+2*plotMargin, int(y)+30+2*plotMargin, axis.String(), b.String())
}

// fraction writes a mark of the scale.
func fraction(f float64) string {
	if f < 1 {
		return fmt.Sprintf("1/%.0f", 1/f)
	}
	return fmt.Sprintf("%.0f", f)
}

// reference returns whom the plot of a scenario compares with.
func (s *scenario) reference() string {
	switch s.name {
	case "many-cpu":
		return wellkey
	case "size":
		return caddy
	}
	return nginx
}
