package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"wellkey/internal/phrase"
	"wellkey/keystore"
)

// explain shows both keys and what it means to publish the new one.
func (r *rotation) explain() {
	out := r.out
	out.Print("A new key is staged. The old one is in use, and nothing is published yet.\n\n")
	r.showKey("in use", r.current)
	r.showKey("new", r.staged)
	r.showRegions()
	out.Printf("\nWhat publishing it means for %s:\n", r.settings.Domain)
	private := "Swap the private key of the command proxy at the same time: give it the one that belongs to the new key."
	if r.staged.Private {
		private = fmt.Sprintf("Swap the private key of the command proxy at the same time: the new one is in %s, and then in %s.", r.staged.Path, r.settings.KeyFile)
	}
	points := []string{
		"Every owner must pair again, with " + r.settings.Regions[0].PairingLink(r.settings.Domain) + ". Until then their cars refuse what is signed with the new key. " +
			"The old key stays on a car until its owner removes it there.",
		private,
		"Wellkey registers the new key over the old one in " + phrase.List(r.regionNames()) + ", and over no other key than those shown above.",
		"Caches may give out the old key for 5 more minutes (Cache-Control: max-age=300).",
		"The old key goes into the archive, and --rollback puts it back, until a region has registered the new one.",
	}
	if r.lost() {
		points = append(points, "The key file is gone. If the private half of the old key is kept elsewhere, give this up with --abort. Then put its public half back to "+
			r.settings.KeyFile+", and no owner need pair again; or make the new key there, too, and give it with --new-key.")
	}
	for _, point := range points {
		out.Print("  - " + out.Wrap(4, point) + "\n")
	}
}

func (r *rotation) showKey(name string, k keystore.Stored) {
	half := "public half only"
	if k.Private {
		half = "with its private half"
	}
	r.out.Printf("  %-8s  %s\n            %s\n", name, r.out.Bold(k.Key.Fingerprint()), r.out.Dim(k.Path+", "+half))
}

// showRegions shows what Tesla last said.
func (r *rotation) showRegions() {
	for i, region := range r.regions {
		name := ""
		if i == 0 {
			name = "at Tesla"
		}
		said := "not known"
		if region.Known {
			said = r.nameOf(region.Key) + ", asked " + ago(time.Since(region.AnsweredAt))
		}
		r.out.Printf("  %-8s  %s: %s\n", name, region.Region, said)
	}
}

// nameOf says which key of the rotation it is.
func (r *rotation) nameOf(k keystore.Key) string {
	switch {
	case k.IsZero():
		return "no key"
	case k == r.current.Key:
		return "the key in use"
	case k == r.staged.Key:
		return "the new key"
	case k.Fingerprint() == r.acceptance.Former:
		return "the old key"
	case r.published() && !slices.Contains(r.acceptance.Over, k.Fingerprint()):
		return "another key, " + k.Fingerprint() + ", which is not replaced"
	}
	if !r.staged.Key.IsZero() {
		return "another key, " + k.Fingerprint() + ", which is replaced, too"
	}
	return "another key, " + k.Fingerprint()
}

func (r *rotation) regionNames() []string {
	var names []string
	for _, region := range r.settings.Regions {
		names = append(names, string(region))
	}
	return names
}

// tellPublished says what was done and what is left to do.
func (r *rotation) tellPublished(ctx context.Context) error {
	out := r.out
	out.Print("\nPublished the new key.\n\n")
	out.Printf("  in use    %s\n            %s\n", out.Bold(r.staged.Key.Fingerprint()), out.Dim(r.settings.KeyFile))
	out.Printf("  archived  %s\n            %s\n\n", r.acceptance.Former, out.Dim(r.archivedPath(r.acceptance.Former)))
	next := "The wellkey that runs picks it up within seconds and registers it"
	if err := healthcheck(ctx, r.settings.Admin()); err != nil {
		next = "No wellkey answers on its admin listener; when one runs, it registers the new key"
	}
	swap := "Give the command proxy the private key that belongs to it now."
	if r.staged.Private {
		swap = "Give the command proxy the private key in " + r.settings.KeyFile + " now."
	}
	for _, line := range []string{
		next + " in " + phrase.List(r.regionNames()) + "; " + r.command() + " --status shows how far it is.",
		swap,
		"Then have every owner open " + r.settings.Regions[0].PairingLink(r.settings.Domain) + " again.",
	} {
		out.Print(out.Wrap(0, line) + "\n")
	}
	return out.Err()
}

// A rotationView is the rotation as "rotate --status --json" gives it.
type rotationView struct {
	Domain      string       `json:"domain"`
	Phase       phase        `json:"phase"`
	Current     *keyView     `json:"current"` // null: there is no key
	Staged      *keyView     `json:"staged"`  // null: none is
	Former      *keyView     `json:"former"`  // what the last rotation replaced; null: there was none
	ConfirmedAt time.Time    `json:"confirmed_at,omitzero"`
	Regions     []regionView `json:"regions"`
}

