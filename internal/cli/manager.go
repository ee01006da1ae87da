package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/pause"
	"wellkey/internal/systemd"
)

// inherit gives the sockets that the service manager has bound to the listeners,
// in the place of their addresses.
func (d *daemon) inherit(settings *config.Settings) error {
	key := "https"
	if settings.TLS.Mode == config.TLSOff {
		key = "http"
	}
	sockets, err := systemd.Sockets(key)
	if err != nil {
		return &usageError{err}
	}
	for name, l := range sockets {
		taken := false
		if name != "admin" {
			taken = d.server.Inherit(name, l)
		} else if d.admin != nil {
			d.admin.Inherit(l)
			taken = true
		}
		if !taken {
			_ = l.Close()
			d.log.Warn("systemd holds the socket of a listener that the settings switch off, so its visitors get no answer",
				zap.String("listener", name), zap.String("fix", "systemctl mask --now wellkey-"+name+".socket, or set "+name+"_addr"))
		}
	}
	return nil
}

// How often the manager is told how we stand.
const (
	tellEvery  = 10 * time.Second
	tellAtOnce = 50 * time.Millisecond // until we serve
)

// tellManager tells the service manager when we serve, in one line how we stand,
// and, if it keeps a watchdog, that we are alive. That is found out by a visit to
// our own listeners, so a process that hangs is silent, and is started again.
func (d *daemon) tellManager(ctx context.Context) error {
	if !systemd.Present() {
		<-ctx.Done()
		return nil
	}
	every, watchdog := tellEvery, systemd.Watchdog()
	if watchdog > 0 {
		every = min(every, watchdog/3)
	}
	ready, said, failed := false, "", false
	tell := func(err error) {
		if err != nil && !failed {
			d.log.Warn("the state cannot be reported to the service manager", zap.Error(err),
				zap.String("fix", "Keep Type=notify and NotifyAccess= of the unit as shipped, and let wellkey reach the socket in NOTIFY_SOCKET; otherwise systemd ends the service when its start or its watchdog times out."))
		}
		failed = err != nil
	}
	for {
		if !ready && d.serves() {
			tell(systemd.Ready())
			ready = true
		}
		if now := d.sentence(); now != said {
			tell(systemd.Status(now))
			said = now
		}
		if watchdog > 0 && d.alive(ctx, every) {
			tell(systemd.Alive())
		}
		wait := every
		if !ready {
			wait = tellAtOnce
		}
		if pause.For(ctx, wait) != nil {
			return nil
		}
	}
}

// serves reports whether the listener of the key has its address.
func (d *daemon) serves() bool {
	states := d.server.Listeners()
	return len(states) > 0 && states[0].Bound // HTTPS comes first, where it is on
}

// alive reports whether our listeners answer within patience. The snapshots are
// taken since a lock that nobody gives back would keep them.
func (d *daemon) alive(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := d.server.Answers(ctx); err != nil {
		d.log.Error("wellkey does not answer itself; the service manager will restart it if that goes on", zap.Error(err),
			zap.String("fix", "Nothing if it comes once, as on a machine that is overloaded or was asleep. If it comes again, see what takes the processor or the memory, and report it with the log before the restart."))
		return false
	}
	d.registrar.Snapshot()
	d.certificates.Has(d.settings.Domain)
	return true
}

// sentence says in one line how we stand.
func (d *daemon) sentence() string {
	if d.stopping.Load() {
		return "stopping"
	}
	for _, l := range d.server.Listeners() {
		if !l.Bound {
			return l.Error
		}
	}
	sites := d.registrar.Snapshot().Sites
	if len(sites) != 1 {
		return fmt.Sprintf("%d domains", len(sites))
	}
	var words []string
	if sites[0].Key.IsZero() {
		words = append(words, "no key yet")
	}
	if s := d.certificates.Status(sites[0].Domain); s.Have {
		words = append(words, "certificate until "+s.NotAfter.UTC().Format(time.DateOnly))
	} else if s.Source != "off" {
		words = append(words, "no certificate yet")
	}
	for _, r := range sites[0].Regions {
		words = append(words, string(r.Region)+" "+strings.ReplaceAll(string(r.State), "_", " "))
	}
	return sites[0].Domain + ": " + strings.Join(words, ", ")
}
