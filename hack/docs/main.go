// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command docs generates docs/reference/api.md, from the CRD, the constants of the API and the manager's
// --help, and config/argocd/argocd-cm.yaml, from the scripts in config/argocd.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

func main() {
	if err := run(framework.Root()); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	for path, generate := range map[string]func(root string) (string, error){
		"docs/reference/api.md":        reference,
		"config/argocd/argocd-cm.yaml": argoConfigMap,
		"config/argocd/values.yaml":    argoValues,
		"config/argocd/argocd.yaml":    argoResource,
	} {
		text, err := generate(root)
		if err != nil {
			return fmt.Errorf("generating %s: %w", path, err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o644); err != nil { //nolint:gosec // a file of the repository
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	return nil
}
