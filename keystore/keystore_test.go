package keystore_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"wellkey/keystore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The key of the files in testdata, as openssl prints its fingerprint.
const testFingerprint = "a9cc9f3e9b1cc6818e76811dea3f7a15146d399642d1b69b6811c4e8ca4ea721"

// testdata returns the content of a file there.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// testKey returns the key of all good files in testdata.
func testKey(t testing.TB) keystore.Key {
	t.Helper()
	parsed, err := keystore.Parse(testdata(t, "good-spki.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Key
}
