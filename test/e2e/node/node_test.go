// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node_test runs the image on a real cluster with a real kubelet. `make test-node` runs it, see
// docs/internals/image.md.
package node_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var (
	kubectlCommand = flag.String("kubectl", "", "the kubectl `command` for an administrator of a disposable cluster")
	loadCommand    = flag.String("load", "", "the `command` that loads an image archive, its argument, into the nodes")
	archives       = flag.String("archives", "", "the `files` to load, separated by commas")
	registry       = flag.String("registry", defaultRegistry, "the prefix of the image names, with its last slash, in the `registry` of the nodes")
	restartKubelet = flag.String("restart-kubelet", "", "the `command` that restarts the kubelet of the node")
	keep           = flag.Bool("keep", false, "keep everything on the cluster")
)

const (
	// defaultRegistry is the prefix of the image names in the manifests.
	defaultRegistry   = "ghcr.io/vector-store-operator/"
	systemNamespace   = framework.SystemNamespace
	testNamespace     = "vector-store-operator-test"
	emulatorNamespace = "openai-emulator"
	deployment        = "deployment/vector-store-operator-manager"

	// timeout bounds the wait for a state that must be reached. Images may have to be pulled.
	timeout = 3 * time.Minute
	// handover bounds the time until another replica leads after the leader was terminated.
	handover = 5 * time.Second
)

// TestNode installs once, and runs its parts in order.
func TestNode(t *testing.T) {
	if *kubectlCommand == "" {
		t.Skip("it needs a disposable cluster: see `make test-node`")
	}
	started := time.Now()
	c := cluster{framework.Kubectl{Command: strings.Fields(*kubectlCommand)}}
	if !*keep {
		t.Cleanup(func() { c.uninstall(t) })
	}
	if !t.Run("it becomes ready", func(t *testing.T) { testReady(t, c) }) {
		return
	}
	for _, part := range []struct {
		name string
		test func(*testing.T, cluster)
	}{
		{"the namespace enforces the restricted profile", testRestricted},
		{"the samples finish", testSamples},
		{"metrics need an authorized token", testMetrics},
		{"the deletion of the leader hands over", testLeaderDeleted},
		{"a killed leader is replaced within its lease", testLeaderKilled},
		{"a rolling update loses and repeats nothing", testRollingUpdate},
		{"an OOM kill loses and repeats nothing", testOOMKill},
		{"a restart of the kubelet loses and repeats nothing", testKubeletRestart},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, c) })
	}
	t.Logf("the test took %s", time.Since(started).Round(time.Second))
}

// testReady installs everything, and waits for the Deployments.
func testReady(t *testing.T, c cluster) {
	for _, archive := range strings.FieldsFunc(*archives, func(r rune) bool { return r == ',' }) {
		if *loadCommand != "" {
			c.command(t, append(strings.Fields(*loadCommand), archive))
		}
	}
	started := time.Now()
	c.run(t, "", "apply", "--server-side", "--force-conflicts", "-k", overlay(t))
	c.run(t, emulatorNamespace, "rollout", "status", "deployment/emulator", "--timeout=3m")
	c.run(t, systemNamespace, "rollout", "status", deployment, "--timeout=3m")
	ready := c.run(t, systemNamespace, "get", deployment, "-o", "jsonpath={.status.readyReplicas}/{.spec.replicas}")
	t.Logf("%s replicas are ready %s after kubectl apply", ready, seconds(time.Since(started)))
	if ready != "2/2" {
		t.Errorf("%s replicas are ready, want 2/2", ready)
	}
	for _, p := range c.managers(t) {
		if p.restarts() != 0 {
			t.Errorf("%s was restarted %d times", p.Metadata.Name, p.restarts())
		}
	}
	// The cluster may have no DNS, so the Secret has the IP address of the Service.
	address := c.run(t, emulatorNamespace, "get", "service/emulator", "-o", "jsonpath={.spec.clusterIP}")
	c.Apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"openai","namespace":%q},
		"stringData":{"OPENAI_API_KEY":"sk-emulator","OPENAI_BASE_URL":"http://%s:8787/v1"}}`, testNamespace, address))
}

// testRestricted creates a Pod that the restricted profile forbids.
func testRestricted(t *testing.T, c cluster) {
	_, stderr, err := c.In(systemNamespace).Try(t.Context(), "", "run", "forbidden", "--image=none", "--privileged", "--dry-run=server")
	if err == nil || !strings.Contains(stderr, `violates PodSecurity "restricted`) {
		t.Errorf("a privileged Pod is answered with %q (%v), want it rejected", stderr, err)
	}
	user := c.run(t, systemNamespace, "get", deployment, "-o", "jsonpath={.spec.template.spec.securityContext.runAsNonRoot},{.spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem}")
	if user != "true,true" {
		t.Errorf("runAsNonRoot and readOnlyRootFilesystem are %s", user)
	}
}

// testSamples applies the samples, as a user does.
func testSamples(t *testing.T, c cluster) {
	for _, sample := range []string{"handbook", "failing", "per-file", "smallest", "archive"} {
		c.run(t, testNamespace, "apply", "-f", framework.Path("config", "samples", sample+".yaml"))
	}
	c.eventually(t, "the archive to be in progress", func() bool {
		return c.run(t, testNamespace, "get", "vsfb/archive", "-o", "jsonpath={.status.status}") == "in_progress"
	})
	c.run(t, testNamespace, "patch", "vsfb/archive", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
	c.run(t, testNamespace, "wait", "--for=condition=Finished", "--timeout=3m", "vsfb", "--all")
	got := c.run(t, testNamespace, "get", "vsfb", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Finished")].reason} {.status.fileCounts.completed}/{.status.fileCounts.total}{"\n"}{end}`)
	t.Logf("the samples finish as:\n%s", got)
	for _, want := range []string{"handbook Completed 15/15", "scans FilesFailed 3/5", "contracts Completed 3/3", "smallest Completed 2/2", "archive Cancelled "} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q", want)
		}
	}
	c.run(t, testNamespace, "delete", "vsfb", "--all", "--timeout=1m")
}

// testMetrics requests the metrics from another Pod: without a token, with a forged one, and with the
// tokens of two ServiceAccounts, of which one is authorized.
func testMetrics(t *testing.T, c cluster) {
	const mounted = "-token-file=/var/run/secrets/kubernetes.io/serviceaccount/token"
	for _, test := range []struct{ name, account, flag, want string }{
		{"no token", "stranger", "-token=", "401 0"},
		// For the API server such a token is an error, which controller-runtime returns.
		{"a forged token", "stranger", "-token=forged", "500 0"},
		{"an unauthorized account", "stranger", mounted, "403 0"},
	} {
		for _, p := range c.managers(t) {
			got := c.probe(t, probePod{account: test.account}, "fetch", test.flag, "https://"+p.Status.PodIP+":8443/metrics")
			t.Logf("%s gets %s", test.name, got)
			if got != test.want {
				t.Errorf("%s gets %q of %s, want %q", test.name, got, p.Metadata.Name, test.want)
			}
		}
	}
	for _, p := range c.managers(t) {
		got := c.probe(t, probePod{account: "scraper"}, "fetch", mounted, "https://"+p.Status.PodIP+":8443/metrics")
		t.Logf("an authorized account gets %s", got)
		if !strings.HasPrefix(got, "200 ") || strings.HasSuffix(got, " 0") {
			t.Errorf("an authorized account gets %q of %s, want 200 and metrics", got, p.Metadata.Name)
		}
	}
}
