//go:build !unix

package cli

import "wellkey/internal/config"

// sameUser cannot tell where files have no owner.
func sameUser(*config.Settings) error { return nil }
