package release_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(func() int { return deploytest.Main(m) }) }

const (
	version  = "1.2.3-rc.1"
	revision = "0123456789abcdef0123456789abcdef01234567"
	epoch    = "1764000000" // 2025-11-24, before the sources were written
)

// A release made twice, from copies of the sources in different directories, has
// the same bytes; and it holds what it should. One platform stands for all: what
// differs between them is the compiler's.
func TestRelease(t *testing.T) {
	t.Parallel()
	one := release(t, filepath.Join(t.TempDir(), "one"))
	two := release(t, filepath.Join(t.TempDir(), "elsewhere", "two"))
	sums := deploytest.ReadFile(t, filepath.Join(one, "SHA256SUMS"))
	if again := deploytest.ReadFile(t, filepath.Join(two, "SHA256SUMS")); !bytes.Equal(sums, again) {
		t.Fatalf("two releases of the same sources differ:\n%s\n%s", sums, again)
	}
	name := "wellkey_" + version + "_linux_amd64"
	if got, want := listed(t, one, sums), []string{"wellkey-" + version + ".tgz", "wellkey_" + version + "_amd64.deb", name + ".cdx.json", name + ".oci.tar", name + ".tar.gz"}; !slices.Equal(got, want) {
		t.Errorf("the release holds %q, want %q", got, want)
	}
	t.Run("archive", func(t *testing.T) { testArchive(t, filepath.Join(one, name+".tar.gz")) })
	t.Run("chart", func(t *testing.T) { testChart(t, filepath.Join(one, "wellkey-"+version+".tgz")) })
	t.Run("package", func(t *testing.T) { testPackage(t, filepath.Join(one, "wellkey_"+version+"_amd64.deb")) })
	t.Run("image", func(t *testing.T) { testImage(t, filepath.Join(one, name+".oci.tar")) })
	t.Run("bill of materials", func(t *testing.T) { testMaterials(t, filepath.Join(one, name+".cdx.json")) })
}

// release copies the sources as Git has them, with what is changed, to a directory
// and makes a release there.
func release(t *testing.T, dir string) (out string) {
	t.Helper()
	list := exec.Command("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = "../.."
	files, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	for _, name := range strings.Split(strings.Trim(string(files), "\x00"), "\x00") {
		from := filepath.Join("../..", name)
		info, err := os.Stat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and not committed yet
		} else if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		// Whoever checked them out, and with whatever mask, must not matter.
		if err := os.WriteFile(filepath.Join(dir, name), deploytest.ReadFile(t, from), info.Mode().Perm()&0o700); err != nil {
			t.Fatal(err)
		}
	}
	out = filepath.Join(dir, "dist")
	if _, err := os.Stat(filepath.Join(dir, "deploy/release", "debian/build")); err != nil {
		t.Fatal(err)
	}
	make := exec.Command(filepath.Join(dir, ".ci/release"), "amd64")
	make.Env = append(os.Environ(), "VERSION="+version, "REVISION="+revision, "SOURCE_DATE_EPOCH="+epoch, "OUT="+out)
	if said, err := make.CombinedOutput(); err != nil {
		t.Fatalf(".ci/release: %v\n%s", err, said)
	}
	return out
}

