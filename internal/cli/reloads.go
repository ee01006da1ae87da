package cli

import (
	"wellkey/internal/admin"
	"wellkey/server/certs"
)

// reloads tells of everything that is read from files and followed while we run
// whether it is good as it is now.
func (d *daemon) reloads() []admin.Reload {
	key := d.keys.Status()
	good, at := d.application.state()
	all := []admin.Reload{
		{Part: admin.PartKey, Good: key.LastError == "", At: key.ReadAt},
		{Part: admin.PartCredentials, Good: good, At: at},
	}
	if files, ok := d.certificates.(*certs.Files); ok {
		s := files.Status()
		all = append(all, admin.Reload{Part: admin.PartCertificate, Good: s.LastError == nil, At: s.ReadAt})
	}
	if d.web != nil {
		good, at := d.web.State()
		all = append(all, admin.Reload{Part: admin.PartWeb, Good: good, At: at})
	}
	return all
}
