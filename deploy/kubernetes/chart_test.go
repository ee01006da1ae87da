package kubernetes_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(func() int { return deploytest.Main(m) }) }

// chartFiles are the files of the chart, as patterns: the tests of this package
// render it, check what comes out, and give what it starts to the program.
var chartFiles = []string{
	"wellkey/Chart.yaml", "wellkey/.helmignore", "wellkey/values.yaml", "wellkey/values.schema.json",
	"wellkey/templates/*.yaml", "wellkey/templates/*.tpl", "wellkey/templates/NOTES.txt", "wellkey/files/*",
}

// Each pattern is of files that are there.
func TestChartFiles(t *testing.T) {
	for _, pattern := range chartFiles {
		if found, err := filepath.Glob(pattern); err != nil || len(found) == 0 {
			t.Errorf("the chart has no %s (%v)", pattern, err)
		}
	}
}

// The rules in the chart are those of deploy/prometheus, which promtool tests there,
// and they look for a job by the name that the monitor gives it.
func TestRules(t *testing.T) {
	t.Parallel()
	objects, _, err := render(t, domain+"monitoring: {serviceMonitor: {enabled: true}, prometheusRule: {enabled: true}}")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := yaml.Unmarshal([]byte(deploytest.Read(t, "deploy/prometheus/wellkey.rules.yml")), &want); err != nil {
		t.Fatal(err)
	}
	var jobLabel string
	var admin object
	for _, o := range objects {
		switch o.kind() {
		case "PrometheusRule":
			got, _ := json.Marshal(o.at("spec")) // it came from JSON
			wanted, err := json.Marshal(want)    // as JSON, since there all numbers are of one kind
			if err != nil || string(got) != string(wanted) || len(o.list("spec", "groups")) == 0 {
				t.Errorf("the rules are\n%s\nwant\n%s (%v)", got, wanted, err)
			}
		case "ServiceMonitor":
			jobLabel = o.text("spec", "jobLabel")
		case "Service":
			if o.name() == "keys-wellkey-admin" {
				admin = o
			}
		}
	}
	if job := admin.text("metadata", "labels", jobLabel); job != "wellkey" {
		t.Errorf("the job is %q, but the alerts look for wellkey", job)
	}
}

// values is a set of values that somebody would choose.
type values struct {
	name, yaml string
}

// matrix is what people choose. Each is rendered, and each test looks at all.
var matrix = []values{
	{"default", ``},
	{"credentials in a Secret", `
credentials: {existingSecret: tesla}`},
	{"key in a Secret, no volume, certificate from cert-manager", `
key: {existingSecret: wellkey-key}
persistence: {enabled: false}
tls: {mode: files, existingSecret: keys-tls}`},
	{"claim that exists", `
persistence: {existingClaim: keys}`},
	{"many writers", `
persistence: {accessMode: ReadWriteMany, storageClass: nfs}
key: {existingSecret: wellkey-key}
replicas: 2`},
	{"three replicas with a store", `
replicas: 3
key: {existingSecret: wellkey-key}
credentials: {existingSecret: tesla}
persistence: {enabled: false}
storage: {existingSecret: wellkey-store, sealed: true}`},
	{"behind an ingress", `
tls: {mode: "off"}
service: {type: ClusterIP}
ingress: {enabled: true, className: nginx, annotations: {cert-manager.io/cluster-issuer: letsencrypt}, tlsSecret: keys-tls}`},
	{"load balancer", `
service: {type: LoadBalancer, externalTrafficPolicy: Local, loadBalancerClass: example.com/lb, annotations: {example.com/ip: "192.0.2.1"}}`},
	{"node port, digest, everything else", `
image: {repository: registry.example.com/wellkey, digest: "sha256:5a0e2c0b7d8f4a1e9c3b6d2f8e7a1c4b5d9e0f3a2b6c8d1e4f7a9b0c3d5e6f81", pullPolicy: Always}
imagePullSecrets: [{name: registry}]
service: {type: NodePort}
regions: [cn]
acme: {email: ops@example.com, directory: letsencrypt-staging}
settings: {log_level: debug, probe_port: 8443, probe_allow_private: true, probe_resolvers: [192.0.2.53, "192.0.2.54:53"]}
extraEnv: [{name: TZ, value: Europe/Berlin}]
extraVolumes: [{name: ca, configMap: {name: ca}}]
extraVolumeMounts: [{name: ca, mountPath: /certs, readOnly: true}]
runAsUser: 12345
runAsGroup: 12345
podAnnotations: {a: b}
podLabels: {team: keys}
nodeSelector: {kubernetes.io/arch: arm64}
tolerations: [{key: arm, operator: Exists}]
affinity: {nodeAffinity: {}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]
priorityClassName: high
serviceAccount: {create: false, name: keys}
networkPolicy: {adminFrom: {name: prometheus}, extraEgress: [{ports: [{port: 6379}]}]}`},
	{"monitoring", `
monitoring:
  serviceMonitor: {enabled: true, labels: {release: prometheus}}
  prometheusRule: {enabled: true, labels: {release: prometheus}}`},
	{"several domains", `
settings: {sites_dir: /data/sites}`},
	{"nothing but the program", `
networkPolicy: {enabled: false}
podDisruptionBudget: {enabled: false}
serviceAccount: {create: false}`},
}

// An object is one object of Kubernetes, as JSON gives it.
type object map[string]any

