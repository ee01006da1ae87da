package registrar

import (
	"slices"
	"strings"
	"unique"

	"wellkey/internal/finding"
	"wellkey/registrar/reach"
)

// A keptReport is a report as it is kept, for thousands of sites: of most of them
// the same was found, but for the name.
type keptReport struct {
	reach.Report // without its findings
	findings     []unique.Handle[finding.Finding]
	named        bool // theName stands for the domain
}

// theName is in no text that anybody saw.
const theName = "\x00"

func keepReport(r reach.Report) *keptReport {
	k := &keptReport{Report: r, findings: make([]unique.Handle[finding.Finding], len(r.Findings))}
	k.named = r.Domain != "" && !slices.ContainsFunc(r.Findings, func(f finding.Finding) bool { return strings.Contains(f.On+f.Seen+f.Cause+f.Fix, theName) })
	for i, f := range r.Findings {
		k.findings[i] = unique.Make(k.rename(f, r.Domain, theName))
	}
	k.Report.Findings, k.Report.Addresses = nil, slices.Clone(r.Addresses)
	return k
}

// whole returns the report as it was.
func (k *keptReport) whole() reach.Report {
	r := k.Report
	if len(k.findings) == 0 {
		return r
	}
	r.Findings = make([]finding.Finding, len(k.findings))
	for i, f := range k.findings {
		r.Findings[i] = k.rename(f.Value(), theName, r.Domain)
	}
	return r
}

func (k *keptReport) rename(f finding.Finding, from, to string) finding.Finding {
	if k.named {
		for _, text := range []*string{&f.On, &f.Seen, &f.Cause, &f.Fix} {
			*text = strings.ReplaceAll(*text, from, to)
		}
	}
	return f
}
