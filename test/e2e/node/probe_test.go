// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// probePod describes the Pod of the probe.
type probePod struct {
	// account is its ServiceAccount; empty means the default.
	account string
	// node is the node to run on; empty means any.
	node string
	// host gives it the processes of the node. It can kill the manager's, because it has the same user.
	host bool
	// root gives it write access to the control groups of the node.
	root bool
}

// probe runs the probe in a Pod, and returns its output.
func (c cluster) probe(t *testing.T, as probePod, args ...string) string {
	t.Helper()
	const name = "probe"
	manifest, err := json.Marshal(as.manifest(name, args))
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, string(manifest))
	phase := ""
	c.eventually(t, "the probe to end", func() bool {
		phase = c.run(t, testNamespace, "get", "pod", name, "-o", "jsonpath={.status.phase}")
		return phase == "Succeeded" || phase == "Failed"
	})
	output := strings.TrimSpace(c.run(t, testNamespace, "logs", name))
	c.run(t, testNamespace, "delete", "pod", name, "--timeout=1m")
	if phase != "Succeeded" {
		t.Fatalf("the probe %q fails: %s", args, output)
	}
	return output
}

func (p probePod) manifest(name string, args []string) any {
	type object = map[string]any
	security := object{"runAsUser": 65532, "runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": object{"drop": []string{"ALL"}}}
	container := object{"name": name, "image": *registry + "vector-store-operator-probe:dev", "args": args, "securityContext": security}
	spec := object{"restartPolicy": "Never", "hostPID": p.host, "containers": []any{container}, "terminationGracePeriodSeconds": 0}
	if p.account != "" {
		spec["serviceAccountName"] = p.account
	}
	if p.node != "" {
		spec["nodeName"] = p.node
	}
	if p.root {
		container["securityContext"] = object{"privileged": true, "runAsUser": 0}
		container["volumeMounts"] = []any{object{"name": "cgroup", "mountPath": "/sys/fs/cgroup"}}
		spec["volumes"] = []any{object{"name": "cgroup", "hostPath": object{"path": "/sys/fs/cgroup"}}}
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": name, "namespace": testNamespace}, "spec": spec}
}
