package storage

import (
	"syscall"
	"time"
)

// WithoutFlock makes d behave as on a file system without flock(2).
func (d *Directory) WithoutFlock() {
	d.guard = func(string) (*guard, error) { return nil, nil }
}

// WithoutLinks makes d behave as on a file system without hard links.
func (d *Directory) WithoutLinks() {
	d.link = func(string, string) error { return syscall.EPERM }
}

// HangLocks makes one lock hang, just before it is done, until release is closed,
// and closes done then.
func (d *Directory) HangLocks(release <-chan struct{}, done chan<- struct{}) {
	link := d.link
	d.link = func(from, to string) error {
		<-release
		defer close(done)
		return link(from, to)
	}
}

// PanicInLocks makes each lock panic, just before it is done.
func (d *Directory) PanicInLocks() {
	d.link = func(string, string) error { panic("Canary7f3a") }
}

// OnSharedDisk makes d behave as on a file system that other machines write, too.
func (d *Directory) OnSharedDisk() {
	open := d.guard
	d.guard = func(key string) (*guard, error) {
		g, err := open(key)
		if g != nil {
			g.local = false
		}
		return g, err
	}
}

// Explain lets tests see errors that root never meets.
var Explain = explain

// EphemeralPlace judges a directory on file systems that a test has not got.
func EphemeralPlace(dir, kind, mountinfo string, container, empty bool) string {
	return place{dir, kind, parseMounts(mountinfo), container, empty}.ephemeral()
}

// MaxCalls is how many goroutines a hanging disk may hold.
const MaxCalls = maxCalls

// JudgeRecord reads what a lock's file holds and tells whether its owner is held to
// be alive, dead for sure, or damaged beyond recognition; by itself, or where
// flock(2) tells that nobody on this machine has it.
func (d *Directory) JudgeRecord(data []byte, guarded bool) (alive_, dead_, damaged_ bool) {
	var g *guard
	if guarded {
		g = &guard{local: true, inode: 1}
	}
	v, _ := d.judge(parseRecord(data), g)
	return v == alive, v == dead, v == damaged
}

// Rewrite returns a record as its owner writes it again.
func Rewrite(data []byte, now time.Time) (text []byte, good bool) {
	r := parseRecord(data)
	return r.encode(now), r.damage == ""
}

// OwnRecord returns a record that this process might have written.
func (d *Directory) OwnRecord(now time.Time) []byte {
	return record{Created: stamp(now), Token: "T", process: d.self}.encode(now)
}

// Boot is what tells this start of the machine from all others.
func (d *Directory) Boot() string { return d.self.Boot }
