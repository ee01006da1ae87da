package admin

import "time"

// A Reload is how one part of what is read from files, and followed while wellkey
// runs, stands.
type Reload struct {
	Part string    // one of the Parts
	Good bool      // the files are good as they are now; else the last good state is in use
	At   time.Time // when they were last read and good: at the start, after a change, on SIGHUP
}

// The parts, which are labels of metrics.
const (
	PartKey         = "key"
	PartCredentials = "credentials"
	PartCertificate = "certificate" // with tls: files
	PartWeb         = "admin_web"   // with admin_web_config
)
