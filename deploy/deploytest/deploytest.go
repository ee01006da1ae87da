// Package deploytest is what the tests of the files under deploy share: the
// programs that read such files as their users do, and what is true of the image
// and of the settings.
package deploytest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"wellkey/internal/admin"
	"wellkey/internal/cli"
	"wellkey/internal/config"
	"wellkey/registrar"
)

// Patience is how long a test waits for what must come. It is far more than
// anything needs, since a machine may be busy, and only a test that fails uses it.
const Patience = 3 * time.Minute

// Root returns the directory of the repository.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		t.Fatal("the tests of deploy want the sources where they were compiled: do not build them with -trimpath")
	}
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Read returns the text of a file of the repository.
func Read(t testing.TB, path string) string {
	t.Helper()
	return string(ReadFile(t, filepath.Join(Root(t), path)))
}

// ReadFile is os.ReadFile, and the test fails where that does: paths are those of
// the folder of the test.
func ReadFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ReadYAML decodes such a file, and refuses keys that into has not.
func ReadYAML(t testing.TB, path string, into any) {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(ReadFile(t, path)))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// An Image is what the Dockerfile says of the image.
type Image struct {
	Env    map[string]string
	Ports  []string
	Volume string
	User   string
}

// ReadImage reads the Dockerfile. That the image is as it says is checked by
// .ci/image, which builds it.
func ReadImage(t testing.TB) Image {
	t.Helper()
	text := Read(t, "Dockerfile")
	word := func(instruction string) string {
		m := regexp.MustCompile(`(?m)^` + instruction + ` +(.*)$`).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("the Dockerfile has no %s", instruction)
		}
		return m[1]
	}
	image := Image{Env: map[string]string{}, Ports: strings.Fields(word("EXPOSE")), Volume: word("VOLUME"), User: word("USER")}
	for _, m := range regexp.MustCompile(`(WELLKEY_[A-Z_]+)=(\S+)`).FindAllStringSubmatch(text, -1) {
		image.Env[m[1]] = m[2]
	}
	return image
}

// Environ returns the environment of a container of the image, which gives own
// variables besides.
func (i Image) Environ(own map[string]string) []string {
	environ := []string{"PATH=/"}
	for name, value := range i.With(own) {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// With returns the variables of the image and of its container.
func (i Image) With(own map[string]string) map[string]string {
	all := maps.Clone(i.Env)
	maps.Copy(all, own)
	return all
}

// Registered reports whether Tesla has the key on record in every region.
func Registered(s admin.Status) bool {
	if len(s.Sites) != 1 || len(s.Sites[0].Registrations) == 0 {
		return false
	}
	return !slices.ContainsFunc(s.Sites[0].Registrations, func(r admin.Registration) bool { return r.State != registrar.Registered })
}

// CheckConfig gives an environment and the arguments of a container to the program
// and returns why it would not start.
func CheckConfig(environ, args []string) error {
	var said bytes.Buffer
	if len(args) == 0 {
		args = []string{"serve"}
	}
	code := cli.Run(context.Background(), cli.Process{Args: append(args, "--check-config"), Environ: environ, Stdout: &said, Stderr: &said})
	if code != 0 {
		return fmt.Errorf("exit status %d:\n%s", code, said.String())
	}
	return nil
}

// Settings returns the environment variables of all settings.
func Settings() []string {
	return regexp.MustCompile(`\bWELLKEY_[A-Z0-9_]+`).FindAllString(config.HelpTable(), -1)
}
