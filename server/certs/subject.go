package certs

import (
	"context"
	"crypto/tls"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/logtag"
	"wellkey/internal/schedule"
)

// A subject is a domain that a Manager keeps the certificate of. All that it does
// is done by a job of the Manager's queue, one step at a time.
type subject struct {
	domain      string
	all         *Manager
	cfg         *Config // the Manager's
	log         *zap.Logger
	authorities []*authority // the preferred one first; fixed
	job         *schedule.Job
	deaf        atomic.Bool   // word that was left cannot be taken up
	former      *subject      // the same domain, removed and not at its end yet; nil = none
	ended       chan struct{} // closed after the last step of a removed domain

	served  atomic.Pointer[served]          // nil = none
	current atomic.Pointer[tls.Certificate] // of served; nil = it is not in memory; see slim
	used    atomic.Bool                     // lately
	pinned  atomic.Bool                     // it stays in memory
	looked  atomic.Bool                     // a step has looked what is stored
	place   int                             // guarded by the cache

	reading sync.Mutex // guards what follows
	readErr error      // of the last time
	readAt  time.Time

	// Only a step uses these.
	stopping func() bool // whether the step is to end
	locked   bool        // we have the lock on orders
	fellBack bool        // the fallback was asked since the last success

	mu      sync.Mutex // guards what follows
	shown   shown
	endRest context.CancelFunc // nil unless it rests by Config.Wait
}

// shown is what Status reports of the certificate, beside itself.
type shown struct {
	role    Role // of the CA that issued it; "" = there is none
	renewal time.Time
	next    time.Time
	why     *Failure  // of the primary, when the fallback gave what is served
	turn    time.Time // when the fallback is asked; zero = it is not its turn
}

func (m *Manager) newSubject(domain string) *subject {
	s := &subject{domain: domain, place: -1, all: m, cfg: &m.cfg, log: logtag.With(m.log, zap.String("domain", domain)), ended: make(chan struct{})}
	s.authorities = s.newAuthorities(m.cas)
	s.job = m.queue.Job(s.run)
	return s
}

// rest returns when the next step is due, which is in d: by the queue, or at once
// after the wait that the Config says.
func (m *subject) rest(ctx context.Context, d time.Duration) time.Time {
	if m.cfg.Wait == nil {
		return time.Now().Add(d)
	}
	waiting, end := context.WithCancel(ctx)
	defer end()
	m.setRest(end)
	_ = m.cfg.Wait(waiting, d) // whatever ended it
	m.setRest(nil)
	return time.Now()
}

func (m *subject) setRest(end context.CancelFunc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endRest = end
}

// wake makes the next step due.
func (m *subject) wake() {
	m.job.Wake()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.endRest != nil {
		m.endRest()
	}
}

// end ends the work after the step that is under way. It returns when it is over.
func (m *subject) end() {
	defer close(m.ended)
	m.job.Remove()
	if m.former != nil {
		<-m.former.ended
	}
	m.closeRecords(context.Background())
}

// waitForFormer waits for the end of the work for the same domain before it was
// removed, which is within the grace of an order: both have the same records. It
// returns false where we end first.
func (m *subject) waitForFormer(ctx context.Context) bool {
	if m.former == nil {
		return true
	}
	select {
	case <-m.former.ended:
		m.former = nil
		return true
	case <-ctx.Done():
		return false
	}
}
