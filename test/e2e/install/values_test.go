// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

func TestValues_Rejected(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	for name, test := range map[string]struct{ values, want string }{
		"an unknown value":             {"replica: 2", "additional properties 'replica' not allowed"},
		"an unknown value further in":  {"metrics: {serviceMonitor: {enable: true}}", "additional properties 'enable' not allowed"},
		"a number in words":            {"replicaCount: two", "/replicaCount"},
		"fewer than none":              {"replicaCount: -1", "/replicaCount"},
		"replicas without a leader":    {"{replicaCount: 2, leaderElection: {enabled: false}}", "/replicaCount"},
		"a string for a switch":        {`leaderElection: {enabled: "true"}`, "/leaderElection/enabled"},
		"an image with port and tag":   {"image: {repository: 'registry.example:5000/vector-store-operator:v1'}", "/image/repository"},
		"an image with its tag":        {"image: {repository: vector-store-operator:v1}", "/image/repository"},
		"a registry with a path":       {"image: {registry: registry.example/ai}", "/image/registry"},
		"a digest that is none":        {"image: {digest: sha256:abc}", "/image/digest"},
		"a tag that is none":           {"image: {tag: v1/2}", "/image/tag"},
		"an unknown pull policy":       {"image: {pullPolicy: Sometimes}", "/image/pullPolicy"},
		"a pull secret without a name": {"imagePullSecrets: [{key: registry}]", "/imagePullSecrets/0"},
		"both limits of a budget":      {"podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}", "/podDisruptionBudget"},
		"an unconfined Pod":            {"podSecurityContext: {seccompProfile: {type: Unconfined}}", "/podSecurityContext/seccompProfile/type"},
		"an alert of another project":  {"metrics: {prometheusRule: {disabled: [Watchdog]}}", "/metrics/prometheusRule/disabled/0"},
		"no concurrency":               {"concurrency: 0", "/concurrency"},
		"a namespace that is none":     {"watchNamespaces: [Team_A]", "/watchNamespaces/0"},
		"a namespace twice":            {"watchNamespaces: [a, a]", "/watchNamespaces"},
		"namespaces in one string":     {"watchNamespaces: a,b", "/watchNamespaces"},
		"an endpoint with a scheme":    {`allowedEndpoints: ["https://api.openai.com"]`, "/allowedEndpoints/0"},
		"an endpoint with a path":      {"allowedEndpoints: [api.openai.com/v1]", "/allowedEndpoints/0"},
		"any endpoint as a star":       {`allowedEndpoints: ["*"]`, "/allowedEndpoints/0"},
		"an address that is a name":    {"allowedAddresses: [localhost]", "/allowedAddresses/0"},
		"an address with a port":       {`allowedAddresses: ["127.0.0.1:80"]`, "/allowedAddresses/0"},
		"a prefix that is too long":    {"allowedAddresses: [10.0.0.0/33]", "/allowedAddresses/0"},
		"an unknown level":             {"logLevel: loud", "/logLevel"},
		"a level that logs Secrets":    {"logLevel: 6", "/logLevel"},
		"no time for a request":        {"requestTimeoutSeconds: 0", "/requestTimeoutSeconds"},
		"a time with its unit":         {"requestTimeoutSeconds: 30s", "/requestTimeoutSeconds"},
		"an argument that is no flag":  {"extraArgs: [concurrency=3]", "/extraArgs/0"},
		"a flag that has a value":      {"extraArgs: [--watch-namespaces=a]", "/extraArgs/0"},
		"a key in the environment":     {"extraEnv: [{name: OPENAI_API_KEY, value: sk-x}]", "/extraEnv/0/name"},
		"a variable without a name":    {"extraEnv: [{value: x}]", "missing property 'name'"},
		"authorities without a key":    {"extraCAs: [{configMap: {name: ca}}]", "/extraCAs/0"},
		"authorities from two places":  {"extraCAs: [{configMap: {name: ca, key: k}, secret: {name: ca, key: k}}]", "/extraCAs/0"},
		"a proxy without a scheme":     {"proxy: {https: proxy.example:3128}", "/proxy/https"},
		"hosts in one string":          {"proxy: {noProxy: ['a,b']}", "/proxy/noProxy/0"},
		"no account at all":            {"serviceAccount: {create: false}", "/serviceAccount/name"},
		"a certificate for no TLS":     {"metrics: {secure: false, certificateSecret: tls}", "/metrics/certificateSecret"},
		"a reader without a namespace": {"metrics: {readers: [{name: prometheus}]}", "/metrics/readers/0"},
		"an interval without a unit":   {"metrics: {serviceMonitor: {interval: '30'}}", "/metrics/serviceMonitor/interval"},
		"a port beyond all":            {"networkPolicy: {egressPorts: [65536]}", "/networkPolicy/egressPorts/0"},
		"an empty peer":                {"networkPolicy: {metricsFrom: [{}]}", "/networkPolicy/metricsFrom/0"},
		"a disruption budget of words": {"podDisruptionBudget: {maxUnavailable: some}", "/podDisruptionBudget/maxUnavailable"},
		"the root user":                {"podSecurityContext: {runAsUser: 0}", "/podSecurityContext/runAsUser"},
		"a laxer Pod":                  {"podSecurityContext: {runAsNonRoot: false}", "/podSecurityContext/runAsNonRoot"},
		"a privileged container":       {"containerSecurityContext: {privileged: true}", "/containerSecurityContext/privileged"},
		"a writable root":              {"containerSecurityContext: {readOnlyRootFilesystem: false}", "/containerSecurityContext/readOnlyRootFilesystem"},
		"escalation":                   {"containerSecurityContext: {allowPrivilegeEscalation: true}", "/containerSecurityContext/allowPrivilegeEscalation"},
		"a capability":                 {"containerSecurityContext: {capabilities: {add: [NET_ADMIN]}}", "additional properties 'add' not allowed"},
		"an unconfined container":      {"containerSecurityContext: {seccompProfile: {type: Unconfined}}", "/containerSecurityContext/seccompProfile/type"},
		"an unknown limit of rollouts": {"strategy: {rollingUpdate: {maxSurplus: 1}}", "additional properties 'maxSurplus' not allowed"},
		"an unknown TLS setting":       {"metrics: {serviceMonitor: {tlsConfig: {skipVerify: true}}}", "additional properties 'skipVerify' not allowed"},
		"an unknown affinity":          {"affinity: {nodeAffinity: {required: []}}", "additional properties 'required' not allowed"},
		"an unknown peer":              {"networkPolicy: {extraEgress: [{to: [{cidr: 192.0.2.0/24}]}]}", "additional properties 'cidr' not allowed"},
		"an unknown source":            {"extraEnv: [{name: A, valueFrom: {secretRef: {name: a}}}]", "additional properties 'secretRef' not allowed"},
		"no section":                   {"podDisruptionBudget: null", "missing property 'podDisruptionBudget'"},
		"a label that is the chart's":  {"commonLabels: {app.kubernetes.io/name: x}", "/commonLabels"},
		"a label that is none":         {"podLabels: {team: 'a b'}", "/podLabels/team"},
		"an annotation of a number":    {"podAnnotations: {a: 1}", "/podAnnotations/a"},
		"memory of words":              {"resources: {limits: {memory: much}}", "/resources/limits/memory"},
		"an unknown kind of resources": {"resources: {limit: {memory: 1Gi}}", "additional properties 'limit' not allowed"},
		"a name that is too long":      {"fullnameOverride: " + strings.Repeat("a", 41), "/fullnameOverride"},
		"an effect that is none":       {"tolerations: [{effect: Never}]", "/tolerations/0/effect"},
		"a spread without a key":       {"topologySpreadConstraints: [{maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]", "missing property 'topologyKey'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, complaint, err := h.try(t.Context(), "template", release, chart, "--values", valuesFile(t, test.values))
			if err == nil {
				t.Fatalf("helm renders it:\n%.500s", output)
			}
			if !strings.Contains(complaint, "values don't meet the specifications of the schema") || !strings.Contains(complaint, test.want) {
				t.Errorf("helm prints %q, want %q", complaint, test.want)
			}
		})
	}
}

