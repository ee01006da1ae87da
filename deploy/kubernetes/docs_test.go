package kubernetes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"wellkey/deploy/deploytest"
)

// The commands of docs/deploy.md install: they name the chart, and values that go
// together.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	const command = "helm install wellkey deploy/kubernetes/wellkey "
	found := 0
	for line := range strings.Lines(deploytest.Read(t, "docs/deploy.md")) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), command)
		if !ok {
			if strings.HasPrefix(line, "helm ") {
				t.Errorf("%sis not %s", line, command)
			}
			continue
		}
		found++
		text, err := yaml.Marshal(setValues(t, strings.Fields(rest)))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := render(t, string(text)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if found < 5 {
		t.Errorf("%d commands were found", found)
	}
}

// setValues returns the values that "--set a.b=c" and so on give.
func setValues(t *testing.T, args []string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for i, arg := range args {
		if i%2 == 0 {
			if arg != "--set" {
				t.Errorf("what is %s?", arg)
			}
			continue
		}
		name, text, _ := strings.Cut(arg, "=")
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		here, keys := all, strings.Split(name, ".")
		for _, key := range keys[:len(keys)-1] {
			if here[key] == nil {
				here[key] = map[string]any{}
			}
			here = here[key].(map[string]any)
		}
		here[keys[len(keys)-1]] = value
	}
	return all
}

// TestBackupPod: the pod of docs/operating.md has the volume of the release as the user
// that wellkey is, so that wellkey can read what comes back.
func TestBackupPod(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(deploytest.Read(t, "docs/operating.md"), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	pod := object{}
	if err := yaml.Unmarshal([]byte(text), (*map[string]any)(&pod)); err != nil {
		t.Fatal(err)
	}
	rendered, _, err := render(t, "domain: keys.example.com")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(rendered, func(o object) bool { return o.kind() == "Deployment" })
	if i < 0 {
		t.Fatal("there is no Deployment")
	}
	for _, field := range []string{"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup"} {
		got, want := pod.at("spec", "securityContext", field), rendered[i].at("spec", "template", "spec", "securityContext", field)
		if want == nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want that of wellkey, %v", field, got, want)
		}
	}
	if !strings.Contains(text, "claimName: wellkey }") || !strings.Contains(deploytest.Read(t, "docs/deploy.md"), "helm install wellkey ") {
		t.Error("the claim is not that of a release with the name wellkey")
	}
}
