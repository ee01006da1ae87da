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
		if connections, perAddress := server.LimitsWithin(descriptors); connections != want[0] || perAddress != want[1] {
			t.Errorf("%d descriptors: got %d connections and %d of one client, want %d", descriptors, connections, perAddress, want)
		}
	}
}