// TestValues_Deployment compares the Deployment with the values.
func TestValues_Deployment(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	deployment := parse(t, h.template(t, everything, "--no-hooks")).find(t, "Deployment", systemNamespace, "file-batches-manager")
	selector := map[string]any{"app.kubernetes.io/name": "files", "app.kubernetes.io/instance": release, "app.kubernetes.io/component": "manager"}
	pod := []string{"spec", "template", "spec"}
	for name, test := range map[string]struct {
		at   []string
		want any
	}{
		"replicas":                      {[]string{"spec", "replicas"}, float64(3)},
		"selector":                      {[]string{"spec", "selector", "matchLabels"}, selector},
		"grace period":                  {append(pod, "terminationGracePeriodSeconds"), float64(105)},
		"account":                       {append(pod, "serviceAccountName"), "files"},
		"pull secrets":                  {append(pod, "imagePullSecrets"), []any{map[string]any{"name": "registry"}, map[string]any{"name": "other"}}},
		"seccomp profile":               {append(pod, "securityContext", "seccompProfile"), map[string]any{"type": "Localhost", "localhostProfile": "a.json"}},
		"runtime class":                 {append(pod, "runtimeClassName"), "gvisor"},
		"DNS":                           {append(pod, "dnsConfig", "nameservers"), []any{"192.0.2.53"}},
		"old ReplicaSets":               {[]string{"spec", "revisionHistoryLimit"}, float64(2)},
		"strategy":                      {[]string{"spec", "strategy", "rollingUpdate", "maxUnavailable"}, float64(0)},
		"annotations of the Deployment": {[]string{"metadata", "annotations"}, map[string]any{"example.com/owner": "search", "reloader.stakater.com/auto": "true"}},
		"priority":                      {append(pod, "priorityClassName"), "system-cluster-critical"},
		"node selector":                 {append(pod, "nodeSelector"), map[string]any{"kubernetes.io/os": "linux"}},
		"user of a Pod":                 {append(pod, "securityContext", "runAsUser"), float64(1000)},
		"no root":                       {append(pod, "securityContext", "runAsNonRoot"), true},
		"change of groups":              {append(pod, "securityContext", "fsGroupChangePolicy"), "OnRootMismatch"},
		"token":                         {append(pod, "automountServiceAccountToken"), true},
		"no group of it":                {append(pod, "securityContext", "runAsGroup"), nil},
		"tolerations":                   {append(pod, "tolerations"), []any{map[string]any{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}}},
		"spread": {append(pod, "topologySpreadConstraints"), []any{map[string]any{
			"maxSkew": float64(2), "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule",
			"labelSelector": map[string]any{"matchLabels": selector},
		}}},
		"labels of a Pod": {[]string{"spec", "template", "metadata", "labels"}, map[string]any{
			"app.kubernetes.io/name": "files", "app.kubernetes.io/instance": release, "app.kubernetes.io/component": "manager",
			"team": "search", "tier": "back",
		}},
		"annotations of a Pod": {[]string{"spec", "template", "metadata", "annotations"}, map[string]any{
			"kubectl.kubernetes.io/default-container": "manager", "example.com/note": "yes", "example.com/owner": "search",
		}},
		"volumes": {append(pod, "volumes"), []any{
			map[string]any{"name": "ca", "projected": map[string]any{"sources": []any{
				map[string]any{"configMap": map[string]any{"name": "corporate-ca", "items": []any{map[string]any{"key": "ca.crt", "path": "0.crt"}}}},
				map[string]any{"secret": map[string]any{"name": "other-ca", "items": []any{map[string]any{"key": "ca.crt", "path": "1.crt"}}}},
			}}},
			map[string]any{"name": "metrics", "secret": map[string]any{"secretName": "metrics-certificate"}},
			map[string]any{"name": "tmp", "emptyDir": map[string]any{}},
		}},
	} {
		if diff := cmp.Diff(test.want, at(t, deployment, test.at...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestValues_Container compares the whole container with the values.
func TestValues_Container(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	deployment := parse(t, h.template(t, everything, "--no-hooks")).find(t, "Deployment", systemNamespace, "file-batches-manager")
	containers, isList := at(t, deployment, "spec", "template", "spec", "containers").([]any)
	if !isList || len(containers) != 2 {
		t.Fatalf("the containers are %v", containers)
	}
	got := containers[0].(map[string]any)
	for _, shown := range []string{"ports", "livenessProbe", "readinessProbe", "lifecycle"} {
		delete(got, shown) // as by default, which TestChart_EqualsKustomize compares
	}
	variable := func(name, value string) any { return map[string]any{"name": name, "value": value} }
	mount := func(name, path string) any {
		return map[string]any{"name": name, "mountPath": path, "readOnly": true}
	}
	want := map[string]any{
		"name":            "manager",
		"image":           "registry.example:5000/ai/vector-store-operator@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"imagePullPolicy": "Always",
		"args": []any{
			"--leader-elect", "--watch-namespaces=team-a,team-b", "--watch-label-selector=tier=batch",
			"--concurrency=32", "--creates-per-minute=60", "--files-per-minute=1000", "--requests-per-second=12.5",
			"--finalize-timeout=20m", "--poll-interval-max=2m", "--poll-interval-min=10s", "--allowed-endpoints=api.openai.com,*.openai.azure.com,llm.example:8443",
			"--allowed-addresses=127.0.0.1,fe80::/10", "--extra-ca-dir=/etc/vector-store-operator/ca", "--allow-insecure-endpoints", "--request-timeout=60s", "--zap-log-level=debug",
			"--metrics-cert-dir=/etc/vector-store-operator/metrics", "--metrics-namespace-label", "--pprof-bind-address=127.0.0.1:6060",
		},
		"env": []any{
			map[string]any{"name": "MEMORY_LIMIT", "valueFrom": map[string]any{"resourceFieldRef": map[string]any{"resource": "limits.memory"}}},
			variable("HTTP_PROXY", "http://proxy.example:3128"), variable("HTTPS_PROXY", "http://proxy.example:3128"),
			variable("NO_PROXY", "$(KUBERNETES_SERVICE_HOST),localhost,.svc,.cluster.local,llm.example"),
			variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.monitoring:4318"),
			variable("OTEL_SERVICE_NAME", "files"),
		},
		"volumeMounts": []any{mount("ca", "/etc/vector-store-operator/ca"), mount("metrics", "/etc/vector-store-operator/metrics"), map[string]any{"name": "tmp", "mountPath": "/tmp"}},
		"envFrom":      []any{map[string]any{"configMapRef": map[string]any{"name": "settings"}}},
		"resources": map[string]any{
			"requests": map[string]any{"cpu": float64(1), "memory": "128Mi"},
			"limits":   map[string]any{"memory": "1Gi"},
		},
		"securityContext": map[string]any{
			"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
			"capabilities": map[string]any{"drop": []any{"ALL"}}, "runAsUser": float64(2000), "seLinuxOptions": map[string]any{"level": "s0:c1,c2"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the container (-want +got):\n%s", diff)
	}
}

func TestNotes_Warn(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	for name, test := range map[string]struct{ values, want string }{
		"where it watches":       {"watchNamespaces: [team-a, team-b]", "the namespaces team-a, team-b."},
		"insecure endpoints":     {"allowInsecureEndpoints: true", "its key crosses\nthe network unencrypted"},
		"no CRD":                 {"crds: {enabled: false}", "install the CRD separately"},
		"no policy of admission": {"admissionPolicy: {enabled: false}", "the operator reports attributes of a wrong type"},
		"a proxy behind a wall":  {"{proxy: {https: 'http://proxy.example:3128'}, networkPolicy: {enabled: true}}", "allow it in networkPolicy.extraEgress"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notes := func(values string) string {
				return h.run(t, "install", release, chart, "--namespace", systemNamespace, "--dry-run=client", "--values", valuesFile(t, values))
			}
			if got := notes(test.values); !strings.Contains(got, test.want) {
				_, text, _ := strings.Cut(got, "NOTES:")
				t.Errorf("the notes do not contain %q:\n%s", test.want, text)
			}
			if strings.Contains(notes(""), test.want) {
				t.Errorf("the notes contain %q by default", test.want)
			}
		})
	}
}

// TestValues_Null sets every value to null that is not a section of others, which Helm treats as absent. testConformance
// validates the result of all of them together.
func TestValues_Null(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	values := nulls(t)
	text, err := yaml.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	manifest := h.template(t, string(text))
	if strings.Contains(manifest, "null") || strings.Contains(manifest, "<nil>") {
		t.Errorf("the manifest contains null:\n%s", manifest)
	}
	// Null is as good as absent, also for a field of a security context, which has no default in values.yaml.
	const fields = "podSecurityContext: {runAsNonRoot: null, runAsUser: null, runAsGroup: null, fsGroup: null, fsGroupChangePolicy: null, supplementalGroups: null, " +
		"supplementalGroupsPolicy: null, seLinuxOptions: null, appArmorProfile: null, seccompProfile: null}\n" +
		"containerSecurityContext: {allowPrivilegeEscalation: null, privileged: null, readOnlyRootFilesystem: null, runAsNonRoot: null, runAsUser: null, " +
		"runAsGroup: null, capabilities: null, seLinuxOptions: null, appArmorProfile: null, seccompProfile: null}\n" +
		"resources: {limits: {cpu: null}, requests: {ephemeral-storage: null}}\nglobal: {imageRegistry: null, imagePullSecrets: null}\n"
	if diff := cmp.Diff(h.template(t, ""), h.template(t, fields)); diff != "" {
		t.Errorf("-by default +with null:\n%s", diff)
	}
}

// required are the values that cannot be null: the schema rejects that.
var required = []string{"replicaCount", "requestTimeoutSeconds", "image.repository", "serviceAccount.create", "tests.image", "tests.timeout"}

// nulls returns values that set all others to null.
func nulls(t *testing.T) map[string]any {
	t.Helper()
	values := map[string]any{}
	for path := range defaults(t) {
		if slices.Contains(required, path) {
			continue
		}
		names := strings.Split(path, ".")
		if err := unstructured.SetNestedField(values, nil, names...); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

// freeMaps are the values that are maps with any keys.
var freeMaps = []string{"resources", "nodeSelector", "metrics.dashboard.labels"}

// leaves collects the paths of all values that are not maps, or are empty or free ones, with their
// defaults.
func leaves(path string, value any, into map[string]any) {
	fields, isMap := value.(map[string]any)
	if !isMap || len(fields) == 0 || slices.Contains(freeMaps, path) {
		into[path] = value
		return
	}
	for name, field := range fields {
		leaves(strings.TrimPrefix(path+"."+name, "."), field, into)
	}
}

func defaults(t *testing.T) map[string]any {
	t.Helper()
	var values any
	if err := yaml.UnmarshalStrict([]byte(framework.ReadFile(t, chart+"/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	leaves("", values, all)
	return all
}

// TestValues_Documented compares the names, the defaults and the descriptions in values.yaml with those in the
// README of the chart and in the schema, which `make chart` generates.
func TestValues_Documented(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	descriptions := map[string]string{}
	row := regexp.MustCompile("(?m)^\\| ([A-Za-z.]+) \\| \\w+ \\| `(.*?)` \\| (.+) \\|$")
	for _, match := range row.FindAllStringSubmatch(framework.ReadFile(t, chart+"/README.md"), -1) {
		got[match[1]], descriptions[match[1]] = match[2], match[3]
	}
	want := map[string]string{}
	for path, value := range defaults(t) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		want[path] = string(text)
		if value == nil {
			want[path] = "nil"
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-values.yaml +README.md):\n%s", diff)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(framework.ReadFile(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	for path, want := range descriptions {
		property := schema
		for _, name := range strings.Split(path, ".") {
			property = property["properties"].(map[string]any)[name].(map[string]any)
		}
		if property["description"] != want {
			t.Errorf("%s: the schema describes it as %q, want %q", path, property["description"], want)
		}
	}
}

// TestValues_Schema compares the names in the schema with those in values.yaml, and requires that the schema
// rejects all others.
func TestValues_Schema(t *testing.T) {
	t.Parallel()
	var schema map[string]any
	if err := json.Unmarshal([]byte(framework.ReadFile(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	all := defaults(t)
	var want, got []string
	for path := range all {
		want = append(want, path)
	}
	collect(t, "", schema, all, &got)
	got = slices.DeleteFunc(got, func(path string) bool { return path == "global" || path == "enabled" }) // for a parent chart
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values (-values.yaml +schema):\n%s", diff)
	}
}

// collect collects the paths of the properties of a schema, down to the leaves of values.yaml.
func collect(t *testing.T, path string, schema map[string]any, values map[string]any, into *[]string) {
	t.Helper()
	properties, has := schema["properties"].(map[string]any)
	if _, isValue := values[path]; isValue || !has || path == "global" {
		*into = append(*into, path)
		return
	}
	if fmt.Sprint(schema["additionalProperties"]) != "false" {
		t.Errorf("the schema allows unknown names in %q", path)
	}
	for name, property := range properties {
		collect(t, strings.TrimPrefix(path+"."+name, "."), property.(map[string]any), values, into)
	}
}

func TestValues_Image(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	digest := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	for values, want := range map[string]string{
		"": "ghcr.io/vector-store-operator/vector-store-operator:dev",
		"global: {imageRegistry: 'mirror.example:5000'}":                                                   "mirror.example:5000/vector-store-operator/vector-store-operator:dev",
		"{global: null, image: {tag: v1}}":                                                                 "ghcr.io/vector-store-operator/vector-store-operator:v1",
		"image: {registry: '', repository: 'registry.example:5000/ai/vector-store-operator'}":              "registry.example:5000/ai/vector-store-operator:dev",
		"image: {registry: null, repository: ai/vector-store-operator, tag: v1, digest: '" + digest + "'}": "ai/vector-store-operator@" + digest,
	} {
		containers := at(t, parse(t, h.template(t, values)).find(t, "Deployment", systemNamespace, release+"-manager"), "spec", "template", "spec", "containers").([]any)
		if image := containers[0].(map[string]any)["image"]; image != want {
			t.Errorf("%s: the image is %s, want %s", values, image, want)
		}
	}
}

// TestSetups compares what each of the common setups is about with what it renders. testConformance validates
// the objects.
func TestSetups(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	render := func(name string) objects {
		return parse(t, h.run(t, "template", release, chart, "--namespace", systemNamespace, "--values", framework.Path("test/e2e/install/testdata/setups", name+".yaml")))
	}
	deployment := func(o objects) *unstructured.Unstructured {
		return o.find(t, "Deployment", systemNamespace, release+"-manager")
	}
	pod := []string{"spec", "template", "spec"}
	secrets := func(names ...string) []any {
		var list []any
		for _, name := range names {
			list = append(list, map[string]any{"name": name})
		}
		return list
	}
	for name, test := range map[string]struct {
		image   string
		secrets []any
		more    []string
	}{
		"registry":   {"registry.example:5000/mirror/vector-store-operator:dev", secrets("registry", "registry-of-the-team"), nil},
		"airgapped":  {"registry.example/ai/vector-store-operator:dev", secrets("mirror"), nil},
		"prometheus": {"ghcr.io/vector-store-operator/vector-store-operator:dev", nil, []string{"ServiceMonitor", "PrometheusRule", "ConfigMap"}},
		"network":    {"ghcr.io/vector-store-operator/vector-store-operator:dev", nil, []string{"NetworkPolicy"}},
		"openshift":  {"ghcr.io/vector-store-operator/vector-store-operator:dev", nil, nil},
		"placement":  {"registry.example/team/ops/vector-store-operator@sha256:" + strings.Repeat("0123456789abcdef", 4), nil, []string{"RoleBinding"}},
	} {
		o := render(name)
		d := deployment(o)
		container := at(t, d, append(pod, "containers")...).([]any)[0].(map[string]any)
		if container["image"] != test.image {
			t.Errorf("%s: the image is %s, want %s", name, container["image"], test.image)
		}
		got, _ := at(t, d, append(pod, "imagePullSecrets")...).([]any)
		if diff := cmp.Diff(test.secrets, got); diff != "" {
			t.Errorf("%s: the pull secrets (-want +got):\n%s", name, diff)
		}
		for _, kind := range test.more {
			if !slices.ContainsFunc(kindsOf(o), func(object string) bool { return strings.HasPrefix(object, kind+" ") }) {
				t.Errorf("%s: there is no %s", name, kind)
			}
		}
		if user := at(t, d, append(pod, "securityContext", "runAsUser")...); user != nil {
			t.Errorf("%s: the user is %v, and a platform could not assign one", name, user)
		}
		test := o.find(t, "Pod", systemNamespace, release+"-test")
		if user := at(t, test, "spec", "securityContext", "runAsUser"); (user == nil) != (name == "openshift") {
			t.Errorf("%s: the user of helm test is %v", name, user)
		}
		for _, field := range []string{"tolerations", "nodeSelector"} {
			if diff := cmp.Diff(at(t, d, append(pod, field)...), at(t, test, "spec", field)); diff != "" {
				t.Errorf("%s: %s of helm test (-operator +test):\n%s", name, field, diff)
			}
		}
	}
}

// TestServiceMonitor_SendsNoTokenUnverified requires that Prometheus verifies the server before it sends its token,
// unless the values accept that it does not.
func TestServiceMonitor_SendsNoTokenUnverified(t *testing.T) {
	t.Parallel()
	h := newHelm(t, "")
	for values, want := range map[string]map[string]any{
		"metrics: {serviceMonitor: {enabled: true}}":                                        nil,
		"metrics: {serviceMonitor: {enabled: true, tlsConfig: {insecureSkipVerify: true}}}": {"insecureSkipVerify": true},
		"metrics: {secure: false, serviceMonitor: {enabled: true}}":                         {},
		"metrics: {certificateSecret: tls, serviceMonitor: {enabled: true, namespace: elsewhere}}": {
			"serverName": "vector-store-operator-metrics.vector-store-operator-system.svc",
			"ca":         map[string]any{"secret": map[string]any{"name": "tls", "key": "ca.crt"}},
		},
	} {
		output, complaint, err := h.try(t.Context(), "template", release, chart, "--namespace", systemNamespace, "--values", valuesFile(t, values))
		if want == nil {
			if err == nil || !strings.Contains(complaint, "cannot verify") {
				t.Errorf("%s: got %v %s, want an error", values, err, complaint)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %s", values, complaint)
			continue
		}
		for _, object := range parse(t, output) {
			if object.GetKind() != "ServiceMonitor" {
				continue
			}
			endpoint := at(t, object, "spec", "endpoints").([]any)[0].(map[string]any)
			got, _ := endpoint["tlsConfig"].(map[string]any)
			if len(got)+len(want) > 0 && !cmp.Equal(want, got) {
				t.Errorf("%s: tlsConfig is %v, want %v", values, got, want)
			}
			if _, sends := endpoint["bearerTokenFile"]; sends != (len(want) > 0) {
				t.Errorf("%s: the endpoint is %v", values, endpoint)
			}
		}
	}
}
