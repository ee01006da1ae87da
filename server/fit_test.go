package server_test

import (
	"math"
	"testing"

	"wellkey/server"
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
		{Connections: 10}: {10, 64}, {Connections: 20000, PerClient: 20000}: {15000, 3750},
	} {
		if connections, perAddress := server.LimitsWithin(20000, 57<<20, by); connections != want[0] || perAddress != want[1] {
			t.Errorf("%+v: got %d connections and %d of one client, want %d", by, connections, perAddress, want)
		}
	}
}
