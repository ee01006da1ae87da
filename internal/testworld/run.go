package testworld

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"wellkey/internal/cli"
)

// A Run is a wellkey that runs in this process, through the code of the real
// program.
type Run struct {
	Log    *Log
	stop   context.CancelFunc
	exited chan struct{}
	code   int // after exited is closed
}

// Serve starts "wellkey serve" with the settings of Environ and more.
func (w *World) Serve(more ...string) *Run {
	ctx, stop := context.WithCancel(context.Background())
	r := &Run{Log: NewLog(), stop: stop, exited: make(chan struct{})}
	go func() {
		defer close(r.exited)
		r.code = cli.Run(ctx, cli.Process{Args: []string{"serve"}, Environ: w.Environ(more...), Stdout: r.Log, Stderr: r.Log})
		r.Log.end()
	}()
	return r
}

// Stop stops it as SIGTERM does and returns the exit code.
func (r *Run) Stop() int {
	r.stop()
	<-r.exited
	return r.code
}

// Exited is closed when it has ended.
func (r *Run) Exited() <-chan struct{} { return r.exited }

// An Entry is one line of the log. A line that is not JSON has only a Message.
type Entry struct {
	Level, Logger, Message string
	Fields                 map[string]any
}

// Text returns the field name as text, "" if it is missing.
func (e Entry) Text(name string) string {
	if v, ok := e.Fields[name]; ok {
		return fmt.Sprint(v)
	}
	return ""
}

// A Log takes the lines of a log and lets others wait for them, so that nobody
// has to sleep.
type Log struct {
	mu      sync.Mutex
	raw     bytes.Buffer  // guarded by mu
	partial []byte        // guarded by mu
	entries []Entry       // guarded by mu
	news    chan struct{} // guarded by mu; closed at the next line
	ended   bool          // guarded by mu
}

// NewLog returns an empty Log.
func NewLog() *Log { return &Log{news: make(chan struct{})} }

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raw.Write(p)
	l.partial = append(l.partial, p...)
	for {
		line, rest, found := bytes.Cut(l.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.partial = rest
		l.entries = append(l.entries, parse(line))
		l.wakeAll()
	}
}

func (l *Log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wakeAll()
}

func (l *Log) wakeAll() {
	close(l.news)
	l.news = make(chan struct{})
}

// String returns all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.String()
}

// Next returns the entry with number n, counted from 0, when it is there. The
// error is that of ctx, or says that the log has ended.
func (l *Log) Next(ctx context.Context, n int) (Entry, error) {
	for {
		l.mu.Lock()
		have, news, ended := len(l.entries), l.news, l.ended
		if n < have {
			e := l.entries[n]
			l.mu.Unlock()
			return e, nil
		}
		l.mu.Unlock()
		if ended {
			return Entry{}, fmt.Errorf("the log has ended after %d lines", have)
		}
		select {
		case <-news:
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		}
	}
}

// Await returns the first entry, from the beginning on, for which match holds.
func (l *Log) Await(ctx context.Context, match func(Entry) bool) (Entry, error) {
	for n := 0; ; n++ {
		e, err := l.Next(ctx, n)
		if err != nil || match(e) {
			return e, err
		}
	}
}

func parse(line []byte) Entry {
	var fields map[string]any
	if json.Unmarshal(line, &fields) != nil {
		return Entry{Message: string(line)}
	}
	e := Entry{Fields: fields}
	e.Level, e.Logger, e.Message = e.Text("level"), e.Text("logger"), e.Text("message")
	return e
}
