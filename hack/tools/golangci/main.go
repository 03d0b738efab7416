// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command golangci is golangci-lint with two plugins linked in. `golangci-lint custom` builds the
// same program from a git clone; this one is built from pinned modules.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/golangci/golangci-lint/v2/pkg/commands"
	"github.com/golangci/golangci-lint/v2/pkg/exitcodes"
	_ "sigs.k8s.io/kube-api-linter"             // registers kubeapilinter
	_ "sigs.k8s.io/logtools/logcheck/gclplugin" // registers logcheck
)

func main() {
	if err := commands.Execute(buildInfo()); err != nil {
		fmt.Fprintln(os.Stderr, "golangci-lint:", err)
		os.Exit(exitcodes.Failure)
	}
}

// buildInfo reports the version of golangci-lint that go.mod pins, not this module's own:
// the linter compares it with the version that the configuration asks for.
func buildInfo() commands.BuildInfo {
	info := commands.BuildInfo{
		GoVersion: runtime.Version(),
		Version:   "unknown",
		Commit:    "a Go module",
		Date:      "(unknown)",
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	for _, dep := range build.Deps {
		if dep.Path == "github.com/golangci/golangci-lint/v2" {
			info.Version = strings.TrimPrefix(dep.Version, "v")
		}
	}
	return info
}
