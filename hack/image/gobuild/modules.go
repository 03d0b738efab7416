// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gobuild

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// GoModule is the module path that stands for Go's runtime and standard library.
const GoModule = "std"

// Module is a module that is linked into a program.
type Module struct {
	Path string
	// Version is the version in go.mod, or the version of Go for GoModule. It is empty for the
	// program's own module.
	Version string
	// Licenses are the SPDX identifiers of the licenses in Texts, sorted.
	Licenses []string
	// Texts are the licenses and notices of the module and of its linked packages.
	Texts []Text
}

// Text is a license or notice file of a module.
type Text struct {
	// Path is relative to the directory of the module, with slashes.
	Path    string
	Content []byte
}

// String returns the path and version of the module.
func (m Module) String() string {
	if m.Version == "" {
		return m.Path
	}
	return m.Path + "@" + m.Version
}

// goPackage is a package in the output of go list.
type goPackage struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir string
		Replace            *struct{ Dir string }
	}
}

// source is the directory of a module, and those of its linked packages.
type source struct {
	module   Module
	root     string
	packages []string
}

// Modules returns the modules that are linked into the program. The error names each module that
// has no license, or one that is not allowed.
func (p Program) Modules(ctx context.Context) ([]Module, error) {
	output, err := goCommand(ctx, p.Dir, []string{"GOOS=" + p.OS, "GOARCH=" + p.Architecture, "CGO_ENABLED=0"},
		"list", "-deps", "-tags="+p.Tags, "-json=Dir,Standard,Module", p.Package)
	if err != nil {
		return nil, err
	}
	sources, err := parseSources(bytes.NewReader(output))
	if err != nil {
		return nil, err
	}
	golang, err := toolchain(ctx, p.Dir)
	if err != nil {
		return nil, err
	}
	modules := make([]Module, 0, len(sources)+1)
	var errs []error
	for _, s := range append([]source{golang}, sources...) {
		module, err := s.readLicenses()
		modules, errs = append(modules, module), append(errs, err)
	}
	return modules, errors.Join(errs...)
}

// parseSources groups the packages in the output of go list by module.
func parseSources(output io.Reader) ([]source, error) {
	sources := map[string]source{}
	for decoder := json.NewDecoder(output); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("decoding the output of go list: %w", err)
		}
		if p.Standard || p.Module == nil {
			continue
		}
		s := sources[p.Module.Path]
		s.module = Module{Path: p.Module.Path, Version: p.Module.Version}
		s.root = p.Module.Dir
		if p.Module.Replace != nil {
			s.root = p.Module.Replace.Dir
		}
		s.packages = append(s.packages, p.Dir)
		sources[p.Module.Path] = s
	}
	return slices.SortedFunc(maps.Values(sources), func(a, b source) int { return cmp.Compare(a.module.Path, b.module.Path) }), nil
}

// toolchain returns the source of Go itself.
func toolchain(ctx context.Context, dir string) (source, error) {
	output, err := goCommand(ctx, dir, nil, "env", "GOVERSION", "GOROOT")
	if err != nil {
		return source{}, err
	}
	version, root, found := strings.Cut(strings.TrimSpace(string(output)), "\n")
	if !found {
		return source{}, fmt.Errorf("go env prints %q, want a version and a directory", output)
	}
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "go"), " ")
	return source{module: Module{Path: GoModule, Version: version}, root: root}, nil
}

func goCommand(ctx context.Context, dir string, environment []string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	command.Env = append(command.Environ(), environment...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return output, nil
}
