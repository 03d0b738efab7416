// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

const crdFile = "files/crd/bases/vector-store-operator.dev_vectorstorefilebatches.yaml"

// releases are Helm and a cluster.
type releases struct {
	*cluster
	helm helm
}

// TestHelm_Lifecycle installs, upgrades and uninstalls one release. Each part continues with the cluster
// that the previous one left.
func TestHelm_Lifecycle(t *testing.T) {
	t.Parallel()
	framework.Tool(t, "helm")
	c := newCluster(t)
	r := &releases{cluster: c, helm: newHelm(t, c.Kubeconfig)}
	for _, part := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"the chart's objects fit the API", r.testConformance},
		{"install", r.testInstall},
		{"a release of a batch waits for it", r.testBatchReleases},
		{"upgrade", r.testUpgrade},
		{"helm test fails without an operator", r.testWithoutOperator},
		{"settings for the network", r.testNetwork},
		{"some namespaces", r.testNamespaces},
		{"uninstall", r.testUninstall},
		{"install again", r.testReinstall},
	} {
		if !t.Run(part.name, part.test) {
			return
		}
	}
}

// upgrade sets the values of the release, and waits for the rollout. Without --reset-values Helm reuses the
// previous values.
func (r *releases) upgrade(t *testing.T, chart, values string) {
	t.Helper()
	r.helm.run(t, "upgrade", release, chart, "--namespace", systemNamespace, "--values", valuesFile(t, values), "--reset-values", "--wait", "--timeout", framework.Timeout.String())
}

func (r *releases) deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := r.Client.Get(t.Context(), client.ObjectKey{Namespace: systemNamespace, Name: release + "-manager"}, d); err != nil {
		t.Fatal(err)
	}
	return d
}

func (r *releases) testInstall(t *testing.T) {
	// With this label, the API server admits restricted Pods only.
	r.kubectl(t, "create", "namespace", systemNamespace)
	r.kubectl(t, "label", "namespace", systemNamespace, "pod-security.kubernetes.io/enforce=restricted")
	r.helm.run(t, "install", release, chart, "--namespace", systemNamespace, "--create-namespace", "--wait", "--timeout", framework.Timeout.String())
	if ready := r.deployment(t).Status.ReadyReplicas; ready != 2 {
		t.Errorf("helm returned with %d replicas ready, want 2", ready)
	}
	r.complete(t, "user", "first", r.user(t, "user"))
	r.helm.run(t, "test", release, "--namespace", systemNamespace, "--timeout", framework.Timeout.String())
	if left := r.kubectl(t, "get", "pods,roles,serviceaccounts", "--all-namespaces", "-o", "name"); strings.Contains(left, "vector-store-operator-test") {
		t.Errorf("helm test leaves objects:\n%s", left)
	}
}

// testBatchReleases installs releases whose only object is a VectorStoreFileBatch.
func (r *releases) testBatchReleases(t *testing.T) {
	store := r.user(t, "documents")
	for _, test := range []struct {
		name, file, wait, status string
		reason, want             string
	}{
		{"completes", "file-x", "--wait", "deployed", v1alpha1.ReasonCompleted, ""},
		{"fails", "file-fail-x", "--wait", "failed", v1alpha1.ReasonFilesFailed, "status: Failed"},
		// As Helm 3 does: a custom resource is ready as soon as it exists.
		{"legacy", "file-stuck-x", "--wait=legacy", "deployed", v1alpha1.ReasonInProgress, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, complaint, err := r.helm.try(t.Context(), "install", test.name, "test/e2e/install/testdata/documents", "--namespace", "documents",
				"--set", "vectorStoreID="+store, "--set", "fileIDs={"+test.file+"-1,"+test.file+"-2}", test.wait, "--timeout", framework.Timeout.String())
			if failed := test.status == "failed"; (err != nil) != failed {
				t.Errorf("helm install: %v: %s", err, complaint)
			}
			if !strings.Contains(complaint, test.want) || strings.Contains(complaint, "deadline exceeded") {
				t.Errorf("helm prints %q, want %q without a timeout", complaint, test.want)
			}
			if test.wait == "--wait" {
				if b := r.object(t, "documents", test.name); len(b.Status.Conditions) == 0 || b.Status.Conditions[0].Reason != test.reason {
					t.Errorf("helm returned when the status was %+v", b.Status)
				}
			}
			r.wantReason(t, "documents", test.name, test.reason)
			if status := r.helm.run(t, "status", test.name, "--namespace", "documents"); !strings.Contains(status, "STATUS: "+test.status+"\n") {
				t.Errorf("the status of the release is not %s:\n%s", test.status, status)
			}
		})
	}
	for _, force := range [][]string{{"--force-replace", "--server-side=false"}, {"--force-conflicts", "--server-side=true"}} {
		t.Run("changed files, "+force[0], func(t *testing.T) {
			before := r.object(t, "documents", "completes")
			upgrade := []string{
				"upgrade", "completes", "test/e2e/install/testdata/documents", "--namespace", "documents",
				"--set", "vectorStoreID=" + store, "--set", "fileIDs={file-other}",
			}
			_, complaint, err := r.helm.try(t.Context(), append(upgrade, force...)...)
			if err == nil || !strings.Contains(complaint, "immutable") {
				t.Errorf("helm upgrade: %v: %s", err, complaint)
			}
			if diff := cmp.Diff(before.Spec, r.object(t, "documents", "completes").Spec); diff != "" || r.object(t, "documents", "completes").UID != before.UID {
				t.Errorf("the upgrade changed the object (-before +after):\n%s", diff)
			}
		})
	}
}

