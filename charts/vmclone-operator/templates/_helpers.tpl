{{- define "vmclone.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "vmclone.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "vmclone.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "vmclone.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Names of cluster-scoped objects: two releases must not share them. */ -}}
{{- define "vmclone.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "vmclone.fullname" .) -}}
{{- end -}}

{{- define "vmclone.serviceAccount" -}}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.create=false needs serviceAccount.name: the ServiceAccount that is to be used" -}}
{{- end -}}
{{- default (include "vmclone.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "vmclone.selector" -}}
app.kubernetes.io/name: {{ include "vmclone.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- /* Labels of every object; those that the release's owner wants beat ours but for the selector's, which are refused. */ -}}
{{- define "vmclone.labels" -}}
{{- include "vmclone.labelsWith" (dict "root" . "more" dict) -}}
{{- end -}}

{{- /* The same, and `more` for this object. */ -}}
{{- define "vmclone.labelsWith" -}}
{{- merge (deepCopy .more) (deepCopy .root.Values.commonLabels) (include "vmclone.ownLabels" .root | fromYaml) | toYaml -}}
{{- end -}}

{{- /* The annotations of an object: takes a dictionary of `root` and `own`; yields the key, too, when there are any. */ -}}
{{- define "vmclone.annotations" -}}
{{- with merge (deepCopy (default dict .own)) .root.Values.commonAnnotations -}}
annotations: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- define "vmclone.ownLabels" -}}
app.kubernetes.io/name: {{ include "vmclone.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: vmclone
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- /* The full name of an image: takes a dictionary of `root` and `image`. */ -}}
{{- define "vmclone.imageName" -}}
{{- $name := .image.repository -}}
{{- if .root.Values.imageRegistry }}{{ $name = printf "%s/%s" .root.Values.imageRegistry $name }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "vmclone.image" -}}
{{- include "vmclone.imageName" (dict "root" . "image" .Values.image) -}}
{{- end -}}

{{- /* Who pods run as is a choice; that they are restricted is none. */ -}}
{{- define "vmclone.podSecurity" -}}
{{- $floor := dict "runAsNonRoot" true -}}
{{- $seccomp := dict "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- merge $floor (deepCopy .Values.podSecurityContext) $seccomp | toYaml -}}
{{- end -}}

{{- define "vmclone.containerSecurity" -}}
{{- $floor := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- merge $floor (deepCopy .Values.securityContext) | toYaml -}}
{{- end -}}

{{- /* Where the pods of the release run, and how they find names: the Deployment's and those of the hooks. */ -}}
{{- define "vmclone.podPlace" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* The environment that the owner of the release adds: a map of texts, or a list as a container has it. */ -}}
{{- define "vmclone.extraEnv" -}}
{{- with .Values.operator.extraEnv -}}
{{- if kindIs "slice" . -}}
{{- toYaml . -}}
{{- else -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Refuses values that Helm's schema cannot: what would part a Service from its pods, or a leader from its Lease. */ -}}
{{- define "vmclone.refusals" -}}
{{- $ours := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- range $value, $labels := dict "podLabels" .Values.podLabels "commonLabels" .Values.commonLabels "homeCopy.podLabels" .Values.homeCopy.podLabels -}}
{{- range $name := keys $labels -}}
{{- if has $name $ours -}}
{{- fail (printf "%s has %s, by which Services and policies find the pods: use another label, or nameOverride" $value $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.leaderElection -}}
{{- if not (and (le (mul 3 (int .retryPeriodSeconds)) (int .renewDeadlineSeconds)) (lt (int .renewDeadlineSeconds) (int .leaseDurationSeconds))) -}}
{{- fail "leaderElection: renewDeadlineSeconds must be less than leaseDurationSeconds, and three times retryPeriodSeconds or more" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Whether an object of the Prometheus operator is rendered: takes `root`, `mode`, `kind` and `value`. */ -}}
{{- define "vmclone.rendered" -}}
{{- $known := .root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1" -}}
{{- if and (eq .mode "failIfMissing") (not $known) -}}
{{- fail (printf "%s.enabled needs the %s of the Prometheus operator (monitoring.coreos.com/v1), which this cluster does not serve; install it, or set %s.renderMode to skipIfMissing" .value .kind .value) -}}
{{- end -}}
{{- if or $known (ne .mode "skipIfMissing") -}}true{{- end -}}
{{- end -}}

{{- /* Where the pods that copy homes run, and with how much, as the operator reads it. */ -}}
{{- define "vmclone.homeCopyPods" -}}
{{- $pods := pick .Values.homeCopy "resources" "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" "podLabels" "podAnnotations" "ttlSecondsAfterFinished" -}}
{{- /* An id that was taken away is null: the cluster chooses it. */ -}}
{{- $users := dict -}}
{{- range list "runAsUser" "runAsGroup" "fsGroup" -}}
{{- $_ := set $users . (index $.Values.homeCopy.podSecurityContext .) -}}
{{- end -}}
{{- $shared := pick .Values "imagePullSecrets" "hostAliases" "dnsPolicy" "dnsConfig" -}}
{{- merge (dict "podSecurityContext" $users) $shared $pods | toJson -}}
{{- end -}}

{{- /* What the operator may do with users' objects, in all namespaces or in those that it watches. */ -}}
{{- define "vmclone.userRules" -}}
- apiGroups: [vmclone.dev]
  resources: [vmclones, vmclonereplicas]
  verbs: [get, list, watch]
# Patching the object itself is for metadata.finalizers; the operator never writes a VMClone's spec.
- apiGroups: [vmclone.dev]
  resources: [vmclones]
  verbs: [patch]
- apiGroups: [vmclone.dev]
  resources: [vmclonereplicas]
  verbs: [create, delete, patch]
- apiGroups: [vmclone.dev]
  resources: [vmclones/status, vmclonereplicas/status]
  verbs: [patch]
# To set an owner reference that blocks the owner's deletion, where the cluster asks for this right.
- apiGroups: [vmclone.dev]
  resources: [vmclones/finalizers]
  verbs: [update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- /* How the metrics are read, for a ServiceMonitor and for a PodMonitor alike: takes its values. */ -}}
{{- define "vmclone.scrape" -}}
port: metrics
path: /metrics
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Where an alert is explained: takes `root` and `alert`. */ -}}
{{- define "vmclone.runbook" -}}
{{- with .root.Values.prometheusRule.runbookUrl -}}
runbook_url: {{ printf "%s/%s" (trimSuffix "/" .) (lower $.alert) | quote }}
{{- else -}}
runbook: {{ printf "docs/runbooks/%s.md" (lower .alert) }}
{{- end -}}
{{- end -}}
