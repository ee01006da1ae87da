package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/phrase"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// An application follows the credentials, which may be written or changed while
// we run, and holds the client for those that were last good.
type application struct {
	site     *config.Site
	tesla    *fleetapi.Service
	claims   *claims
	log      *zap.Logger
	onChange func()
	current  atomic.Pointer[registrar.Application]

	mu     sync.Mutex // held while reloading; guards what follows
	used   fleetapi.Credentials
	readAt time.Time // when the files were last read anew and found good
	bad    bool      // they are not good now
	told   string    // the last fault that was logged; "" = they were good
}

func (a *application) get() registrar.Application { return *a.current.Load() }

// newApplication reads the credentials once. Faulty ones are reported: what
// depends on them waits until they are mended, and nothing else does.
func newApplication(site *config.Site, tesla *fleetapi.Service, claims *claims, log *zap.Logger) *application {
	a := &application{site: site, tesla: tesla, claims: claims, log: log.Named("credentials"), onChange: func() {}}
	a.current.Store(&registrar.Application{Place: place(site.Application)})
	if err := a.reload(true); err != nil {
		a.told = err.Error()
		a.log.Error("credentials not usable, so nothing is registered until they are fixed; the key is still served", zap.String("error", a.told))
	} else if a.used.IsZero() {
		a.log.Info("no credentials yet", zap.Strings("files", site.Application.Files()),
			zap.String("fix", "Make the application at developer.tesla.com, with the allowed origin https://"+site.Domain+
				", and write its client id and secret "+a.get().Place+"."))
	}
	return a
}

// place says where client id and secret belong, and what is to be done then.
func place(a config.Application) string {
	switch files := a.Files(); {
	case a.PassedOn:
		return "into the file that LoadCredential= of the unit names, such as /etc/wellkey/credentials.yaml; then restart the service, since systemd hands it over at the start"
	case a.Options:
		return "under Configuration in Home Assistant; then restart the app"
	case len(files) == 0:
		return "into the settings client_id and client_secret; then restart wellkey"
	default:
		return "into " + phrase.List(files) + "; they are picked up without a restart"
	}
}

// look reads the files once, and logs what is newly wrong with them.
func (a *application) look() {
	fault := ""
	if err := a.reload(false); err != nil {
		fault = err.Error()
	}
	a.mu.Lock()
	news := fault != "" && fault != a.told
	a.told = fault
	a.mu.Unlock()
	if news {
		a.log.Error("credentials not usable; the last good ones stay in use", zap.String("error", fault))
	}
}

// reload reads the credentials and, where they changed, makes a client of them.
// Always tells that somebody wants to know, so that the time counts also where
// nothing changed.
func (a *application) reload(always bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed, err := a.take()
	a.tell(err)
	if err == nil && (always || changed || a.bad) {
		a.readAt = time.Now()
	}
	a.bad = err != nil
	return err
}

// state returns whether the files are good, and when they were last read anew
// and were.
func (a *application) state() (good bool, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.bad, a.readAt
}

// take is reload with mu held.
func (a *application) take() (changed bool, err error) {
	id, key, err := a.site.Application.Load()
	if err != nil {
		return false, err
	}
	credentials := fleetapi.Credentials{ClientID: id, ClientSecret: key}
	if credentials == a.used {
		return false, nil
	}
	if credentials.IsZero() {
		return false, errors.New("the client id or the client secret has vanished: write them again")
	}
	if err := a.claims.application(a.site.Domain, id); err != nil {
		return false, err
	}
	client, err := a.tesla.Client(credentials)
	if err != nil {
		return false, err
	}
	a.used = credentials
	a.current.Store(&registrar.Application{ClientID: id, Digest: digest(credentials), API: client})
	a.log.Info("credentials in use", zap.String("client_id", id))
	a.onChange()
	return true, nil
}

// tell shows why there are no credentials, where there were none before.
func (a *application) tell(fault error) {
	text := ""
	if fault != nil {
		text = fault.Error()
	}
	if a.used.IsZero() && text != a.get().Fault {
		a.current.Store(&registrar.Application{Fault: text, Place: a.get().Place})
		a.onChange()
	}
}

// digest tells credentials apart without revealing them: it is kept on disk to
// know whether a refusal was for these. The secret is random and long, so its
// truncated hash gives nothing away.
func digest(c fleetapi.Credentials) string {
	sum := sha256.Sum256([]byte("wellkey application\x00" + c.ClientID + "\x00" + c.ClientSecret.Reveal()))
	return hex.EncodeToString(sum[:8])
}
