package kubernetes_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
)

// The pod passes the profile "restricted" of the Pod Security Standards.
//
// Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
func TestPodIsRestricted(t *testing.T) {
	forEach(t, func(t *testing.T, _ values, all map[string]object) {
		pod := all["Deployment/keys-wellkey"].within("spec", "template", "spec")
		for _, name := range []string{"hostNetwork", "hostPID", "hostIPC"} {
			if pod.at(name) != nil {
				t.Errorf("the pod has %s", name)
			}
		}
		if pod.at("securityContext", "runAsNonRoot") != true || pod.at("securityContext", "runAsUser") == float64(0) {
			t.Error("the pod may run as root")
		}
		if pod.text("securityContext", "seccompProfile", "type") != "RuntimeDefault" {
			t.Error("the pod has no seccomp profile")
		}
		for _, volume := range pod.list("volumes") {
			for kind := range volume {
				if !slices.Contains([]string{"name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}, kind) {
					t.Errorf("the volume %v is of the kind %s", volume["name"], kind)
				}
			}
		}
		containers := slices.Concat(pod.list("containers"), pod.list("initContainers"))
		if len(containers) != 1 {
			t.Errorf("%d containers", len(containers))
		}
		for _, c := range containers {
			security := c.within("securityContext")
			if security.at("allowPrivilegeEscalation") != false || security.at("privileged") != nil {
				t.Error("the container may gain privileges")
			}
			if dropped, _ := security.at("capabilities", "drop").([]any); !slices.Contains(dropped, any("ALL")) || security.at("capabilities", "add") != nil {
				t.Error("the container keeps capabilities")
			}
			for _, port := range c.list("ports") {
				if port["hostPort"] != nil {
					t.Error("the container takes a port of the node")
				}
			}
			// Beyond the standard.
			if security.at("readOnlyRootFilesystem") != true {
				t.Error("the container may write its own files")
			}
			if c.at("resources", "limits", "memory") == nil || c.at("resources", "requests", "cpu") == nil {
				t.Error("the container may take all memory, or is promised none")
			}
		}
		if pod.at("automountServiceAccountToken") != false || pod.at("enableServiceLinks") != false {
			t.Error("the pod is told about the cluster")
		}
		if pod["terminationGracePeriodSeconds"] != float64(40) {
			t.Errorf("the pod is killed after %v s", pod["terminationGracePeriodSeconds"])
		}
	})
}

// What the pod is given is what the program takes: its settings, the ports that it
// listens on, the paths that its probes ask.
func TestPodFitsTheProgram(t *testing.T) {
	image := deploytest.ReadImage(t)
	forEach(t, func(t *testing.T, _ values, all map[string]object) {
		deployment := all["Deployment/keys-wellkey"]
		pod := deployment.within("spec", "template", "spec")
		c := pod.list("containers")[0]
		env := map[string]string{}
		for _, variable := range c.list("env") {
			name := variable.text("name")
			if _, twice := env[name]; twice {
				t.Errorf("%s is set twice", name)
			}
			env[name] = variable.text("value")
		}
		var args []string
		for _, arg := range c["args"].([]any) {
			args = append(args, arg.(string))
		}
		// Files that must be there at the start, as the Secret of the store brings them.
		given, store := maps.Clone(env), t.TempDir()
		for name, text := range map[string]string{"WELLKEY_STORAGE_FILE": "rediss://wellkey:password@redis:6379/0", "WELLKEY_STORAGE_KEY_FILE": base64.StdEncoding.EncodeToString(make([]byte, 32))} {
			if env[name] == "" {
				continue
			}
			given[name] = filepath.Join(store, name)
			if err := os.WriteFile(given[name], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if env["WELLKEY_SITES_DIR"] != "" {
			given["WELLKEY_SITES_DIR"] = store // "sites add" makes it
		}
		if err := deploytest.CheckConfig(image.Environ(given), args); err != nil {
			t.Errorf("its settings are refused: %v", err)
		}

		ports := map[string]string{}
		for _, port := range c.list("ports") {
			ports[port.text("name")] = fmt.Sprint(port["containerPort"])
		}
		for name, setting := range map[string]string{"http": "WELLKEY_HTTP_ADDR", "https": "WELLKEY_HTTPS_ADDR", "admin": "WELLKEY_ADMIN_ADDR"} {
			if ":"+ports[name] != image.Env[setting] {
				t.Errorf("the port %s is %s, but %s is %s", name, ports[name], setting, image.Env[setting])
			}
		}
		for probe, path := range map[string]string{"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"} {
			if c.text(probe, "httpGet", "path") != path || c.text(probe, "httpGet", "port") != "admin" {
				t.Errorf("the %s asks %v", probe, c.at(probe, "httpGet"))
			}
		}

		// Files are where settings say: each below a mount, each mount of a volume.
		volumes := map[string]bool{}
		for _, volume := range pod.list("volumes") {
			volumes[volume.text("name")] = true
		}
		var mounts []string
		for _, mount := range c.list("volumeMounts") {
			mounts = append(mounts, mount.text("mountPath"))
			if !volumes[mount.text("name")] {
				t.Errorf("there is no volume %s", mount.text("name"))
			}
			delete(volumes, mount.text("name"))
		}
		for name := range volumes {
			t.Errorf("the volume %s is mounted nowhere", name)
		}
		for name, value := range image.With(env) {
			if strings.HasPrefix(value, "/") && !slices.ContainsFunc(mounts, func(mount string) bool { return value == mount || strings.HasPrefix(value, mount+"/") }) {
				t.Errorf("%s is %s, which is on none of the mounts %q", name, value, mounts)
			}
		}
	})
}

// The kubelet has no password, so with a web configuration the probes are commands
// of the program, which wants none on its own machine.
func TestProbesWithPasswords(t *testing.T) {
	t.Parallel()
	objects, _, err := render(t, domain+"settings: {admin_web_config: /etc/web/web.yml}\n"+
		"extraVolumes: [{name: web, secret: {secretName: web}}]\nextraVolumeMounts: [{name: web, mountPath: /etc/web}]")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.kind() != "Deployment" {
			continue
		}
		c := o.within("spec", "template", "spec").list("containers")[0]
		for probe, want := range map[string]string{"startupProbe": "[/wellkey healthcheck]", "livenessProbe": "[/wellkey healthcheck]", "readinessProbe": "[/wellkey healthcheck --ready]"} {
			if got := fmt.Sprint(c.at(probe, "exec", "command")); got != want || c.at(probe, "httpGet") != nil {
				t.Errorf("the %s is %v, want %s", probe, c.at(probe), want)
			}
		}
		return
	}
	t.Error("there is no Deployment")
}

// Two pods never want a volume that is for one.
func TestRollout(t *testing.T) {
	forEach(t, func(t *testing.T, v values, all map[string]object) {
		overlap := strings.Contains(v.yaml, "ReadWriteMany") || strings.Contains(v.yaml, "persistence: {enabled: false}")
		want := map[bool]string{true: "RollingUpdate", false: "Recreate"}[overlap]
		if got := all["Deployment/keys-wellkey"].text("spec", "strategy", "type"); got != want {
			t.Errorf("the strategy is %s, want %s", got, want)
		}
	})
}

// Services, the policy and the monitor find the pod and its ports.
func TestEverythingFindsThePod(t *testing.T) {
	forEach(t, func(t *testing.T, v values, all map[string]object) {
		labels := all["Deployment/keys-wellkey"].within("spec", "template", "metadata", "labels")
		finds := func(what string, selector, labels object) {
			if len(selector) == 0 {
				t.Errorf("%s selects everything", what)
			}
			for name, value := range selector {
				if labels[name] != value {
					t.Errorf("%s looks for %s=%v, but that is %v", what, name, value, labels[name])
				}
			}
		}
		finds("the deployment", all["Deployment/keys-wellkey"].within("spec", "selector", "matchLabels"), labels)
		admin := all["Service/keys-wellkey-admin"]
		for _, service := range []object{all["Service/keys-wellkey"], admin} {
			finds("the service "+service.name(), service.within("spec", "selector"), labels)
			for _, port := range service.list("spec", "ports") {
				if target := port.text("targetPort"); target != port.text("name") || (target == "admin") != (service.name() == admin.name()) {
					t.Errorf("the service %s sends %v to %s", service.name(), port["port"], target)
				}
			}
		}
		if admin.text("spec", "type") != "ClusterIP" {
			t.Error("the world may read the admin listener")
		}
		if policy := all["NetworkPolicy/keys-wellkey"]; policy != nil {
			finds("the policy", policy.within("spec", "podSelector", "matchLabels"), labels)
			for _, rule := range policy.list("spec", "ingress") {
				for _, port := range rule.list("ports") {
					if (port.text("port") == "admin") == (rule["from"] == nil) {
						t.Errorf("the policy lets everybody to %s, or keeps the world from it", port.text("port"))
					}
				}
			}
		}
		if budget := all["PodDisruptionBudget/keys-wellkey"]; budget != nil {
			finds("the budget", budget.within("spec", "selector", "matchLabels"), labels)
		}
		if monitor := all["ServiceMonitor/keys-wellkey"]; monitor != nil {
			finds("the monitor", monitor.within("spec", "selector", "matchLabels"), admin.within("metadata", "labels"))
			for _, endpoint := range monitor.list("spec", "endpoints") {
				if endpoint.text("port") != "admin" || endpoint.text("path") != "/metrics" {
					t.Errorf("the monitor scrapes %v", endpoint)
				}
			}
			if monitor.text("metadata", "labels", "release") != "prometheus" {
				t.Error("the operator does not find the monitor by the label that was chosen")
			}
		}
		if ingress := all["Ingress/keys-wellkey"]; ingress != nil {
			rule := ingress.list("spec", "rules")[0]
			backend := rule.list("http", "paths")[0].within("backend", "service")
			if rule.text("host") != "keys.example.com" || backend.text("name") != "keys-wellkey" || backend.text("port", "name") != "http" {
				t.Errorf("the ingress sends %v", rule)
			}
		}
	})
}
