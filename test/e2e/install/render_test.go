// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// TestChart_EqualsKustomize compares every object. Only the labels that name the tool differ, the
// annotation that keeps the CRD, the Namespace, which Helm creates itself, and the hooks of `helm test`.
func TestChart_EqualsKustomize(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	for name, test := range map[string]struct {
		values string
		trees  []string
	}{
		"by default":            {"", []string{"config/default"}},
		"with a network policy": {"networkPolicy: {enabled: true}", []string{"config/default", "config/network-policy"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := objects{}
			for _, tree := range test.trees {
				maps.Copy(want, withoutTool(parse(t, kustomize(t, tree))))
			}
			namespace := "Namespace /" + systemNamespace
			if want[namespace] == nil {
				t.Fatal("kustomize creates no Namespace")
			}
			delete(want, namespace)
			got := withoutTool(parse(t, h.template(t, test.values, "--no-hooks")))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("objects (-kustomize +chart):\n%s", diff)
			}
		})
	}
}

// TestInstaller_EqualsKustomize compares dist/install.yaml with config/default, which users render with another version of
// kustomize.
func TestInstaller_EqualsKustomize(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(kustomize(t, "config/default"), framework.ReadFile(t, "dist/install.yaml")); diff != "" {
		t.Errorf("-config/default, as kubectl renders it, +dist/install.yaml:\n%s\n`make build-installer` writes the file", diff)
	}
}

// TestInstaller_NamespacesOfObjects requires a namespace for the objects that have one, and none for the others: kustomize
// writes one on kinds that it does not know as cluster-wide.
func TestInstaller_NamespacesOfObjects(t *testing.T) {
	t.Parallel()
	clusterWide := []string{
		"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	}
	for key, object := range parse(t, kustomize(t, "config/default")) {
		want := systemNamespace
		if slices.Contains(clusterWide, object.GetKind()) {
			want = ""
		}
		if object.GetNamespace() != want {
			t.Errorf("%s: its namespace must be %q", key, want)
		}
	}
}

// kustomize renders a tree with the kustomize of kubectl.
func kustomize(t *testing.T, tree string) string {
	t.Helper()
	return framework.Kubectl{}.Must(t, "kustomize", tree)
}

// withoutTool removes from objects the fields that name the tool.
func withoutTool(all objects) objects {
	cleaned := objects{}
	for _, object := range all {
		labels := object.GetLabels()
		for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"} {
			delete(labels, label)
		}
		object.SetLabels(labels)
		annotations := object.GetAnnotations()
		delete(annotations, "helm.sh/resource-policy")
		object.SetAnnotations(annotations)
		cleaned[keyOf(object)] = object
	}
	return cleaned
}

// TestChart_FilesAreCopies compares the chart's files/ with config/.
func TestChart_FilesAreCopies(t *testing.T) {
	t.Parallel()
	files := 0
	root := framework.Path(chart, "files")
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if framework.ReadFile(t, filepath.Join(chart, "files", name)) != framework.ReadFile(t, filepath.Join("config", name)) {
			t.Errorf("files/%s is not config/%s: `make chart` copies it", name, name)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("comparing %d files: %v", files, err)
	}
}

func TestChart_Lint(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	for name, values := range map[string]string{"by default": "", "with everything": everything} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h.run(t, "lint", "--strict", "--values", valuesFile(t, values), chart)
		})
	}
}

