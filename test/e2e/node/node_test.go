// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node_test runs the image on a real cluster, with a real kubelet: what an API server
// alone cannot show. `make test-node` runs it; docs/image.md says how.
package node_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"
)

var (
	kubectlCommand = flag.String("kubectl", "", "the `command` that is kubectl, as an administrator of a cluster that may be experimented with")
	loadCommand    = flag.String("load", "", "the `command` that loads an image's archive, its argument, into the cluster's nodes")
	archives       = flag.String("archives", "", "the `files` to load, separated by commas")
	registry       = flag.String("registry", "", "what the images' names begin with, up to and with the last slash, in the `registry` that the nodes pull from")
	restartKubelet = flag.String("restart-kubelet", "", "the `command` that restarts the kubelet of the node")
	keep           = flag.Bool("keep", false, "leave everything on the cluster when it is over")
)

const (
	system     = "vector-store-operator-system"
	own        = "vector-store-operator-test"
	deployment = "deployment/vector-store-operator-manager"

	// patience is how long anything may take that is bound to happen.
	patience = 3 * time.Minute
	// handOver is how long it may take until another replica leads, where the leader was asked
	// to end.
	handOver = 5 * time.Second
)

// TestOnANode is one test with parts that follow upon each other: the installation is shared.
func TestOnANode(t *testing.T) {
	if *kubectlCommand == "" {
		t.Skip("this needs a cluster that may be experimented with: see `make test-node`")
	}
	started := time.Now()
	c := cluster{kubectl: strings.Fields(*kubectlCommand)}
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
		{"the main job ends right", testMainJob},
		{"metrics need a token that may have them", testMetrics},
		{"a leader that is deleted hands over", testLeaderDeleted},
		{"a leader that is killed is replaced within its lease", testLeaderKilled},
		{"a rolling update loses and doubles nothing", testRollingUpdate},
		{"an OOM kill loses and doubles nothing", testOOMKill},
		{"a restart of the kubelet loses and doubles nothing", testKubeletRestart},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, c) })
	}
	t.Logf("all of it took %s", time.Since(started).Round(time.Second))
}

// testReady installs everything, and waits for the Deployments.
func testReady(t *testing.T, c cluster) {
	for _, archive := range strings.FieldsFunc(*archives, func(r rune) bool { return r == ',' }) {
		if *loadCommand != "" {
			c.command(t, append(strings.Fields(*loadCommand), archive))
		}
	}
	started := time.Now()
	c.run(t, "apply", "--server-side", "--force-conflicts", "-k", overlay(t))
	c.run(t, "rollout", "status", "-n", own, "deployment/upstream", "--timeout=3m")
	c.run(t, "rollout", "status", "-n", system, deployment, "--timeout=3m")
	ready := c.run(t, "get", "-n", system, deployment, "-o", "jsonpath={.status.readyReplicas}/{.spec.replicas}")
	t.Logf("%s replicas are ready %s after kubectl apply", ready, seconds(time.Since(started)))
	if ready != "2/2" {
		t.Errorf("%s replicas are ready, want 2/2", ready)
	}
	for _, p := range c.managers(t) {
		if p.restarts() != 0 {
			t.Errorf("%s was restarted %d times: a probe ends it, or it ends by itself", p.Metadata.Name, p.restarts())
		}
	}
	// A cluster need not have a DNS: the test asks for none, and names the Service's address.
	address := c.run(t, "get", "-n", own, "service/upstream", "-o", "jsonpath={.spec.clusterIP}")
	c.apply(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"openai","namespace":%q},
		"stringData":{"OPENAI_API_KEY":"sk-on-a-node","OPENAI_BASE_URL":"http://%s:8787/v1"}}`, own, address))
}

// testRestricted tries what the profile forbids, as otherwise its label could be for nothing.
func testRestricted(t *testing.T, c cluster) {
	output, err := c.try(t.Context(), "", "run", "forbidden", "-n", system, "--image=none", "--privileged", "--dry-run=server")
	if err == nil || !strings.Contains(output, `violates PodSecurity "restricted`) {
		t.Errorf("a privileged Pod is answered with %q (%v), want a refusal", output, err)
	}
	user := c.run(t, "get", "-n", system, deployment, "-o", "jsonpath={.spec.template.spec.securityContext.runAsNonRoot},{.spec.template.spec.containers[0].securityContext.readOnlyRootFilesystem}")
	if user != "true,true" {
		t.Errorf("runAsNonRoot and readOnlyRootFilesystem are %s", user)
	}
}

// testMainJob applies the samples, as a user does.
func testMainJob(t *testing.T, c cluster) {
	for _, sample := range []string{"handbook", "failing", "per-file", "smallest", "archive"} {
		c.run(t, "apply", "-n", own, "-f", root(t)+"/config/samples/"+sample+".yaml")
	}
	c.eventually(t, "the archive to be in progress", func() bool {
		return c.run(t, "get", "-n", own, "vsfb/archive", "-o", "jsonpath={.status.status}") == "in_progress"
	})
	c.run(t, "patch", "-n", own, "vsfb/archive", "--type=merge", "-p", `{"spec":{"cancel":true}}`)
	c.run(t, "wait", "-n", own, "--for=condition=Finished", "--timeout=3m", "vsfb", "--all")
	got := c.run(t, "get", "-n", own, "vsfb", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Finished")].reason} {.status.fileCounts.completed}/{.status.fileCounts.total}{"\n"}{end}`)
	t.Logf("how the samples end:\n%s", got)
	for _, want := range []string{"handbook Completed 15/15", "scans FilesFailed 3/5", "contracts Completed 3/3", "smallest Completed 2/2", "archive Cancelled "} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q", want)
		}
	}
	c.run(t, "delete", "-n", own, "vsfb", "--all", "--timeout=1m")
}

// testMetrics asks for metrics from another Pod: without a token, with one that nobody gave,
// with one of an account that has no right to them, and with one that has.
func testMetrics(t *testing.T, c cluster) {
	const mounted = "-token-file=/var/run/secrets/kubernetes.io/serviceaccount/token"
	for _, ask := range []struct{ who, account, flag, want string }{
		{"nobody", "stranger", "-token=", "401 0"},
		// The API server calls such a token an error, and controller-runtime passes that on.
		{"a forged token", "stranger", "-token=forged", "500 0"},
		{"an account without the right", "stranger", mounted, "403 0"},
	} {
		for _, p := range c.managers(t) {
			got := c.probe(t, probePod{account: ask.account}, "fetch", ask.flag, "https://"+p.Status.PodIP+":8443/metrics")
			t.Logf("%s gets %s", ask.who, got)
			if got != ask.want {
				t.Errorf("%s gets %q of %s, want %q", ask.who, got, p.Metadata.Name, ask.want)
			}
		}
	}
	for _, p := range c.managers(t) {
		got := c.probe(t, probePod{account: "scraper"}, "fetch", mounted, "https://"+p.Status.PodIP+":8443/metrics")
		t.Logf("an account with the right gets %s", got)
		if !strings.HasPrefix(got, "200 ") || strings.HasSuffix(got, " 0") {
			t.Errorf("an account with the right gets %q of %s, want 200 and metrics", got, p.Metadata.Name)
		}
	}
}
