package kubernetes_test

import (
	"strings"
	"testing"

	"wellkey/internal/config"
)

// Values that do not go together, or that are no values, are refused with what is
// wrong and the way out.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ yaml, want string }{
		"no domain":                 {"", "domain: is not set. Give the bare host name"},
		"one of several":            {domain + "settings: {sites_dir: /data/sites}", "domain: is for one domain, and settings.sites_dir for several"},
		"a Secret of several":       {"settings: {sites_dir: /data/sites}\ncredentials: {existingSecret: tesla}", "credentials.existingSecret: is for one domain, and settings.sites_dir for several"},
		"replicas of several":       {"settings: {sites_dir: /data/sites}\nreplicas: 2\npersistence: {accessMode: ReadWriteMany}", "replicas: is for one domain, and settings.sites_dir for several"},
		"sites in a variable":       {domain + "settings: {sites: [a.example.com]}", "settings.sites: can only be in a file. Set settings.sites_dir"},
		"a URL as domain":           {"domain: https://keys.example.com", `domain: "https://keys.example.com" is no bare host name`},
		"a domain in upper case":    {"domain: Keys.example.com", "Write it in lower case"},
		"misspelled value":          {domain + "replcas: 2", "additional properties 'replcas' not allowed"},
		"misspelled deep value":     {domain + "tls: {mod: off}", "additional properties 'mod' not allowed"},
		"unknown mode":              {domain + "tls: {mode: maybe}", "at '/tls/mode': value must be one of 'acme', 'files', 'off'"},
		"unknown region":            {domain + "regions: [us]", "value must be one of 'na', 'eu', 'cn'"},
		"no replica":                {domain + "replicas: 0", "at '/replicas': minimum: got 0, want 1"},
		"root":                      {domain + "runAsUser: 0", "at '/runAsUser': minimum: got 0, want 1"},
		"a digest that is none":     {domain + "image: {digest: latest}", "at '/image/digest'"},
		"ingress and ACME":          {domain + "ingress: {enabled: true}", "ingress.enabled: the ingress ends TLS, so wellkey must not. Set tls.mode to off"},
		"no TLS anywhere":           {domain + `tls: {mode: "off"}`, "tls.mode: off serves the key without TLS, and Tesla wants https"},
		"files without a Secret":    {domain + "tls: {mode: files}", "tls.existingSecret: is not set"},
		"a Secret that is idle":     {domain + "tls: {existingSecret: keys-tls}", "tls.existingSecret: is set, but tls.mode is acme"},
		"replicas without a key":    {domain + "replicas: 2\npersistence: {accessMode: ReadWriteMany}", "replicas: more than one want the same key"},
		"replicas on one volume":    {domain + "replicas: 2\nkey: {existingSecret: k}", "replicas: one volume with ReadWriteOnce is for one pod"},
		"a claim and no volume":     {domain + "persistence: {enabled: false, existingClaim: k}", "persistence.existingClaim: is set, but persistence.enabled is false"},
		"certificates in a pod":     {domain + "persistence: {enabled: false}\nkey: {existingSecret: k}", "persistence.enabled: without a volume, certificates are lost with the pod"},
		"the key in a pod":          {domain + "persistence: {enabled: false}\ntls: {mode: files, existingSecret: t}", "persistence.enabled: without a volume, the key that cars trust is lost"},
		"a store without a key":     {domain + "storage: {existingSecret: s}", "storage.existingSecret: a private key is never put into a shared store"},
		"sealed nothing":            {domain + "storage: {sealed: true}", "storage.sealed: is true, but there is no store to seal"},
		"replicas that order":       {domain + "replicas: 2\npersistence: {enabled: false}\nkey: {existingSecret: k}", "replicas: more than one want to share certificates"},
		"cn among others":           {domain + "regions: [na, cn]", "regions: cn has applications of its own"},
		"a secret in the clear":     {domain + "settings: {client_secret: x}", "settings.client_secret: is a secret, and values are kept in the clear. Put it into a Secret, and name that in credentials.existingSecret"},
		"a setting with a value":    {domain + "settings: {acme_email: a@example.com}", "settings.acme_email: has a value of its own. Set acme.email"},
		"a port of its own":         {domain + `settings: {https_addr: ":443"}`, "settings.https_addr: the ports, probes and volumes of the chart count on the image's own"},
		"a password for nobody":     {domain + "monitoring: {serviceMonitor: {enabled: true, basicAuth: {existingSecret: scrape}}}", "monitoring.serviceMonitor.basicAuth.existingSecret: is set, but nobody asks for it. Name the file that does in settings.admin_web_config"},
		"a password and no monitor": {domain + "settings: {admin_web_config: /w.yml}\nmonitoring: {serviceMonitor: {tls: {enabled: true}}}", "monitoring.serviceMonitor.tls.enabled: is set, but there is no ServiceMonitor"},
		"roots without TLS":         {domain + "settings: {admin_web_config: /w.yml}\nmonitoring: {serviceMonitor: {enabled: true, tls: {existingSecret: roots}}}", "monitoring.serviceMonitor.tls: has a Secret or a name, but is not enabled"},
		"runbooks that are no URL":  {domain + "monitoring: {prometheusRule: {runbooks: runbooks.html}}", "at '/monitoring/prometheusRule/runbooks'"},
		"runbooks with a fragment":  {domain + `monitoring: {prometheusRule: {runbooks: "https://git.example.com/runbooks.md#x"}}`, "at '/monitoring/prometheusRule/runbooks'"},
		"a map as setting":          {domain + "settings: {log_level: {a: b}}", "at '/settings/log_level'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := render(t, c.yaml)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want a refusal with %q, got %v", c.want, err)
			}
		})
	}
}

// No secret setting may stand among values.
func TestSecretsAreRefused(t *testing.T) {
	t.Parallel()
	found := 0
	for line := range strings.Lines(config.MarkdownTable()) {
		if !strings.Contains(line, "has no flag, since a command line is public") {
			continue
		}
		found++
		name := strings.Split(line, "`")[1]
		if _, _, err := render(t, domain+"settings: {"+name+": x}"); err == nil || !strings.Contains(err.Error(), "settings."+name+": is a secret") {
			t.Errorf("%s among the values is not refused: %v", name, err)
		}
	}
	if found < 3 {
		t.Errorf("only %d secrets: the table has changed its words", found)
	}
}