// listed returns the names in SHA256SUMS, and checks them against the files.
func listed(t *testing.T, dir string, sums []byte) []string {
	t.Helper()
	var names []string
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if got := sha256.Sum256(deploytest.ReadFile(t, filepath.Join(dir, name))); hex.EncodeToString(got[:]) != sum {
			t.Errorf("SHA256SUMS is wrong about %s", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// run returns what a command prints; it must succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// runs checks that the program runs, and says which release it is.
func runs(t *testing.T, program string) {
	t.Helper()
	if got := run(t, program, "version"); !strings.HasPrefix(got, "wellkey "+version+" go1.26.8 linux/amd64") {
		t.Errorf("the program says that it is %q", got)
	}
	said := run(t, program, "serve", "--domain", "example.com", "--data-dir", t.TempDir(), "--check-config")
	if !strings.Contains(said, "the settings are good") {
		t.Errorf("the program says %q of good settings", said)
	}
}

// The chart is whole, so that what it links to came along, and takes the image of
// the release.
func testChart(t *testing.T, path string) {
	dir := t.TempDir()
	run(t, "tar", "-C", dir, "-xzf", path)
	values := "domain: keys.example.com\nmonitoring: {prometheusRule: {enabled: true}}\n"
	out, err := deploytest.Check(t, values, "chart", filepath.Join(dir, "wellkey"), "keys")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"image":"wellkey:` + version + `"`, `"helm.sh/chart":"wellkey-` + version + `"`, `"alert":"WellkeyDown"`} {
		if !strings.Contains(out, want) {
			t.Errorf("the chart of the release gives no %s:\n%s", want, out)
		}
	}
}

func testArchive(t *testing.T, path string) {
	dir := t.TempDir()
	run(t, "tar", "-C", dir, "-xzf", path)
	root := filepath.Join(dir, "wellkey_"+version+"_linux_amd64")
	runs(t, filepath.Join(root, "wellkey"))
	for _, name := range []string{"README.md", "LICENSE", "CHANGELOG.md", "docs/releasing.md", "docs/operating.md", "systemd/wellkey.service"} {
		deploytest.ReadFile(t, filepath.Join(root, name))
	}
	// The documents find each other there; what else they name is in the source.
	source := regexp.MustCompile(`^(deploy|internal|server|\.ci)/`)
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)[)#]`).FindAllStringSubmatch(string(deploytest.ReadFile(t, filepath.Join(root, "README.md"))), -1) {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil && !source.MatchString(m[1]) {
			t.Errorf("README.md leads to %s, which is not in the archive", m[1])
		}
	}
}

// An entry is a file of a tar archive, without its content.
type entry struct {
	name     string
	mode     int64
	uid, gid int
}

// entries reads a tar archive; files get their content by name.
func entries(t *testing.T, r io.Reader) (all []entry, files map[string][]byte) {
	t.Helper()
	files = map[string][]byte{}
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all, files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 1764000000 {
			t.Errorf("%s has the time %v, not the one of the release", h.Name, h.ModTime)
		}
		all = append(all, entry{h.Name, h.Mode, h.Uid, h.Gid})
		if files[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// The archive is an OCI image layout whose digests are right; .ci/image proves that
// engines read it, and that it is what the Dockerfile builds.
func testImage(t *testing.T, path string) {
	_, files := entries(t, bytes.NewReader(deploytest.ReadFile(t, path)))
	type reference struct {
		MediaType, Digest string
		Size              int
	}
	blob := func(r reference) []byte {
		data, ok := files["blobs/sha256/"+strings.TrimPrefix(r.Digest, "sha256:")]
		sum := sha256.Sum256(data)
		if !ok || len(data) != r.Size || "sha256:"+hex.EncodeToString(sum[:]) != r.Digest {
			t.Fatalf("the blob %+v is not there, or another", r)
		}
		return data
	}
	decode := func(data []byte, into any) {
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	var index struct{ Manifests []reference }
	decode(files["index.json"], &index)
	var manifest struct {
		Config reference
		Layers []reference
	}
	decode(blob(index.Manifests[0]), &manifest)
	var image struct {
		Architecture, OS, Created string
		Config                    struct {
			User   string
			Labels map[string]string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode(blob(manifest.Config), &image)
	if image.Architecture != "amd64" || image.OS != "linux" || image.Created != "2025-11-24T16:00:00Z" || image.Config.User != "65532:65532" {
		t.Errorf("the image is %+v", image)
	}
	if l := image.Config.Labels; l["org.opencontainers.image.version"] != version || l["org.opencontainers.image.revision"] != revision {
		t.Errorf("the labels are %q", l)
	}
	zipped, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(layer); image.RootFS.DiffIDs[0] != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Error("the image names another layer")
	}
	got, content := entries(t, bytes.NewReader(layer))
	want := []entry{{"etc/", 0o755, 0, 0}, {"etc/ssl/", 0o755, 0, 0}, {"etc/ssl/certs/", 0o755, 0, 0},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, 0, 0}, {"wellkey", 0o755, 0, 0}, {"data/", 0o700, 65532, 65532}}
	if !slices.Equal(got, want) {
		t.Errorf("the layer holds %v, want %v", got, want)
	}
	program := filepath.Join(t.TempDir(), "wellkey")
	if err := os.WriteFile(program, content["wellkey"], 0o700); err != nil {
		t.Fatal(err)
	}
	runs(t, program)
}

// The bill of materials names what the program is made of, and nothing of the tests.
func testMaterials(t *testing.T, path string) {
	var bill struct {
		BomFormat, SpecVersion string
		Metadata               struct {
			Timestamp string
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(deploytest.ReadFile(t, path), &bill); err != nil {
		t.Fatal(err)
	}
	if bill.BomFormat != "CycloneDX" || bill.Metadata.Component.Name != "wellkey" || bill.Metadata.Component.Version != "v"+version || bill.Metadata.Timestamp != "" {
		t.Errorf("the bill is of %+v", bill.Metadata)
	}
	names := map[string]string{}
	for _, c := range bill.Components {
		names[c.Name] = c.Version
	}
	for _, part := range []string{"github.com/caddyserver/certmagic", "go.uber.org/zap", "std"} {
		if names[part] == "" {
			t.Errorf("%s is missing", part)
		}
	}
	if names["github.com/letsencrypt/pebble/v2"] != "" {
		t.Error("Pebble is in it, which is for tests")
	}
}