// testUpgrade upgrades to a chart with a changed CRD while a batch is in progress.
func (r *releases) testUpgrade(t *testing.T) {
	store := r.user(t, "upgrade")
	r.apply(t, "upgrade", batchOf("under-way", store, "file-stuck-upgrade"))
	r.wantReason(t, "upgrade", "under-way", v1alpha1.ReasonInProgress)
	before := r.object(t, "user", "first")
	generation := r.deployment(t).Generation

	r.upgrade(t, r.newerChart(t), "logLevel: debug")

	if d := r.deployment(t); d.Generation == generation || !slices.Contains(d.Spec.Template.Spec.Containers[0].Args, "--zap-log-level=debug") {
		t.Errorf("the Deployment did not change: %v", d.Spec.Template.Spec.Containers[0].Args)
	}
	columns := r.kubectl(t, "get", "crd", "vectorstorefilebatches.vector-store-operator.dev", "-o", "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}")
	if !strings.HasSuffix(columns, " Newer") {
		t.Errorf("the CRD has the columns %s: it was not upgraded", columns)
	}
	if diff := cmp.Diff(before, r.object(t, "user", "first")); diff != "" {
		t.Errorf("the upgrade changed an object that was finished (-before +after):\n%s", diff)
	}
	for _, b := range r.batches(store) {
		if err := r.emulator.SetBatchStatus(b.ID, "completed"); err != nil {
			t.Fatal(err)
		}
	}
	r.wantFinished(t, "upgrade", "under-way")
	if made := len(r.batches(store)); made != 1 {
		t.Errorf("the object in progress has %d batches, want 1", made)
	}
	r.complete(t, "upgrade", "afterwards", store)
}

// newerChart returns a copy of the chart with another version, and another column in its CRD.
func (r *releases) newerChart(t *testing.T) string {
	t.Helper()
	newer := filepath.Join(t.TempDir(), "vector-store-operator")
	if err := os.CopyFS(newer, os.DirFS(framework.Path(chart))); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(newer, "Chart.yaml"), func(c map[string]any) { c["version"] = "99.0.0" })
	edit(t, filepath.Join(newer, crdFile), func(crd map[string]any) {
		version := crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
		version["additionalPrinterColumns"] = append(version["additionalPrinterColumns"].([]any),
			map[string]any{"name": "Newer", "type": "string", "jsonPath": ".metadata.name"})
	})
	return newer
}

func edit(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := yaml.Unmarshal(content, &object); err != nil {
		t.Fatal(err)
	}
	change(object)
	if content, err = yaml.Marshal(object); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// testWithoutOperator runs helm test with no replica, after the last leader has released its lease.
func (r *releases) testWithoutOperator(t *testing.T) {
	r.upgrade(t, chart, "{replicaCount: 0, tests: {timeout: 2s}}")
	if output, _, err := r.helm.try(t.Context(), "test", release, "--namespace", systemNamespace, "--timeout", framework.Timeout.String()); err == nil {
		t.Errorf("helm test succeeds: %s", output)
	}
}

// testNetwork sets all values of the network at once: CAs in a ConfigMap, a proxy, and the allowed
// endpoints.
func (r *releases) testNetwork(t *testing.T) {
	r.apply(t, systemNamespace, map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "corporate-ca"}, "data": map[string]string{"authority": r.authority},
	})
	endpoint, err := url.Parse(r.secure.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The proxy is the emulator, which serves requests for any host.
	r.upgrade(t, chart, fmt.Sprintf(`
extraCAs: [{configMap: {name: corporate-ca, key: authority}}]
allowedEndpoints: [%q, api.example.test]
allowInsecureEndpoints: true
proxy: {http: %q}
`, endpoint.Host, r.plain.URL))

	r.complete(t, "extra-ca", "trusted", r.namespace(t, "extra-ca", r.secure.URL, nil))
	r.complete(t, "proxied", "by-proxy", r.namespace(t, "proxied", "http://api.example.test", nil))
	store := r.namespace(t, "elsewhere", r.plain.URL, nil)
	r.apply(t, "elsewhere", batchOf("refused", store, "file-a"))
	r.wantReason(t, "elsewhere", "refused", v1alpha1.ReasonEndpointNotAllowed)

	r.upgrade(t, chart, "")
	store = r.namespace(t, "untrusted", r.secure.URL, nil)
	r.apply(t, "untrusted", batchOf("untrusted", store, "file-a"))
	r.wantReason(t, "untrusted", "untrusted", v1alpha1.ReasonUpstreamUnavailable)
	store = r.namespace(t, "insecure", r.plain.URL, nil)
	r.apply(t, "insecure", batchOf("insecure", store, "file-a"))
	r.wantReason(t, "insecure", "insecure", v1alpha1.ReasonEndpointNotAllowed)
}