// everything sets each value to one that is not its default.
const everything = `
nameOverride: files
fullnameOverride: file-batches
commonLabels: {team: search}
replicaCount: 3
image: {registry: "registry.example:5000", repository: ai/vector-store-operator, tag: v1.2.3, digest: "sha256:` +
	`0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", pullPolicy: Always}
imagePullSecrets: [registry, {name: other}]
namespaceOverride: ""
commonAnnotations: {example.com/owner: search}
watchLabelSelector: tier=batch
concurrency: 32
limits: {createsPerMinute: 60, filesPerMinute: 1000, requestsPerSecond: 12.5}
polling: {minInterval: 10s, maxInterval: 2m}
finalizeTimeout: 20m
tracing: {endpoint: "http://collector.monitoring:4318"}
extraEnvFrom: [{configMapRef: {name: settings}}]
deploymentLabels: {tier: back}
deploymentAnnotations: {reloader.stakater.com/auto: "true"}
revisionHistoryLimit: 2
strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0}}
runtimeClassName: gvisor
livenessProbe: {failureThreshold: 5}
readinessProbe: {periodSeconds: 5}
dnsPolicy: None
dnsConfig: {nameservers: [192.0.2.53]}
hostAliases: [{ip: 192.0.2.1, hostnames: [llm.example]}]
extraVolumes: [{name: tmp, emptyDir: {}}]
extraVolumeMounts: [{name: tmp, mountPath: /tmp}]
initContainers: [{name: wait, image: registry.example/wait:1}]
extraContainers: [{name: proxy, image: registry.example/proxy:1}]
extraObjects:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: "{{ .Release.Namespace }}"}}
- |
  apiVersion: v1
  kind: ConfigMap
  metadata:
    name: {{ .Release.Name }}-more
    namespace: {{ .Release.Namespace }}
x-anchors: {anything: [goes]}
watchNamespaces: [team-a, team-b]
leaderElection: {enabled: true}
logLevel: debug
requestTimeoutSeconds: 60
extraArgs: [--pprof-bind-address=127.0.0.1:6060]
extraEnv: [{name: OTEL_SERVICE_NAME, value: files}]
allowedEndpoints: [api.openai.com, "*.openai.azure.com", "llm.example:8443"]
allowedAddresses: [127.0.0.1, "fe80::/10"]
allowInsecureEndpoints: true
extraCAs:
- configMap: {name: corporate-ca, key: ca.crt}
- secret: {name: other-ca, key: ca.crt}
proxy: {http: "http://proxy.example:3128", https: "http://proxy.example:3128", noProxy: [llm.example]}
crds: {enabled: true, keep: false, annotations: {example.com/note: crd}}
admissionPolicy: {enabled: true}
rbac: {create: true, aggregateClusterRoles: true}
serviceAccount: {create: true, name: files, annotations: {example.com/role: files}, labels: {tier: back}, automount: false}
metrics:
  enabled: true
  secure: true
  certificateSecret: metrics-certificate
  namespaceLabel: true
  readers: [{namespace: monitoring, name: prometheus}]
  service: {annotations: {example.com/scrape: "yes"}, labels: {scrape: "yes"}}
networkPolicy:
  enabled: true
  metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  egressPorts: [443]
  extraEgress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}], ports: [{protocol: TCP, port: 3128}]}]
podDisruptionBudget: {enabled: true, minAvailable: 50%}
podLabels: {tier: back}
podAnnotations: {example.com/note: "yes"}
podSecurityContext:
  {runAsNonRoot: true, runAsUser: 1000, fsGroup: 2000, fsGroupChangePolicy: OnRootMismatch, seccompProfile: {type: Localhost, localhostProfile: a.json}}
containerSecurityContext: {runAsUser: 2000, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}, seLinuxOptions: {level: "s0:c1,c2"}}
resources: {requests: {cpu: 1, memory: 128Mi}, limits: {memory: 1Gi}}
priorityClassName: system-cluster-critical
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Exists, effect: NoSchedule}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: arch, operator: Exists}]}]}}}
topologySpreadConstraints: [{maxSkew: 2, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]
tests: {image: "registry.example:5000/kubectl:v1.37.2", timeout: 30s, runAsUser: 1000}
`

// kindsOf returns the kinds and names of objects, without namespaces.
func kindsOf(all objects) []string {
	var kinds []string
	for _, object := range all {
		kinds = append(kinds, object.GetKind()+" "+strings.TrimPrefix(object.GetName(), release+"-"))
	}
	slices.Sort(kinds)
	return kinds
}

