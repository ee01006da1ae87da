package registrar

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"wellkey/keystore"
	"wellkey/registrar/reach"
)

// show notes a decision and logs it if it changed anything: one line a change.
func (s *site) show(r *region, d decision) {
	key := s.Keys.Key()
	app := s.Application()
	s.mu.Lock()
	was := r.shown
	r.shown = d
	changed := was.State != d.State || was.Reason != d.Reason
	if changed || r.since.IsZero() {
		r.since = time.Now()
	}
	now := s.regionSnapshot(r, app, key)
	complete := changed && d.State == Registered && s.allRegistered() // true for the last region only
	s.mu.Unlock()
	if !changed {
		return
	}
	note := now.Note
	if levelOf(d) < zapcore.WarnLevel {
		note = Note{Reason: note.Reason} // the status has the words; here nobody needs them
	}
	fields := append([]zap.Field{zap.String("state", string(d.State))}, noteFields(note)...)
	if now.Failure != nil && now.Failure.TxID != "" {
		fields = append(fields, zap.String("txid", now.Failure.TxID))
	}
	if !now.Registered.IsZero() {
		fields = append(fields, zap.String("registered_fingerprint", now.Registered.Fingerprint()))
	}
	if !d.Next.IsZero() {
		fields = append(fields, zap.Time("next", d.Next))
	}
	s.regionLog(r).Log(levelOf(d), "registration", fields...)
	if complete {
		s.log().Info("registered in every region; owners can pair their cars", zap.String("pairing_link", r.name.PairingLink(s.Domain)))
	}
}

// logReplacement logs that a registration is about to replace another key: the
// one request that cannot be taken back.
func (s *site) logReplacement(r *region, app Application, key keystore.Key) {
	s.mu.Lock()
	answer := r.record.answerFor(app.ClientID)
	s.mu.Unlock()
	if answer == nil {
		return
	}
	if former := answer.Registered(); !former.IsZero() && former != key {
		s.regionLog(r).Warn("replacing the registered key, as the operator accepted; every owner must pair again",
			zap.String("fingerprint", key.Fingerprint()), zap.String("former_fingerprint", former.Fingerprint()))
	}
}

// allRegistered is called with s.mu held.
func (s *site) allRegistered() bool {
	for _, r := range s.regions {
		if r.shown.State != Registered {
			return false
		}
	}
	return true
}

// levelOf says who should read of a decision: nobody while a request is under
// way, a person when one must act.
func levelOf(d decision) zapcore.Level {
	switch d.State {
	case Mismatch, Refused:
		return zapcore.ErrorLevel
	case Unreachable, Unavailable:
		return zapcore.WarnLevel
	}
	switch d.Reason {
	case ReasonAsking, ReasonRegistering, ReasonStarting:
		return zapcore.DebugLevel
	}
	return zapcore.InfoLevel
}

// logLook logs a look from outside whose outcome is new.
func (s *site) logLook(report reach.Report) {
	found := report.Deciding()
	fields := noteFields(Note{Reason: report.Reason, Seen: found.Seen, Cause: found.Cause, Fix: found.Fix})
	switch report.Verdict {
	case reach.Reachable:
		s.log().Info("key reachable from outside", zap.Int("addresses", len(report.Addresses)))
	case reach.Unreachable:
		s.log().Error("key not reachable from outside", fields...)
	default:
		s.log().Warn("reachability inconclusive from here", fields...)
	}
}

func reasonFields(reason string) []zap.Field { return noteFields(noteOf(reason)) }

func noteFields(n Note) []zap.Field {
	var fields []zap.Field
	for _, f := range []struct{ name, value string }{
		{"reason", n.Reason}, {"seen", n.Seen}, {"cause", n.Cause}, {"fix", n.Fix},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.name, f.value))
		}
	}
	return fields
}

func failureFields(f *Failure) []zap.Field {
	return append(noteFields(Note{Reason: f.Reason, Seen: f.What, Cause: f.Cause, Fix: f.Fix}),
		zap.String("operation", f.Operation), zap.Int("attempt", f.Count),
		zap.Duration("retry_in", f.Next.Sub(f.At)), zap.String("txid", f.TxID))
}
