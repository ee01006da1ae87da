// Chart renders a Helm chart with Helm's own engine, as "helm install" does, and
// reads what comes out as an API server with strict validation does. It prints the
// objects and the notes as JSON.
//
// Usage: chart DIRECTORY NAME <VALUES
//
// Values are YAML; those of the chart are the defaults, and all are checked
// against the schema of the chart. What "helm lint" finds wrong is an error, too.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

// kubeVersion is that of the cluster that is rendered for.
const kubeVersion = "v1.34.0"

// An output is what is printed.
type output struct {
	Objects []json.RawMessage
	Notes   string
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: chart DIRECTORY NAME <VALUES")
		os.Exit(2)
	}
	out, err := run(os.Args[1], os.Args[2], os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(dir, name string, stdin io.Reader) (output, error) {
	text, err := io.ReadAll(stdin)
	if err != nil {
		return output{}, err
	}
	values, err := chartutil.ReadValues(text)
	if err != nil {
		return output{}, err
	}
	c, err := loader.Load(dir)
	if err != nil {
		return output{}, err
	}
	files, err := render(c, name, values)
	if err != nil {
		return output{}, err
	}
	out := output{}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if path.Base(file) == "NOTES.txt" {
			out.Notes = files[file]
			continue
		}
		objects, err := decodeAll(files[file])
		if err != nil {
			return output{}, fmt.Errorf("%s: %w", file, err)
		}
		out.Objects = append(out.Objects, objects...)
	}
	return out, linted(dir, values)
}

func render(c *chart.Chart, name string, values chartutil.Values) (map[string]string, error) {
	version, err := chartutil.ParseKubeVersion(kubeVersion)
	if err != nil {
		return nil, err
	}
	if !chartutil.IsCompatibleRange(c.Metadata.KubeVersion, version.String()) {
		return nil, fmt.Errorf("the chart wants Kubernetes %s", c.Metadata.KubeVersion)
	}
	capabilities := chartutil.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	options := chartutil.ReleaseOptions{Name: name, Namespace: "keys", IsInstall: true, Revision: 1}
	all, err := chartutil.ToRenderValues(c, values, options, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(c, all)
}

func linted(dir string, values chartutil.Values) error {
	version, err := chartutil.ParseKubeVersion(kubeVersion)
	if err != nil {
		return err
	}
	var faults []error
	for _, m := range lint.AllWithKubeVersion(dir, values, "keys", version).Messages {
		if m.Severity >= support.WarningSev {
			faults = append(faults, fmt.Errorf("lint: %s", strings.TrimSpace(m.Error())))
		}
	}
	return errors.Join(faults...)
}
