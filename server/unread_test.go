package server_test

import (
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/server"
)

// Where too many clients let their answers lie, those that began first lose their
// connections, and no newcomer does.
func TestTooManyUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := server.NewConnections(2*server.MostUnread, 1, 1)
		var running sync.WaitGroup
		var all []net.Conn
		// lie has a client ask and read no answer; ended is whether its connection is.
		lie := func(since time.Duration) (ended *atomic.Bool) {
			near, far := net.Pipe()
			all = append(all, near, far)
			held := c.Hold(near)
			c.Set(near, http.StateActive, since)
			running.Go(func() { _, _ = held.Write(make([]byte, 2)) })
			_, err := far.Read(make([]byte, 1)) // it is under way
			must(t, err)
			running.Go(func() { _, _ = far.Write(make([]byte, 2*server.MostAhead)) })
			ended = new(atomic.Bool)
			running.Go(func() {
				_, _ = io.Copy(io.Discard, held)
				ended.Store(true)
			})
			synctest.Wait()
			return ended
		}
		var first []*atomic.Bool // the last of them began first
		for n := range server.MostUnread {
			first = append(first, lie(time.Duration(server.MostUnread-n)*time.Second))
		}
		for n := range 3 {
			if lie(time.Hour).Load() {
				t.Errorf("newcomer %d was closed", n)
			}
			for i, one := range first {
				if want := i >= server.MostUnread-1-n; one.Load() != want {
					t.Errorf("after newcomer %d: that number %d is closed is %v, want %v", n, i, one.Load(), want)
				}
			}
		}
		for _, conn := range all {
			must(t, conn.Close())
		}
		running.Wait()
	})
}
