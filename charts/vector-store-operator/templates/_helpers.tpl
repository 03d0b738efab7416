{{/* The prefix of all names: the release name, followed by the chart name unless it contains it. */}}
{{- define "vector-store-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "vector-store-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* The labels that select the Pods of this release. A Deployment's selector is immutable. */}}
{{- define "vector-store-operator.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: manager
{{- end -}}

{{/* The labels of every object. */}}
{{- define "vector-store-operator.labels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "vector-store-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (printf "%s-manager" (include "vector-store-operator.fullname" .)) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is required if serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/*
The annotations of an object, as a mapping or nothing. The argument is (list . ANNOTATIONS), which override the
common ones.
*/}}
{{- define "vector-store-operator.annotations" -}}
{{- with merge (dict) (default dict (index . 1)) (default dict (index . 0).Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The argument, a mapping or null, without the keys whose value is null, at any depth. */}}
{{- define "vector-store-operator.withoutNulls" -}}
{{- $kept := dict -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $kept $key (include "vector-store-operator.withoutNulls" $value | fromYaml) -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $_ := set $kept $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end -}}

{{/* The pull secrets, which can be names or objects with a name. */}}
{{- define "vector-store-operator.imagePullSecrets" -}}
{{- range concat (default list (dig "imagePullSecrets" list (default dict .Values.global))) (default list .Values.imagePullSecrets) | uniq }}
- name: {{ ternary . (dig "name" "" (ternary dict . (kindIs "string" .))) (kindIs "string" .) }}
{{- end }}
{{- end -}}

{{- define "vector-store-operator.image" -}}
{{- with .Values.image -}}
{{- with default .registry (dig "imageRegistry" "" (default dict $.Values.global)) }}{{ . }}/{{ end -}}
{{- .repository -}}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* The operator's ServiceAccount as the subject of a binding. */}}
{{- define "vector-store-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "vector-store-operator.serviceAccount" . }}
  namespace: {{ include "vector-store-operator.namespace" . }}
{{- end -}}

{{/*
The rules of a role in files/. The argument is (list . FILE KIND NAME). `make chart` copies files/
from config/.
*/}}
{{- define "vector-store-operator.rules" -}}
{{- $root := index . 0 -}}
{{- $file := index . 1 -}}
{{- $found := dict -}}
{{- range splitList "\n---\n" (printf "\n%s" ($root.Files.Get (printf "files/%s" $file))) -}}
{{- $object := fromYaml . -}}
{{- if and (eq (toString $object.kind) (index $ 2)) (eq (toString (dig "metadata" "name" "" $object)) (index $ 3)) -}}
{{- $_ := set $found "rules" $object.rules -}}
{{- end -}}
{{- end -}}
{{- required (printf "%s has no %s %s" $file (index . 2) (index . 3)) $found.rules | toYaml -}}
{{- end -}}

{{/* The grace period of the Pods, in seconds: the preStop hook, one request, and the writes before and after it. */}}
{{- define "vector-store-operator.gracePeriod" -}}
{{- add .Values.requestTimeoutSeconds 45 -}}
{{- end -}}

{{/* The flags of the operator. */}}
{{- define "vector-store-operator.args" -}}
{{- if .Values.leaderElection.enabled }}
- --leader-elect
{{- end }}
{{- with .Values.watchNamespaces }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- with .Values.watchLabelSelector }}
- {{ printf "--watch-label-selector=%s" . | quote }}
{{- end }}
{{- range $flag, $value := dict "concurrency" .Values.concurrency "creates-per-minute" .Values.limits.createsPerMinute "files-per-minute" .Values.limits.filesPerMinute "requests-per-second" .Values.limits.requestsPerSecond }}
{{- if not (kindIs "invalid" $value) }}
- --{{ $flag }}={{ $value }}
{{- end }}
{{- end }}
{{- range $flag, $value := dict "finalize-timeout" .Values.finalizeTimeout "poll-interval-min" .Values.polling.minInterval "poll-interval-max" .Values.polling.maxInterval }}
{{- with $value }}
- --{{ $flag }}={{ . }}
{{- end }}
{{- end }}
{{- with .Values.allowedEndpoints }}
- {{ printf "--allowed-endpoints=%s" (join "," .) | quote }}
{{- end }}
{{- with .Values.allowedAddresses }}
- {{ printf "--allowed-addresses=%s" (join "," .) | quote }}
{{- end }}
{{- if .Values.extraCAs }}
- --extra-ca-dir=/etc/vector-store-operator/ca
{{- end }}
{{- if .Values.allowInsecureEndpoints }}
- --allow-insecure-endpoints
{{- end }}
{{- if ne (int .Values.requestTimeoutSeconds) 30 }}
- --request-timeout={{ int .Values.requestTimeoutSeconds }}s
{{- end }}
{{- if ne (toString .Values.logLevel) "info" }}
- --zap-log-level={{ .Values.logLevel }}
{{- end }}
{{- if not .Values.metrics.enabled }}
- --metrics-bind-address=0
{{- else if not .Values.metrics.secure }}
- --metrics-secure=false
{{- else if .Values.metrics.certificateSecret }}
- --metrics-cert-dir=/etc/vector-store-operator/metrics
{{- end }}
{{- if and .Values.metrics.enabled .Values.metrics.namespaceLabel }}
- --metrics-namespace-label
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The environment variables of the operator. */}}
{{- define "vector-store-operator.env" -}}
# The garbage collector keeps the process below nine tenths of it.
- name: MEMORY_LIMIT
  valueFrom:
    resourceFieldRef:
      resource: limits.memory
{{- with .Values.proxy }}
{{- with .http }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .https }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- if or .http .https }}
# The kubelet expands the address of the API server, which is never called through the proxy.
- name: NO_PROXY
  value: {{ concat (list "$(KUBERNETES_SERVICE_HOST)" "localhost" ".svc" ".cluster.local") (default list .noProxy) | join "," | quote }}
{{- end }}
{{- end }}
{{- with .Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The volume mounts of the operator. */}}
{{- define "vector-store-operator.volumeMounts" -}}
{{- if .Values.extraCAs }}
- name: ca
  mountPath: /etc/vector-store-operator/ca
  readOnly: true
{{- end }}
{{- if and .Values.metrics.enabled .Values.metrics.secure .Values.metrics.certificateSecret }}
- name: metrics
  mountPath: /etc/vector-store-operator/metrics
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "vector-store-operator.volumes" -}}
{{- if .Values.extraCAs }}
- name: ca
  projected:
    sources:
    {{- range $index, $source := .Values.extraCAs }}
    {{- range $kind, $ref := $source }}
    - {{ $kind }}:
        name: {{ $ref.name }}
        items:
        - key: {{ $ref.key | quote }}
          # Numbered, because two sources can have the same key.
          path: {{ $index }}.crt
    {{- end }}
    {{- end }}
{{- end }}
{{- if and .Values.metrics.enabled .Values.metrics.secure .Values.metrics.certificateSecret }}
- name: metrics
  secret:
    secretName: {{ .Values.metrics.certificateSecret }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The topology spread constraints. A constraint without a labelSelector selects this release's Pods. */}}
{{- define "vector-store-operator.topologySpreadConstraints" -}}
{{- $selector := include "vector-store-operator.selector" . | fromYaml -}}
{{- $constraints := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (merge (dict) . (dict "labelSelector" (dict "matchLabels" $selector))) -}}
{{- end -}}
{{- toYaml $constraints -}}
{{- end -}}
