package cli

import (
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/config"
)

// reloads tells of everything that is read from files and followed while we run
// whether it is good as it is now. Of several sites, the worst and the latest count.
func (d *daemon) reloads() []admin.Reload {
	keys := admin.Reload{Part: admin.PartKey, Good: true}
	credentials := admin.Reload{Part: admin.PartCredentials, Good: true}
	for _, h := range d.all {
		key := h.keys.Status()
		good, at := h.application.state()
		keys.Good, keys.At = keys.Good && key.LastError == "", later(keys.At, key.ReadAt)
		credentials.Good, credentials.At = credentials.Good && good, later(credentials.At, at)
	}
	all := []admin.Reload{keys, credentials}
	if d.settings.TLS.Mode == config.TLSFiles {
		s := d.certificates.Status(d.settings.Domain)
		all = append(all, admin.Reload{Part: admin.PartCertificate, Good: s.LastError == nil, At: s.ReadAt})
	}
	if d.web != nil {
		good, at := d.web.State()
		all = append(all, admin.Reload{Part: admin.PartWeb, Good: good, At: at})
	}
	return all
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
