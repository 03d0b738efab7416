// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// probePod says what the probe needs.
type probePod struct {
	// account is the ServiceAccount that it runs as; the default one if empty.
	account string
	// node is where it has to run.
	node string
	// host lets it see the processes of the node. To kill one of the manager's, being the same
	// user is enough.
	host bool
	// root lets it write the node's control groups.
	root bool
}

// probe runs the probe in a Pod, and gives what it prints.
func (c cluster) probe(t *testing.T, as probePod, args ...string) string {
	t.Helper()
	const name = "probe"
	manifest, err := json.Marshal(as.manifest(name, args))
	if err != nil {
		t.Fatal(err)
	}
	c.apply(t, string(manifest))
	phase := ""
	c.eventually(t, "the probe to end", func() bool {
		phase = c.run(t, "get", "pod", "-n", own, name, "-o", "jsonpath={.status.phase}")
		return phase == "Succeeded" || phase == "Failed"
	})
	output := strings.TrimSpace(c.run(t, "logs", "-n", own, name))
	c.run(t, "delete", "pod", "-n", own, name, "--timeout=1m")
	if phase != "Succeeded" {
		t.Fatalf("the probe %q says: %s", args, output)
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
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": name, "namespace": own}, "spec": spec}
}
