// Package schedule runs any number of recurring jobs with few workers. A wake makes
// a job due at once; each time it has run, it says when it wants to run again.
//
// Jobs that are due run in the order in which they became due, whoever they belong
// to, so that one with much to do, or one that always fails, never starves the
// others: it stands at the end of the line again each time it has run. One that
// goes on with what it has begun keeps its place, a few times in a row. A job never
// runs twice at a time.
package schedule

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"wellkey/internal/contain"
)

// A Queue runs jobs while its Run does. Its methods are safe for concurrent use.
type Queue struct {
	workers int
	panics  *contain.Part
	changed chan struct{} // holds at most one: something is due earlier than it was, or a worker is free

	mu      sync.Mutex
	line    line   // guarded by mu; the jobs that wait for their time or a worker
	number  uint64 // guarded by mu; of the last job that became due
	running int    // guarded by mu
}

// New returns a Queue that runs up to workers jobs at a time, of which panics
// contains each by itself: one that panics runs again later. It starts nothing.
func New(workers int, panics *contain.Part) *Queue {
	return &Queue{workers: workers, panics: panics, changed: make(chan struct{}, 1)}
}

// A job that panicked waits, twice as long each time in a row: it may be the one of
// a thousand that always does.
const (
	firstPause = time.Minute
	lastPause  = time.Hour
)

// A Job is a recurring piece of work. Its methods are safe for concurrent use.
type Job struct {
	queue *Queue
	run   func(context.Context) time.Time

	// Guarded by queue.mu.
	due     time.Time
	number  uint64
	place   int // in the line; -1 = it is not there
	cancel  context.CancelFunc
	ended   chan struct{} // not nil while it runs; closed when that run has ended
	woken   bool          // while it ran
	goesOn  bool          // likewise, by Continue
	removed bool
	pause   time.Duration // after the last run, which panicked; 0 = it did not

	begun       time.Time // as due and number, when the work began that it goes on with
	begunNumber uint64
	kept        int  // how often it has kept that place
	continued   bool // it stands there again
}

// mostKept is how often in a row a job keeps its place: more than any work has
// steps.
const mostKept = 8

// Job makes a job of run, which rests until it is woken. Run returns when it wants
// to run again; the zero time = only when it is woken. Its context ends with
// Queue.Run, and when the job is removed.
func (q *Queue) Job(run func(context.Context) time.Time) *Job {
	return &Job{queue: q, run: run, place: -1}
}

// Wake makes the job due at once; one that runs now runs once more after that. It
// does not block. The nil job has nothing to wake.
func (j *Job) Wake() {
	if j == nil {
		return
	}
	j.queue.mu.Lock()
	defer j.queue.mu.Unlock()
	now := time.Now()
	switch {
	case j.ended != nil:
		j.woken = true
	case j.place < 0 || j.due.After(now):
		j.queue.put(j, now)
	}
}

// Continue is Wake for a job that goes on with what it has begun: it comes before
// those that became due after it, so that what was begun comes to an end before
// more is begun. The nil job has nothing to continue.
func (j *Job) Continue() {
	if j == nil {
		return
	}
	j.queue.mu.Lock()
	defer j.queue.mu.Unlock()
	switch {
	case j.ended != nil:
		j.woken, j.goesOn = true, true
	case j.place < 0 || j.due.After(time.Now()):
		j.queue.putBack(j)
	}
}

// Remove takes the job out and ends its context. It returns when the job does not
// run any more and never will again, so it must not be called by the job itself.
func (j *Job) Remove() {
	q := j.queue
	q.mu.Lock()
	j.removed = true
	if j.place >= 0 {
		heap.Remove(&q.line, j.place)
	}
	ended := j.ended
	if ended != nil {
		j.cancel()
	}
	q.mu.Unlock()
	if ended != nil {
		<-ended
	}
}

// Resting reports whether nothing runs, and nothing is due.
func (q *Queue) Resting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running == 0 && (len(q.line) == 0 || q.line[0].due.After(time.Now()))
}

// Run runs the jobs until ctx is done, and returns nil after the last one that
// was running has ended.
func (q *Queue) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	for ctx.Err() == nil {
		next := q.start(ctx, &running)
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
		case <-q.changed:
		case <-due:
		}
	}
	return nil
}

// start starts what is due while a worker is free. It returns when the next job
// is due; zero = a change will tell.
func (q *Queue) start(ctx context.Context, running *sync.WaitGroup) (next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.line) > 0 && q.running < q.workers {
		j := q.line[0]
		if j.due.After(time.Now()) {
			return j.due
		}
		heap.Pop(&q.line)
		if !j.continued {
			j.begun, j.begunNumber, j.kept = j.due, j.number, 0
		}
		q.running++
		jobContext, cancel := context.WithCancel(ctx)
		j.cancel, j.ended, j.woken, j.goesOn = cancel, make(chan struct{}), false, false
		running.Go(func() {
			defer cancel()
			var next time.Time
			panicked := q.panics.Do(func() { next = j.run(jobContext) })
			q.settle(j, next, panicked)
		})
	}
	return time.Time{}
}

// settle takes back a job that has run.
func (q *Queue) settle(j *Job, next time.Time, panicked bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if panicked {
		j.pause = min(max(2*j.pause, firstPause), lastPause)
		next = time.Now().Add(j.pause)
		j.woken, j.goesOn = false, false // it may have woken itself
	} else {
		j.pause = 0
	}
	q.running--
	close(j.ended)
	j.ended, j.cancel = nil, nil
	switch {
	case j.removed:
	case j.goesOn:
		q.putBack(j)
	case j.woken:
		q.put(j, time.Now())
	case !next.IsZero():
		q.put(j, next)
	}
	q.tell()
}

// put lines the job up, or moves it to another time. It is called with mu held.
func (q *Queue) put(j *Job, due time.Time) {
	q.number++
	j.continued = false
	q.place(j, due, q.number)
}

// putBack lines the job up where it stood when its work began. It is called with
// mu held.
func (q *Queue) putBack(j *Job) {
	if j.begun.IsZero() || j.kept == mostKept {
		q.put(j, time.Now())
		return
	}
	j.kept++
	j.continued = true
	q.place(j, j.begun, j.begunNumber)
}

// place is called with mu held.
func (q *Queue) place(j *Job, due time.Time, number uint64) {
	if j.removed {
		return
	}
	j.due, j.number = due, number
	if j.place < 0 {
		heap.Push(&q.line, j)
	} else {
		heap.Fix(&q.line, j.place)
	}
	q.tell()
}

func (q *Queue) tell() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// A line is a heap of jobs, the one that is due first at its top.
type line []*Job

// Len implements heap.Interface.
func (l line) Len() int { return len(l) }

// Less implements heap.Interface.
func (l line) Less(a, b int) bool {
	if !l[a].due.Equal(l[b].due) {
		return l[a].due.Before(l[b].due)
	}
	return l[a].number < l[b].number
}

// Swap implements heap.Interface.
func (l line) Swap(a, b int) {
	l[a], l[b] = l[b], l[a]
	l[a].place, l[b].place = a, b
}

// Push implements heap.Interface.
func (l *line) Push(x any) {
	j := x.(*Job)
	j.place = len(*l)
	*l = append(*l, j)
}

// Pop implements heap.Interface.
func (l *line) Pop() any {
	last := len(*l) - 1
	j := (*l)[last]
	(*l)[last] = nil // else it would keep a removed job alive
	*l = (*l)[:last]
	j.place = -1
	return j
}
