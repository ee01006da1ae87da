package document_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"wellkey/deploy/document"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPut: what stands between the markers is replaced, and a file without them stays.
func TestPut(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- soak -->\n", "<!-- /soak -->"
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := document.Put(path, "soak", "new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: got %v", err)
	}
	for before, want := range map[string]string{
		"# A\n":                       "",
		"# A\n" + begin:               "",
		"# A\n" + begin + end:         "# A\n" + begin + "new\n" + end,
		begin + "old\n" + end + "B":   begin + "new\n" + end + "B",
		"<!-- torture -->\n" + end:    "",
		begin + "<!-- /torture -->\n": "",
	} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		err := document.Put(path, "soak", "new")
		after, _ := os.ReadFile(path) // it differs if it cannot be read
		if want == "" && (err == nil || err.Error() != path+" has no lines <!-- soak --> and <!-- /soak -->" || string(after) != before) ||
			want != "" && (err != nil || string(after) != want) {
			t.Errorf("%q: got %v and %q", before, err, after)
		}
	}
}

// TestTell: a report is always printed, and put into the document that -report names.
func TestTell(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("<!-- soak -->\n<!-- /soak -->\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, name, want string }{
		{"", "soak", "<!-- soak -->\n<!-- /soak -->\n"},
		{"-report=" + path, "torture", "<!-- soak -->\n<!-- /soak -->\n"},
		{"-report=" + path, "soak", "<!-- soak -->\nall well\n<!-- /soak -->\n"},
	} {
		var to string
		flags := flag.NewFlagSet("soak", flag.ContinueOnError)
		document.Report(flags, &to)
		if err := flags.Parse(strings.Fields(test.args)); err != nil {
			t.Fatal(err)
		}
		var stdout strings.Builder
		err := document.Tell(&stdout, to, test.name, "all well")
		after, _ := os.ReadFile(path) // it differs if it cannot be read
		if stdout.String() != "all well\n" || string(after) != test.want || (err == nil) != (test.name == "soak") {
			t.Errorf("%v: got %q, %q and %v", test, &stdout, after, err)
		}
	}
}
