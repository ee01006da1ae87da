package server_test

import (
	"math"
	"testing"

	"wellkey/server"
	"wellkey/server/passthrough"
)

func TestConnectionsWithinDescriptors(t *testing.T) {
	for descriptors, want := range map[uint64][2]int{
		math.MaxUint64: {1024, 64}, 1 << 20: {1024, 64}, 3072: {1024, 64}, 1024: {341, 64}, 64: {21, 5}, 3: {1, 1}, 0: {1, 1},
	} {
		if connections, perAddress := server.LimitsWithin(descriptors, 0, server.Limits{}); connections != want[0] || perAddress != want[1] {
			t.Errorf("%d descriptors: got %d connections and %d of one client, want %d", descriptors, connections, perAddress, want)
		}
	}
}

// A container with little memory holds fewer connections, and no more than it can
// hold.
func TestConnectionsWithinMemory(t *testing.T) {
	const MB = 1 << 20
	for memory, want := range map[uint64][2]int{
		0: {1024, 64}, 1 << 40: {1024, 64}, 256 * MB: {1024, 64}, 115 * MB: {989, 64}, 57 * MB: {329, 64}, 29 * MB: {11, 2}, 16 * MB: {1, 1},
	} {
		if connections, perAddress := server.LimitsWithin(1<<20, memory, server.Limits{}); connections != want[0] || perAddress != want[1] {
			t.Errorf("%d MB: got %d connections and %d of one client, want %d", memory/MB, connections, perAddress, want)
		}
	}
}

// What the operator sets counts, as far as there are files for it.
func TestLimitsOfTheOperator(t *testing.T) {
	for by, want := range map[server.Limits][2]int{
		{}: {329, 64}, {Connections: 9800}: {9800, 64}, {Connections: 9800, PerClient: 9800}: {9800, 9800}, {PerClient: 5}: {329, 5},
		{Connections: 10}: {10, 64}, {Connections: 20000, PerClient: 20000}: {13333, 3333},
	} {
		if connections, perAddress := server.LimitsWithin(20000, 57<<20, by); connections != want[0] || perAddress != want[1] {
			t.Errorf("%+v: got %d connections and %d of one client, want %d", by, connections, perAddress, want)
		}
	}
}

// Whatever is served, an eighth of the files is nobody's: for storage, the CA, Tesla
// and whoever watches. Without max_connections it is a quarter.
func TestReservedDescriptors(t *testing.T) {
	for _, files := range []int{64, 256, 1024, 1 << 20} {
		for n := range 16 * 3 {
			passes, both, set, app, gates := n&1 != 0, n&2 != 0, n&4 != 0, n&8 != 0, uint64(n/16)
			if passes && gates == 0 {
				continue // somebody has to find out what is passed on
			}
			got, most := server.Divide(uint64(files), 0, passes, both, set, app, gates), files/24*18+18
			if set {
				most = files/24*21 + 21
			}
			if got.Files > most || got.HTTPS < files/16 || got.HTTP < 1 || (gates > 0) != (got.Waiting > 0) || passes != (got.Carried > 0) {
				t.Errorf("%d files, passes %v, both %v, set %v, app %v, %d gates: %+v, want %d at most", files, passes, both, set, app, gates, got, most)
			}
		}
	}
}

// With what is passed on, and what waits until it is known whose it is, memory has four
// parts. Two gates share one.
func TestCarriedWithinMemory(t *testing.T) {
	const MB = 1 << 20
	type asked struct {
		memory uint64
		passes bool
		gates  uint64
	}
	for of, want := range map[asked]server.Divided{
		{115 * MB, true, 1}:  {HTTPS: 494, HTTP: 494, Waiting: 494, Carried: 928},
		{57 * MB, true, 1}:   {HTTPS: 164, HTTP: 164, Waiting: 164, Carried: 309},
		{16 * MB, true, 1}:   {HTTPS: 1, HTTP: 1, Waiting: 1, Carried: 1},
		{115 * MB, true, 2}:  {HTTPS: 494, HTTP: 494, Waiting: 247, Carried: 928},
		{16 * MB, true, 2}:   {HTTPS: 1, HTTP: 1, Waiting: 1, Carried: 1},
		{115 * MB, false, 1}: {HTTPS: 659, HTTP: 659, Waiting: 659},
		{115 * MB, false, 0}: {HTTPS: 989, HTTP: 989},
	} {
		got := server.Divide(1<<20, of.memory, of.passes, false, false, false, of.gates)
		if got.Files = 0; got != want {
			t.Errorf("%+v: %+v, want %+v", of, got, want)
		}
	}
}

// However few connections may wait until it is known whose they are, one client has up to
// 256: a mobile network puts many cars behind one address.
func TestManyCarsWait(t *testing.T) {
	for _, memory := range []uint64{0, 57 << 20} {
		config, _ := configure(t)
		config.Memory, config.Passthrough = memory, []passthrough.Route{{Name: "other.example.com", Target: "127.0.0.1:1"}}
		connections, perAddress := newServer(t, config).Waiting()
		if memory > 0 && connections > 164 || perAddress != min(256, connections) {
			t.Errorf("%d bytes: %d wait, %d of one client", memory, connections, perAddress)
		}
	}
}

// Where an application hangs, three quarters of the connections wait for it, whatever
// there is of files and memory, and all of that is within what the process has.
func TestRequestsWithinMemory(t *testing.T) {
	const MB = 1 << 20
	for of, want := range map[[2]uint64][2]int{ // files, memory: connections, requests
		{1 << 20, 0}: {2048, 1536}, {1 << 20, 115 * MB}: {494, 370}, {1 << 20, 57 * MB}: {164, 123}, {1 << 20, 16 * MB}: {1, 1},
		{1024, 0}: {194, 145}, {256, 0}: {48, 36},
	} {
		got := server.Divide(of[0], of[1], false, false, false, true, 1)
		if min(got.HTTPS, 2048) != want[0] || min(got.Requests, 1536) != want[1] {
			t.Errorf("%d files, %d MB: %+v, want %v", of[0], of[1]/MB, got, want)
		}
		if held := uint64((got.HTTPS+got.HTTP+got.Waiting)*45+got.Requests*50) << 10; of[1] > 28*MB && held > of[1]-28*MB {
			t.Errorf("%d MB: %+v take %d MB", of[1]/MB, got, held/MB)
		}
	}
}