// at returns what lies on a path of keys, nil if there is nothing.
func (o object) at(path ...string) any {
	var here any = map[string]any(o)
	for _, key := range path {
		m, _ := here.(map[string]any)
		here = m[key]
	}
	return here
}

func (o object) text(path ...string) string {
	s, _ := o.at(path...).(string)
	return s
}

func (o object) kind() string { return o.text("kind") }
func (o object) name() string { return o.text("metadata", "name") }

// within returns the object on a path.
func (o object) within(path ...string) object {
	m, _ := o.at(path...).(map[string]any)
	return m
}

// list returns the objects of a list on a path.
func (o object) list(path ...string) []object {
	var all []object
	items, _ := o.at(path...).([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// A rendering is what the chart gives for some values.
type rendering struct {
	Objects []object
	Notes   string
	err     error
}

// renderings holds what was rendered, by values: many tests look at the same.
var renderings sync.Map // string to func() rendering

// render renders the chart as release "keys".
func render(t *testing.T, text string) (objects []object, notes string, err error) {
	t.Helper()
	once, _ := renderings.LoadOrStore(text, sync.OnceValue(func() (r rendering) {
		dir, err := filepath.Abs("wellkey")
		if err != nil {
			return rendering{err: err}
		}
		out, err := deploytest.Check(t, text, "chart", dir, "keys")
		if err == nil {
			err = json.Unmarshal([]byte(out), &r)
		}
		r.err = err
		return r
	}))
	r := once.(func() rendering)()
	return r.Objects, r.Notes, r.err
}

const domain = "domain: keys.example.com\n"

// forEach renders every set of values and looks at what comes out, by kind and
// name.
func forEach(t *testing.T, look func(t *testing.T, v values, all map[string]object)) {
	t.Helper()
	t.Parallel()
	for _, v := range matrix {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			text := domain + v.yaml
			if strings.Contains(v.yaml, "sites_dir") {
				text = v.yaml
			}
			objects, _, err := render(t, text)
			if err != nil {
				t.Fatal(err)
			}
			all := map[string]object{}
			for _, o := range objects {
				all[o.kind()+"/"+o.name()] = o
			}
			if len(all) != len(objects) {
				t.Errorf("%d objects, but %d names", len(objects), len(all))
			}
			look(t, v, all)
		})
	}
}

// What is rendered is what was chosen: no more objects, and no fewer.
func TestObjects(t *testing.T) {
	forEach(t, func(t *testing.T, v values, all map[string]object) {
		var chosen struct {
			Replicas    int
			Persistence struct {
				Enabled       *bool
				ExistingClaim string `yaml:"existingClaim"`
			}
			Ingress        struct{ Enabled bool }
			NetworkPolicy  struct{ Enabled *bool } `yaml:"networkPolicy"`
			ServiceAccount struct{ Create *bool }  `yaml:"serviceAccount"`
		}
		if err := yaml.Unmarshal([]byte(v.yaml), &chosen); err != nil {
			t.Fatal(err)
		}
		no := func(b *bool) bool { return b != nil && !*b }
		monitoring := strings.Contains(v.yaml, "serviceMonitor: {enabled: true")
		for name, want := range map[string]bool{
			"Deployment/keys-wellkey":            true,
			"Service/keys-wellkey":               true,
			"Service/keys-wellkey-admin":         true,
			"PersistentVolumeClaim/keys-wellkey": !no(chosen.Persistence.Enabled) && chosen.Persistence.ExistingClaim == "",
			"Ingress/keys-wellkey":               chosen.Ingress.Enabled,
			"NetworkPolicy/keys-wellkey":         !no(chosen.NetworkPolicy.Enabled),
			"ServiceAccount/keys-wellkey":        !no(chosen.ServiceAccount.Create),
			"PodDisruptionBudget/keys-wellkey":   chosen.Replicas > 1,
			"ServiceMonitor/keys-wellkey":        monitoring,
			"PrometheusRule/keys-wellkey":        monitoring,
		} {
			if _, is := all[name]; is != want {
				t.Errorf("%s: rendered %v, want %v", name, is, want)
			}
			delete(all, name)
		}
		for name := range all {
			t.Errorf("%s was rendered, and nobody knows it", name)
		}
	})
}

// The claim outlives the release, whose removal would strand cars.
func TestClaimIsKept(t *testing.T) {
	t.Parallel()
	objects, _, err := render(t, domain)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.kind() == "PersistentVolumeClaim" && o.within("metadata", "annotations")["helm.sh/resource-policy"] != "keep" {
			t.Error("helm uninstall would delete the claim, and the key with it")
		}
	}
}

// The notes say what is left to do.
func TestNotes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		domain:                  {"keys.example.com", "get service keys-wellkey", "wellkey waits for credentials", "Keep a copy elsewhere"},
		domain + matrix[1].yaml: {"read from the Secret tesla"},
		domain + matrix[6].yaml: {"the ingress; its certificate must be for that name"},
		domain + "persistence: {existingClaim: k}": {"on the volume k,"},
		"settings: {sites_dir: /data/sites}":       {"the public key of each of your domains.", "exec deploy/keys-wellkey -- /wellkey sites add example.com", "rollout restart deploy/keys-wellkey"},
	} {
		_, notes, err := render(t, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range want {
			if !strings.Contains(notes, part) {
				t.Errorf("with %q the notes do not say %q:\n%s", text, part, notes)
			}
		}
	}
}
