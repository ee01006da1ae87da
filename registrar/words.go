package registrar

import (
	"errors"
	"fmt"
	"time"

	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

// The registrar's own reasons; the others are those of reach and of the
// catalogue of refusals in fleetapi.
const (
	ReasonStarting        = "starting"
	ReasonNoCredentials   = "no_credentials"
	ReasonBadCredentials  = "bad_credentials"
	ReasonAsking          = "asking"
	ReasonRegistering     = "registering"
	ReasonNoKey           = "no_key"
	ReasonNoCertificate   = "no_certificate"
	ReasonSpreading       = "certificate_spreading"
	ReasonNotLooked       = "not_looked_yet"
	ReasonOtherKey        = "other_key_registered"
	ReasonRegionsDisagree = "regions_disagree"
	ReasonNoSharedKey     = "no_shared_key"
	ReasonStorageDown     = "storage_down"
	ReasonNotReadBack     = "not_read_back"
	ReasonOtherReadBack   = "other_key_read_back"
	ReasonUnreadableKey   = "unreadable_registered_key"
	ReasonInternal        = "internal"
)

// noteOf returns the words for one of the registrar's own reasons.
func noteOf(reason string) Note {
	n := Note{Reason: reason}
	switch reason {
	case ReasonNoCredentials:
		n.Seen = "There are no credentials of an application yet."
		n.Cause = "The application was not made in Tesla's portal yet, or its client id and secret were not given to wellkey."
		n.Fix = "Make the application at developer.tesla.com and put its client id and secret into the credentials file; they are picked up without a restart (with systemd's LoadCredential=, restart the service). " + portalRefuses
	case ReasonBadCredentials:
		n.Seen = "The credentials that were given cannot be used."
		n.Cause = "The file that holds them is malformed, incomplete, or cannot be read by wellkey."
		n.Fix = "Correct the file; it is picked up without a restart (with systemd's LoadCredential=, restart the service). \"wellkey serve --check-config\" checks it beforehand."
	case ReasonStarting:
		n.Seen = "Nothing was done for this region yet."
	case ReasonRegistering:
		n.Seen = "A registration is under way; Tesla downloads the key during it."
	case ReasonNotLooked:
		n.Seen = "The key was not looked at from outside yet, which comes before a registration."
		n.Fix = "Nothing: this passes within a minute."
	case ReasonAsking:
		n.Seen = "It is not known yet which key Tesla has on record."
		n.Cause = "Tesla is being asked, or did not answer. Cars trust the registered key, so nothing is made or registered before it is known."
		n.Fix = "Nothing, if this passes within a minute; else see the regions that did not answer."
	case ReasonNoKey:
		n.Seen = "There is no key to host yet."
		n.Cause = "A key is made only where Tesla says, in every region, that it has none."
		n.Fix = "Nothing, if this passes within a minute; else see the regions that did not answer."
	case ReasonNoCertificate:
		n.Seen = "There is no certificate for the domain yet, so Tesla could not download the key."
		n.Fix = "Nothing, if this passes within a minute; else see the certificate's own error."
	case ReasonSpreading:
		n.Seen = "The replicas are still taking the certificate up, and Tesla may download the key from any of them."
		n.Fix = "Nothing: this passes within a minute or two."
	case ReasonOtherKey:
		n.Cause = "The key was replaced here, or another host registered its own key for this domain and application. Cars trust the registered key only."
		n.Fix = "Put the private key that belongs to the registered key back. To replace the registered key on purpose, set accept_key to the fingerprint of the hosted key; every owner must then pair again."
	case ReasonNoSharedKey:
		n.Seen = "There is no key file here, and Tesla has no key on record."
		n.Cause = "Replicas share the storage, so a key that one of them makes would be another than those of the others."
		n.Fix = "Make one key with \"wellkey keygen\", and give the same file to every replica as key_file; it is picked up without a restart."
	case ReasonStorageDown:
		n.Seen = "The shared storage cannot be used, so Tesla is neither asked nor told anything."
		n.Cause = "Replicas act one at a time, under a lock in the storage, and on what the record there says."
		n.Fix = "Bring the storage back; \"wellkey doctor\" says what is wrong with it. All else goes on by itself."
	case ReasonRegionsDisagree:
		n.Seen = "Tesla has different keys on record in different regions, and there is no key here."
		n.Cause = "The key was replaced in one region only, and the local key was lost."
		n.Fix = "Put the private key in use back into key_file, or set accept_key to the fingerprint of the registered key that shall be hosted."
	}
	return n
}

// in returns n with the place where credentials belong, where that is the fix.
func (n Note) in(place string) Note {
	switch n.Reason {
	case ReasonNoCredentials:
		n.Fix = "Make the application at developer.tesla.com and put its client id and secret " + place + ". " + portalRefuses
	case ReasonBadCredentials:
		n.Fix = "Correct them: client id and secret belong " + place + ". \"wellkey serve --check-config\" checks them beforehand."
	}
	return n
}

// portalRefuses is what to do where the application cannot be made.
const portalRefuses = "If the portal refuses the domain, run \"wellkey doctor\": it names what the portal is known to dislike."

// notReadBack is the failure of a registration that was accepted but did not
// arrive.
func notReadBack(region fleetapi.Region, got, want keystore.Key) error {
	if got.IsZero() {
		return &ownError{ReasonNotReadBack, Note{
			Seen:  fmt.Sprintf("Tesla accepted the registration in %s, but reading it back finds none.", region),
			Cause: "Tesla's side lags behind; this passes.",
			Fix:   "Nothing: wellkey reads back and registers again. If it lasts for a day, ask Tesla's support.",
		}}
	}
	return &ownError{ReasonOtherReadBack, Note{
		Seen:  fmt.Sprintf("Tesla accepted the registration in %s, but reading it back gives key %s instead of %s.", region, got.Fingerprint(), want.Fingerprint()),
		Cause: "Tesla downloaded another key than the one that this host serves: a second host, or a cache between Tesla and this host, serves an old key.",
		Fix:   "Make sure that all addresses of the domain lead to this host, and empty the caches before it.",
	}}
}

// unreadableKey is the failure of an answer that holds no key we can read.
func unreadableKey(region fleetapi.Region, text string, err error) error {
	return &ownError{ReasonUnreadableKey, Note{
		Seen:  fmt.Sprintf("Tesla's answer in %s is no P-256 key: %.80q (%v).", region, text, err),
		Cause: "Tesla changed its answer, or the registration was made with something that is no P-256 key.",
		Fix:   "Nothing: wellkey asks again. If it lasts, please report it with this text.",
	}}
}

// ownError is a failure that Tesla does not call one.
type ownError struct {
	reason string
	note   Note
}

func (e *ownError) Error() string { return e.note.Seen }

// failureOf puts an error of a request into a Failure, without its times. The
// second result is the time before which Tesla asked not to come again.
func failureOf(op fleetapi.Operation, err error) (*Failure, time.Time) {
	if own, ok := errors.AsType[*ownError](err); ok {
		return &Failure{
			Operation: string(op), Reason: own.reason,
			Actor: fleetapi.ActorTesla, Retry: fleetapi.RetrySoon,
			What: own.note.Seen, Cause: own.note.Cause, Fix: own.note.Fix,
		}, time.Time{}
	}
	if refused, ok := errors.AsType[*fleetapi.Error](err); ok {
		return &Failure{
			Operation: string(refused.Operation), Reason: string(refused.Refusal.Code),
			Actor: refused.Refusal.Actor, Retry: refused.Refusal.Retry,
			What: refused.Error(), Cause: refused.Cause(), Fix: refused.Fix(), TxID: refused.TxID,
		}, refused.RetryAfter
	}
	return &Failure{
		Operation: string(op), Reason: ReasonInternal,
		Actor: fleetapi.ActorNobody, Retry: fleetapi.RetrySoon, What: err.Error(),
		Cause: "A fault in wellkey.", Fix: "Please report it with this text; wellkey goes on trying.",
	}, time.Time{}
}

// taken reports whether Tesla says that the key or the domain is registered
// already: by us, or by somebody else.
func taken(err error) bool {
	refused, ok := errors.AsType[*fleetapi.Error](err)
	return ok && (refused.Refusal.Code == fleetapi.KeyTaken || refused.Refusal.Code == fleetapi.DomainTaken)
}

func class(err error) fleetapi.Retry {
	f, _ := failureOf("", err)
	return f.Retry
}