// TestValues_AddAndRemoveObjects compares the rendered objects with those by default.
func TestValues_AddAndRemoveObjects(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	usual := kindsOf(parse(t, h.template(t, "", "--no-hooks")))
	for name, test := range map[string]struct {
		values     string
		more, less []string
	}{
		"no CRD":            {values: "crds: {enabled: false}", less: []string{"CustomResourceDefinition vectorstorefilebatches.vector-store-operator.dev"}},
		"no budget":         {values: "podDisruptionBudget: {enabled: false}", less: []string{"PodDisruptionBudget manager"}},
		"a network policy":  {values: "networkPolicy: {enabled: true}", more: []string{"NetworkPolicy allow-egress-traffic", "NetworkPolicy allow-metrics-traffic"}},
		"another's account": {values: "serviceAccount: {create: false, name: mine}", less: []string{"ServiceAccount manager"}},
		"a monitor":         {values: "metrics: {certificateSecret: tls, serviceMonitor: {enabled: true}}", more: []string{"ServiceMonitor metrics"}},
		"alerts":            {values: "metrics: {prometheusRule: {enabled: true}}", more: []string{"PrometheusRule alerts"}},
		"a dashboard":       {values: "metrics: {dashboard: {enabled: true}}", more: []string{"ConfigMap dashboard"}},
		"readers":           {values: "metrics: {readers: [{namespace: monitoring, name: prometheus}]}", more: []string{"ClusterRoleBinding metrics-reader"}},
		"no monitor without metrics": {
			values: "metrics: {enabled: false, serviceMonitor: {enabled: true}}",
			less:   []string{"ClusterRole metrics-auth-role", "ClusterRole metrics-reader", "ClusterRoleBinding metrics-auth-rolebinding", "Service metrics"},
		},
		"open metrics": {
			values: "metrics: {secure: false}",
			less:   []string{"ClusterRole metrics-auth-role", "ClusterRole metrics-reader", "ClusterRoleBinding metrics-auth-rolebinding"},
		},
		"no policy of admission": {
			values: "admissionPolicy: {enabled: false}",
			less: []string{
				"ValidatingAdmissionPolicy vectorstorefilebatch-attributes", "ValidatingAdmissionPolicy vectorstorefilebatch-immutable-attributes",
				"ValidatingAdmissionPolicyBinding vectorstorefilebatch-attributes", "ValidatingAdmissionPolicyBinding vectorstorefilebatch-immutable-attributes",
			},
		},
		"no roles for people": {
			values: "rbac: {aggregateClusterRoles: false}",
			less:   []string{"ClusterRole vectorstorefilebatch-admin-role", "ClusterRole vectorstorefilebatch-editor-role", "ClusterRole vectorstorefilebatch-viewer-role"},
		},
		"no rights": {
			values: "rbac: {create: false}",
			less: []string{
				"ClusterRole manager-role", "ClusterRoleBinding manager-rolebinding", "ClusterRole metrics-auth-role", "ClusterRole metrics-reader",
				"ClusterRoleBinding metrics-auth-rolebinding", "Role leader-election-role", "RoleBinding leader-election-rolebinding",
			},
		},
		"no leader": {
			values: "{replicaCount: 1, leaderElection: {enabled: false}}",
			less:   []string{"Role leader-election-role", "RoleBinding leader-election-rolebinding"},
		},
		"some namespaces": {
			values: "watchNamespaces: [team-a, team-b]",
			less:   []string{"ClusterRole manager-role", "ClusterRoleBinding manager-rolebinding"},
			more:   []string{"Role manager-role", "Role manager-role", "RoleBinding manager-rolebinding", "RoleBinding manager-rolebinding"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := append(slices.DeleteFunc(slices.Clone(usual), func(kind string) bool { return slices.Contains(test.less, kind) }), test.more...)
			slices.Sort(want)
			if len(want) != len(usual)+len(test.more)-len(test.less) {
				t.Errorf("not all of %v are rendered by default: %v", test.less, usual)
			}
			if diff := cmp.Diff(want, kindsOf(parse(t, h.template(t, test.values, "--no-hooks")))); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChart_AlertsAndDashboardEqualKustomize compares the PrometheusRule and the dashboard.
func TestChart_AlertsAndDashboardEqualKustomize(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	want := parse(t, kustomize(t, "config/prometheus"))
	got := parse(t, h.template(t, "metrics: {prometheusRule: {enabled: true, failedBatches: true}, dashboard: {enabled: true}}", "--no-hooks"))
	for kind, field := range map[string]string{"PrometheusRule": "spec", "ConfigMap": "data"} {
		name := map[string]string{"PrometheusRule": release + "-alerts", "ConfigMap": release + "-dashboard"}[kind]
		wanted := want.find(t, kind, systemNamespace, name).Object[field]
		if diff := cmp.Diff(wanted, got.find(t, kind, systemNamespace, name).Object[field]); diff != "" || wanted == nil {
			t.Errorf("%s of the %s (-kustomize +chart):\n%s", field, kind, diff)
		}
	}
}

// TestChart_RolesEqualTheClusterRole compares the Roles with the ClusterRole.
func TestChart_RolesEqualTheClusterRole(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	want := parse(t, h.template(t, "")).find(t, "ClusterRole", "", release+"-manager-role").Object["rules"]
	got := parse(t, h.template(t, "watchNamespaces: [team-a, team-b]"))
	for _, namespace := range []string{"team-a", "team-b"} {
		if diff := cmp.Diff(want, got.find(t, "Role", namespace, release+"-manager-role").Object["rules"]); diff != "" {
			t.Errorf("permissions in %s (-ClusterRole +Role):\n%s", namespace, diff)
		}
		binding := got.find(t, "RoleBinding", namespace, release+"-manager-rolebinding")
		wantBinding := map[string]any{
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": release + "-manager-role"},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": release + "-manager", "namespace": systemNamespace}},
		}
		if diff := cmp.Diff(wantBinding, map[string]any{"roleRef": binding.Object["roleRef"], "subjects": binding.Object["subjects"]}); diff != "" {
			t.Errorf("the binding in %s (-want +got):\n%s", namespace, diff)
		}
	}
	for key, object := range got {
		if object.GetKind() == "ClusterRoleBinding" && !strings.HasSuffix(key, "-metrics-auth-rolebinding") {
			t.Errorf("the chart renders %s", key)
		}
	}
}

// at returns the value of a field, or nil.
func at(t *testing.T, object *unstructured.Unstructured, fields ...string) any {
	t.Helper()
	value, _, err := unstructured.NestedFieldNoCopy(object.Object, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}
