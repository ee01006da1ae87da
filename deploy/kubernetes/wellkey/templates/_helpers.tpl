{{/* The name of everything. */}}
{{- define "wellkey.name" -}}
{{- ternary .Release.Name (printf "%s-wellkey" .Release.Name) (contains "wellkey" .Release.Name) | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "wellkey.selector" -}}
app.kubernetes.io/name: wellkey
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wellkey.labels" -}}
{{ include "wellkey.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "wellkey.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "wellkey.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "wellkey.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "wellkey.claim" -}}
{{ .Values.persistence.existingClaim | default (include "wellkey.name" .) }}
{{- end }}

{{/* Whether two pods may run side by side, if only for a moment. */}}
{{- define "wellkey.mayOverlap" -}}
{{- if or (not .Values.persistence.enabled) (eq .Values.persistence.accessMode "ReadWriteMany") }}true{{ end }}
{{- end }}

{{/* How a probe asks for a path: the kubelet itself knows no password of the admin
listener, so where there may be one, wellkey's own command asks, in the pod. */}}
{{- define "wellkey.probe" -}}
{{- if hasKey .values.settings "admin_web_config" -}}
exec:
  command: {{ if eq .path "/readyz" }}[/wellkey, healthcheck, --ready]{{ else }}[/wellkey, healthcheck]{{ end }}
{{- else -}}
httpGet:
  path: {{ .path }}
  port: admin
{{- end }}
{{- end }}
