// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gobuild builds a program reproducibly, and lists the modules that are linked into it with
// their licenses. A module that go.mod requires but the program does not link is not in the list.
package gobuild

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
)

// Program is a program to build for a platform.
type Program struct {
	// Dir is the directory of the module, and Package a path in it, such as ./cmd/manager.
	Dir, Package string
	// OS and Architecture are GOOS and GOARCH, and Tags the build tags.
	OS, Architecture, Tags string
}

// Build builds the program into a file. Its output does not depend on the machine.
func (p Program) Build(ctx context.Context, version, file string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags="+p.Tags,
		"-ldflags=-s -w -X main.version="+version, "-o", file, p.Package)
	command.Dir = p.Dir
	command.Env = append(command.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Architecture,
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", p.Package, err, bytes.TrimSpace(output))
	}
	return nil
}
