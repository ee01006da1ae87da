package deploy_test

import (
	"path"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
)

// docs/deploy.md leads to every compose file, every recipe and every folder that
// somebody would take something from.
func TestEveryShapeIsDocumented(t *testing.T) {
	text := deploytest.Read(t, "docs/deploy.md")
	for _, file := range files(t) {
		folder, name, _ := strings.Cut(file, "/")
		switch folder {
		case "release", "check", "bench", "hardened": // for those who make releases, and for tests
			continue
		case "compose", "recipes":
			if strings.Contains(name, "/") { // a part of another file
				continue
			}
			folder = path.Join(folder, name)
		}
		if !strings.Contains(text, "](../deploy/"+folder) {
			t.Errorf("docs/deploy.md does not lead to deploy/%s", folder)
		}
	}
}
