package server_test

import (
	"fmt"
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

// Where too many clients let their answers lie, those lose their connections that have done
// so for longest, whenever they began to ask, and no newcomer does. Behind a proxy stand
// many, so it goes last.
func TestTooManyUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := server.NewConnections(2*server.MostUnread, 1, 0)
		var running sync.WaitGroup
		var all []net.Conn
		// lie has a client ask and, a second later than others, read no answer; ended is
		// whether its connection is.
		lie := func(address string, asked time.Duration) (ended *atomic.Bool) {
			time.Sleep(time.Second)
			near, far := net.Pipe()
			all = append(all, near, far)
			conn := &addressed{near, from(address)}
			held := c.Hold(conn)
			c.Set(conn, http.StateActive, asked)
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
		proxy := lie("10.0.0.1", 0)
		var first []*atomic.Bool // the last of them began to ask first
		for n := range server.MostUnread - 1 {
			first = append(first, lie(fmt.Sprintf("192.0.2.%d", n), time.Duration(server.MostUnread-n)))
		}
		for n := range 3 {
			if lie(fmt.Sprintf("198.51.101.%d", n), 0).Load() {
				t.Errorf("newcomer %d was closed", n)
			}
			for i, one := range first {
				if want := i <= n; one.Load() != want {
					t.Errorf("after newcomer %d: that number %d is closed is %v, want %v", n, i, one.Load(), want)
				}
			}
		}
		if proxy.Load() {
			t.Error("the proxy was closed")
		}
		for _, conn := range all {
			must(t, conn.Close())
		}
		running.Wait()
	})
}

// An addressed is a connection from an address.
type addressed struct {
	net.Conn
	from net.Conn
}

func (a *addressed) RemoteAddr() net.Addr { return a.from.RemoteAddr() }