type keyView struct {
	Fingerprint string `json:"fingerprint"`
	Path        string `json:"path,omitempty"`
	PrivateHalf bool   `json:"private_half"`
}

type regionView struct {
	Region                string    `json:"region"`
	Answered              bool      `json:"answered"` // Tesla said which key it has
	RegisteredFingerprint string    `json:"registered_fingerprint,omitempty"`
	AnsweredAt            time.Time `json:"answered_at,omitzero"`
}

// A phase says how far a rotation is. It is one of a closed set.
type phase string

const (
	phaseNone       phase = "none"        // there was none
	phaseStaged     phase = "staged"      // a new key waits to be confirmed
	phaseConfirmed  phase = "confirmed"   // confirmed, but cut off before it was published
	phasePublished  phase = "published"   // in use, but not registered everywhere
	phaseRegistered phase = "registered"  // done
	phaseUndoing    phase = "undoing"     // a rollback was cut off
	phaseRolledBack phase = "rolled_back" // the old key is in use again
)

func (r *rotation) phase() phase {
	current := r.current.Key.Fingerprint()
	switch {
	case r.confirmed():
		return phaseConfirmed
	case !r.staged.Key.IsZero():
		return phaseStaged
	case r.acceptance.Key == "":
		return phaseNone
	case r.published():
		for _, region := range r.regions {
			if region.Key != r.current.Key {
				return phasePublished
			}
		}
		return phaseRegistered
	case !r.acceptance.Withdrawn.IsZero() && current == r.acceptance.Key:
		return phaseUndoing
	case !r.acceptance.Withdrawn.IsZero() && current == r.acceptance.Former:
		return phaseRolledBack
	}
	return phaseNone
}

// words says of each phase where the rotation stands and what comes next; command is
// what to type for it.
func (p phase) words(command string) (stands, next string) {
	switch p {
	case phaseStaged:
		return "A new key is staged; nothing is published yet.", "Publish it with " + command + ", or give it up with " + command + " --abort."
	case phaseConfirmed:
		return "The new key is confirmed, but its publication was cut off.", "Run " + command + " again: it goes on."
	case phasePublished:
		return "The new key is published, and not registered everywhere yet.", "A running wellkey registers it; wellkey status says what holds it up."
	case phaseRegistered:
		return "The rotation is done: the new key is registered in every region.", "Every owner must pair again, if they did not yet."
	case phaseUndoing:
		return "A rollback was cut off.", "Run " + command + " --rollback again: it goes on."
	case phaseRolledBack:
		return "The last rotation was taken back: the old key is in use.", ""
	}
	return "No rotation is under way.", ""
}

func (r *rotation) showStatus(asJSON bool) error {
	phase := r.phase()
	var code error
	switch phase {
	case phaseStaged, phaseConfirmed, phasePublished, phaseUndoing:
		code = exitCode(exitUndecided)
	}
	if asJSON {
		if err := printJSON(r.process.Stdout, r.view(phase)); err != nil {
			return fmt.Errorf("printing the status: %w", err)
		}
		return code
	}
	stands, next := phase.words(r.command())
	r.out.Print(r.out.Wrap(0, r.out.Bold(stands)) + "\n\n")
	if !r.current.Key.IsZero() {
		r.showKey("in use", r.current)
	}
	if !r.staged.Key.IsZero() {
		r.showKey("new", r.staged)
	}
	if former := r.former(); former != nil && phase != phaseRolledBack {
		r.out.Printf("  %-8s  %s\n            %s\n", "old", former.Fingerprint, r.out.Dim(former.Path))
	}
	r.showRegions()
	if next != "" {
		r.out.Print("\n" + r.out.Wrap(0, next) + "\n")
	}
	if err := r.out.Err(); err != nil {
		return err
	}
	return code
}

func (r *rotation) view(p phase) rotationView {
	v := rotationView{Domain: r.settings.Domain, Phase: p, Current: viewOf(r.current), Staged: viewOf(r.staged),
		Former: r.former(), ConfirmedAt: r.acceptance.At}
	for _, region := range r.regions {
		v.Regions = append(v.Regions, regionView{string(region.Region), region.Known, region.Key.Fingerprint(), region.AnsweredAt})
	}
	return v
}

func viewOf(k keystore.Stored) *keyView {
	if k.Key.IsZero() {
		return nil
	}
	return &keyView{k.Key.Fingerprint(), k.Path, k.Private}
}

// former returns the key that the last rotation replaced; nil if there was none.
func (r *rotation) former() *keyView {
	if r.acceptance.Former == "" {
		return nil
	}
	v := &keyView{Fingerprint: r.acceptance.Former}
	if stored, err := r.files.Archived(r.acceptance.Former); err == nil {
		v.Path, v.PrivateHalf = stored.Path, stored.Private
	}
	return v
}

// ago says how long ago something was.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f seconds ago", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f minutes ago", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f hours ago", d.Hours())
	}
	return fmt.Sprintf("%.0f days ago", d.Hours()/24)
}
