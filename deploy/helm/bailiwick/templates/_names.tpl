{{- /* Names and labels, and the values that exclude each other. */}}

{{- define "bailiwick.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end -}}
{{- end }}

{{- define "bailiwick.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bailiwick.labels" -}}
{{ include "bailiwick.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* True with SQLite on a volume. */}}
{{- define "bailiwick.embedded" -}}
{{- if not .Values.database.existingSecret }}true{{ end -}}
{{- end }}

{{- define "bailiwick.check" -}}
{{- if not .Values.masterKey.existingSecret }}
{{- fail "masterKey.existingSecret must name a Secret with the master key; make one with: kubectl create secret generic bailiwick --from-literal=master.key=$(openssl rand -hex 32)" }}
{{- end }}
{{- if and (include "bailiwick.embedded" .) (gt (int .Values.replicas) 1) }}
{{- fail "replicas must be 1 with SQLite; name a PostgreSQL by database.existingSecret to have more" }}
{{- end }}
{{- if not (or .Values.tls.existingSecret .Values.insecurePlainHttp) }}
{{- fail "give tls.existingSecret, or insecurePlainHttp=true if something in front does TLS" }}
{{- end }}
{{- if and .Values.metrics.enabled (eq (int .Values.metrics.port) 8470) }}
{{- fail "metrics.port must not be 8470, where the server itself listens" }}
{{- end }}
{{- end }}
