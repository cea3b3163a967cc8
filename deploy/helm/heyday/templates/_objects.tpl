{{/* The labels of every object. */}}
{{- define "labels" -}}
app.kubernetes.io/name: heyday
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Gives a pod the image, the labels, and the secret of its volume. Arguments: root, template, secret. */}}
{{- define "pod" -}}
{{- $pod := .template.spec }}
{{- $_ := set .template.metadata.labels "app.kubernetes.io/name" "heyday" }}
{{- $_ := set (first $pod.containers) "image" (include "image" .root) }}
{{- range $pod.volumes }}
{{- if .secret }}
{{- $_ := set .secret "secretName" $.secret }}
{{- end }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
{{- $secrets := list }}
{{- range . }}
{{- $secrets = append $secrets (dict "name" .) }}
{{- end }}
{{- $_ := set $pod "imagePullSecrets" $secrets }}
{{- end }}
{{- end }}

{{/* Prints an object with the labels of every object. Arguments: root, object. */}}
{{- define "object" }}
---
{{- $labels := merge (.object.metadata.labels | default dict) (include "labels" .root | fromYaml) }}
{{- $_ := set .object.metadata "labels" $labels }}
{{ toYaml .object }}
{{- end }}
