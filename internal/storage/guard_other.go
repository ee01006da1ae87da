//go:build !linux

package storage

// openGuard finds no guard here: locks are leases.
func (d *Directory) openGuard(string) (*guard, error) { return nil, nil }