// testNamespaces confines the operator to two namespaces.
func (r *releases) testNamespaces(t *testing.T) {
	stores := map[string]string{}
	for _, namespace := range []string{"team-a", "team-b", "team-c"} {
		stores[namespace] = r.user(t, namespace)
	}
	r.upgrade(t, chart, "watchNamespaces: [team-a, team-b]")
	r.apply(t, "team-c", batchOf("foreign", stores["team-c"], "file-a"))
	r.complete(t, "team-a", "own", stores["team-a"])
	r.complete(t, "team-b", "own", stores["team-b"])
	if b := r.object(t, "team-c", "foreign"); len(b.Status.Conditions) > 0 || len(b.Finalizers) > 0 || len(r.batches(stores["team-c"])) > 0 {
		t.Errorf("an object in another namespace was changed: %+v", b)
	}
	account := "--as=system:serviceaccount:" + systemNamespace + ":" + release + "-manager"
	for namespace, want := range map[string]string{"team-a": "yes", "team-b": "yes", "team-c": "no", systemNamespace: "no"} {
		// If the answer is no, kubectl fails.
		got, _ := r.Kubectl.In(namespace).Run(t.Context(), "auth", "can-i", "get", "secrets", account)
		if strings.TrimSpace(got) != want {
			t.Errorf("the operator can read Secrets in %s: %q, want %s", namespace, got, want)
		}
	}
	r.upgrade(t, chart, "")
	if b := r.wantFinished(t, "team-c", "foreign"); b.Status.Status != "completed" {
		t.Errorf("after it is watched again, the object is %+v", b.Status)
	}
}

// testUninstall uninstalls the release while a batch is in progress.
func (r *releases) testUninstall(t *testing.T) {
	store := r.user(t, "uninstall")
	r.apply(t, "uninstall", batchOf("under-way", store, "file-stuck-uninstall"))
	r.wantReason(t, "uninstall", "under-way", v1alpha1.ReasonInProgress)
	objects := r.kubectl(t, "get", "vsfb", "--all-namespaces", "-o", "name")
	installed := parse(t, r.helm.run(t, "get", "manifest", release, "--namespace", systemNamespace))

	r.helm.run(t, "uninstall", release, "--namespace", systemNamespace, "--wait", "--timeout", framework.Timeout.String())

	if after := r.kubectl(t, "get", "vsfb", "--all-namespaces", "-o", "name"); after != objects {
		t.Errorf("the objects were:\n%s\nand are\n%s", objects, after)
	}
	for key, object := range installed {
		err := r.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object)
		if kept := object.GetKind() == "CustomResourceDefinition"; kept && err != nil {
			t.Errorf("%s is gone: %v", key, err)
		} else if !kept && !apierrors.IsNotFound(err) {
			t.Errorf("%s still exists: %v", key, err)
		}
	}
}

// testReinstall installs the release again, with the CRD and the objects that the previous one left.
func (r *releases) testReinstall(t *testing.T) {
	r.helm.run(t, "install", release, chart, "--namespace", systemNamespace, "--wait", "--timeout", framework.Timeout.String())
	for _, b := range r.batches("vs_uninstall") {
		if err := r.emulator.SetBatchStatus(b.ID, "completed"); err != nil {
			t.Fatal(err)
		}
	}
	r.wantFinished(t, "uninstall", "under-way")
	if made := len(r.batches("vs_uninstall")); made != 1 {
		t.Errorf("the object in progress has %d batches, want 1", made)
	}
}
