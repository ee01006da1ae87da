package dns01_test

import (
	"testing"

	"wellkey/internal/testleak"
)

func TestMain(m *testing.M) {
	testleak.Main(m.Run)
}
