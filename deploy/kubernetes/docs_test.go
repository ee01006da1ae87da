package kubernetes_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"wellkey/deploy/deploytest"
)

// The commands of docs/deploy.md install: they name the chart, and values that go
// together, and the pods get the image that is pushed before.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	const command = "helm install wellkey deploy/kubernetes/wellkey -f image.yaml "
	text := deploytest.Read(t, "docs/deploy.md")
	_, example, _ := strings.Cut(text, "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	var file map[string]any
	if err := yaml.Unmarshal([]byte(example), &file); err != nil {
		t.Fatal(err)
	}
	_, pushed, _ := strings.Cut(text, "\ndocker push ")
	pushed, _, _ = strings.Cut(pushed, "\n")
	if !strings.Contains(text, "\ndocker build -t "+pushed+" .\n") {
		t.Errorf("%q is pushed and not built", pushed)
	}
	found := 0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), command)
		if !ok {
			if strings.HasPrefix(line, "helm ") {
				t.Errorf("%sis not %s", line, command)
			}
			continue
		}
		found++
		values := setValues(t, strings.Fields(rest))
		maps.Copy(values, file) // which has others
		text, err := yaml.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		rendered, _, err := render(t, string(text))
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if image := deployment(t, rendered).list("spec", "template", "spec", "containers")[0].text("image"); image != pushed {
			t.Errorf("%s: the image is %q, and %q was pushed", line, image, pushed)
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

// deployment returns the one of a chart.
func deployment(t *testing.T, rendered []object) object {
	t.Helper()
	i := slices.IndexFunc(rendered, func(o object) bool { return o.kind() == "Deployment" })
	if i < 0 {
		t.Fatal("there is no Deployment")
	}
	return rendered[i]
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
	wellkey := deployment(t, rendered)
	for _, field := range []string{"runAsNonRoot", "runAsUser", "runAsGroup", "fsGroup"} {
		got, want := pod.at("spec", "securityContext", field), wellkey.at("spec", "template", "spec", "securityContext", field)
		if want == nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want that of wellkey, %v", field, got, want)
		}
	}
	if !strings.Contains(text, "claimName: wellkey }") || !strings.Contains(deploytest.Read(t, "docs/deploy.md"), "helm install wellkey ") {
		t.Error("the claim is not that of a release with the name wellkey")
	}
}
