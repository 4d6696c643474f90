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
{{- default (include "vmclone.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "vmclone.selector" -}}
app.kubernetes.io/name: {{ include "vmclone.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "vmclone.labels" -}}
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

{{- define "vmclone.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "vmclone.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* Where the pods that copy homes run, and with how much, as the operator reads it. */ -}}
{{- define "vmclone.homeCopyPods" -}}
{{- $pods := pick .Values.homeCopy "resources" "nodeSelector" "tolerations" "affinity" "priorityClassName" -}}
{{- merge (dict "imagePullSecrets" .Values.imagePullSecrets) $pods | toJson -}}
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
