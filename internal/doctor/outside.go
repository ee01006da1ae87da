package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"wellkey/internal/config"
	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/keystore"
	"wellkey/registrar/reach"
)

// domainGroup gives domain and domain_name.
func domainGroup(s config.Spelling) Group {
	g := Group{Name: NameDomain}
	switch {
	case s.What == "":
		g.Findings = append(g.Findings, ok(idDomain, "", s.Domain+" is a bare host name."))
	case s.Domain == "":
		g.Findings = append(g.Findings, finding.Finding{ID: idDomain, Status: finding.Fail, Seen: s.What + ".",
			Cause: "Tesla registers one public host name, and nothing else.", Fix: phrase.Sentence(s.Fix)})
	default:
		g.Findings = append(g.Findings, finding.Finding{ID: idDomain, Status: finding.Fail, Seen: s.What + ".",
			Cause: "Tesla refuses every spelling but the bare, lower-case host name. The other checks are about " + s.Domain + ".",
			Fix:   phrase.Sentence(s.Fix + ", here and wherever the domain is registered")})
	}
	for _, warning := range s.Warnings {
		g.Findings = append(g.Findings, finding.Finding{ID: idDomainName, Status: finding.Warn, Seen: phrase.Sentence(warning),
			Cause: "The name was chosen before these rules were known.", Fix: "Choose another name, unless Tesla has accepted this one already: owners see it in the Tesla app, and a change makes every owner pair again."})
	}
	return g
}

// nameOf returns the group to which a finding of reach belongs.
func nameOf(f finding.Finding) Name {
	switch {
	case strings.HasPrefix(f.ID, "key_"):
		return NameKey
	case f.ID == "clock":
		return NameClock
	case f.On != "":
		return NameAddress
	}
	return NameDNS
}

// lookGroups returns the findings of the look from outside and of the local key
// by subject.
func lookGroups(look reach.Report, local Local) []Group {
	dns, key, clock := Group{Name: NameDNS}, Group{Name: NameKey}, Group{Name: NameClock}
	addresses := make([]Group, len(look.Addresses))
	for i, a := range look.Addresses {
		addresses[i] = Group{Name: NameAddress, On: a.IP.String()}
	}
	for _, f := range look.Findings {
		if slices.Contains(untold, f.ID) {
			continue
		}
		switch nameOf(f) {
		case NameKey:
			key.Findings = append(key.Findings, f)
		case NameClock:
			clock.Findings = append(clock.Findings, f)
		case NameAddress:
			i := slices.IndexFunc(addresses, func(g Group) bool { return g.On == f.On })
			addresses[i].Findings = append(addresses[i].Findings, f)
		default:
			dns.Findings = append(dns.Findings, f)
		}
	}
	if look.Verdict != reach.Reachable && look.Deciding().Seen == "" {
		dns.Findings = append(dns.Findings, finding.Finding{ID: idLook, Status: finding.Unknown,
			Seen:  "The look from outside did not come to an end (" + look.Reason + ").",
			Cause: "It was interrupted, or it is a fault of wellkey.", Fix: "Run it again; if it stays, please report it."})
	}
	key.Findings = merge(key.Findings, len(addresses))
	if local.Key.IsZero() { // else key_match tells which address has another one
		key.Findings = append(key.Findings, keySame(look)...)
	}
	key.Findings = append(key.Findings, keyLocal(local))
	clock.Findings = merge(clock.Findings, len(addresses))
	return slices.Concat([]Group{dns}, addresses, []Group{key, clock})
}

// merge tells once, without an address, what is the same at all addresses, and
// keeps the order of the checks.
func merge(findings []finding.Finding, addresses int) []finding.Finding {
	var ids []string
	byID := map[string][]finding.Finding{}
	for _, f := range findings {
		if byID[f.ID] == nil {
			ids = append(ids, f.ID)
		}
		byID[f.ID] = append(byID[f.ID], f)
	}
	var merged []finding.Finding
	for _, id := range ids {
		all := byID[id]
		first := all[0]
		first.On = ""
		differs := func(f finding.Finding) bool { f.On = ""; return f != first }
		if len(all) == addresses && !slices.ContainsFunc(all, differs) {
			all = []finding.Finding{first}
		}
		merged = append(merged, all...)
	}
	return merged
}

// published returns the different keys that the addresses of the domain give.
func published(look reach.Report) []keystore.Key {
	var keys []keystore.Key
	for _, a := range look.Addresses {
		if !a.Key.IsZero() && !slices.Contains(keys, a.Key) {
			keys = append(keys, a.Key)
		}
	}
	return keys
}

// keySame gives key_same: do all addresses that give a key give the same?
func keySame(look reach.Report) []finding.Finding {
	var said []string
	for _, a := range look.Addresses {
		if !a.Key.IsZero() {
			said = append(said, fmt.Sprintf("%s gives %s", a.IP, a.Key.Fingerprint()))
		}
	}
	switch {
	case len(said) < 2:
		return nil
	case len(published(look)) == 1:
		return []finding.Finding{ok(idKeySame, "", fmt.Sprintf("All %d addresses that give a key give the same.", len(said)))}
	}
	return []finding.Finding{{ID: idKeySame, Status: finding.Fail, Seen: "The addresses give different keys: " + strings.Join(said, "; ") + ".",
		Cause: "The addresses belong to different hosts, one of which has another key or an older one.",
		Fix:   "Publish the same key at every address, or delete the record of the one that is left over: which one Tesla or a phone meets is chance."}}
}

// keyLocal gives key_local: can the key of this machine be compared? That it is
// the published one is key_match.
func keyLocal(l Local) finding.Finding {
	switch {
	case l.Path == "":
		return finding.Finding{ID: idKeyLocal, Status: finding.Skipped, Seen: "No key file is set for this domain, so there is nothing to compare with."}
	case l.Err != nil:
		return unreadable(l.Err)
	case l.Key.IsZero():
		return finding.Finding{ID: idKeyLocal, Status: finding.Skipped, Seen: fmt.Sprintf("There is no key file %q here, so there is nothing to compare with.", l.Path)}
	case len(l.Warnings) > 0:
		return finding.Finding{ID: idKeyLocal, Status: finding.Warn, Seen: phrase.Sentence(strings.Join(l.Warnings, "; ")),
			Cause: fmt.Sprintf("The key file %q was made by hand or copied.", l.Path), Fix: "Do as it says; the key itself is good."}
	}
	return ok(idKeyLocal, "", fmt.Sprintf("The key file holds %s.", l.Key.Fingerprint()))
}

// unreadable is key_local where there is a key file that is of no use: to this
// user, or to anybody.
func unreadable(err error) finding.Finding {
	f := finding.Finding{ID: idKeyLocal, Status: finding.Fail, Seen: phrase.Sentence(err.Error()),
		Cause: "The key file is damaged, is another file, or others may read the private key in it.",
		Fix:   "Put the right file where key_file says, with mode 0600: wellkey does not start with this one."}
	if errors.Is(err, fs.ErrPermission) {
		f.Status = finding.Unknown
		f.Cause, f.Fix = "This user may not read the key file.", "Run the doctor as the user that wellkey runs as."
	}
	return f
}
