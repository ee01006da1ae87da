// Package systemd speaks with the service manager that started us: it takes the
// sockets that the manager has bound, and tells it how we stand. Where no manager
// listens, nothing happens.
package systemd

import (
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Present reports whether a manager wants to hear how we stand.
func Present() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// Watchdog returns within which time the manager wants to hear that we are alive,
// 0 where it does not.
func Watchdog() time.Duration {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0 // what is no number came from somebody else
	}
	return interval
}

// Ready says that we serve, also after a reload.
func Ready() error { return notify(daemon.SdNotifyReady) }

// Reloading says that we read our files anew; Ready comes after it.
func Reloading() error {
	return notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that we were told to stop.
func Stopping() error { return notify(daemon.SdNotifyStopping) }

// Alive answers the watchdog.
func Alive() error { return notify(daemon.SdNotifyWatchdog) }

// Status has text shown by systemctl status, in one line.
func Status(text string) error {
	return notify("STATUS=" + strings.Join(strings.Fields(text), " "))
}

func notify(state string) error {
	_, err := daemon.SdNotify(false, state)
	return err
}
