package network_test

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/testnetns"
	"wellkey/internal/testprogram"
)

func TestMain(m *testing.M) {
	os.Exit(testnetns.Main(func() int {
		flag.Parse()
		// The tests mostly wait for packets that do not come.
		_ = flag.Set("test.parallel", "8") // it is in order
		code := testprogram.Main(m)
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}))
}
