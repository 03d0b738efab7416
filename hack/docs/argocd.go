// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// argoConfigMap is the patch of Argo CD's ConfigMap that holds the health check and the
// actions: what Argo CD reads from files in its own repository, it reads from there as well.
func argoConfigMap(root string) (string, error) {
	folder := filepath.Join(root, "config", "argocd", "resource_customizations", "vector-store-operator.dev", "VectorStoreFileBatch")
	var failed error
	script := func(depth int, path ...string) string {
		content, err := os.ReadFile(filepath.Join(append([]string{folder}, path...)...))
		if err != nil {
			failed = fmt.Errorf("reading a script: %w", err)
		}
		return indented(string(content), depth)
	}
	var text strings.Builder
	text.WriteString(`# Written by "make docs" from the scripts in resource_customizations.
#
#   kubectl -n argocd patch configmap argocd-cm --patch-file config/argocd/argocd-cm.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/part-of: argocd
data:
  resource.customizations.health.vector-store-operator.dev_VectorStoreFileBatch: |
`)
	text.WriteString(script(4, "health.lua"))
	text.WriteString("  resource.customizations.actions.vector-store-operator.dev_VectorStoreFileBatch: |\n    discovery.lua: |\n")
	text.WriteString(script(6, "actions", "discovery.lua"))
	text.WriteString("    definitions:\n")
	for _, action := range []string{"cancel", "suspend", "resume"} {
		fmt.Fprintf(&text, "    - name: %s\n      action.lua: |\n%s", action, script(8, "actions", action, "action.lua"))
	}
	return text.String(), failed
}

// indented is a text with so many spaces before each line that is not empty.
func indented(text string, depth int) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			line = strings.Repeat(" ", depth) + line
		}
		lines.WriteString(line)
	}
	return lines.String()
}
