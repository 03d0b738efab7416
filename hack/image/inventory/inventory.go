// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inventory tells which modules are linked into a program, and under which licences
// they come. A module that is only required, and linked into nothing, is not in it.
package inventory

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

// GoModule is the path under which Go's own runtime and standard library are listed.
const GoModule = "std"

// Module is a module that is linked into a program.
type Module struct {
	Path string
	// Version is as in go.mod, or Go's own for GoModule. The program's own module has none.
	Version string
	// Licenses are the SPDX identifiers of what Texts say, sorted.
	Licenses []string
	// Texts are the licences and notices of the module, and of those of its packages that are
	// linked and have their own.
	Texts []Text
}

// Text is a file of a module.
type Text struct {
	// Path is relative to the module's folder, with slashes.
	Path    string
	Content []byte
}

// String is the module with its version.
func (m Module) String() string {
	if m.Version == "" {
		return m.Path
	}
	return m.Path + "@" + m.Version
}

// listed is what `go list` says of a package.
type listed struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir string
		Replace            *struct{ Dir string }
	}
}

// source is a module's folder, and the folders of its packages that are linked.
type source struct {
	module   Module
	root     string
	packages []string
}

// Program is a program as it is built for a platform.
type Program struct {
	// Folder is that of the module, and Package a path in it, such as ./cmd/manager.
	Folder, Package string
	// OS and Architecture are as in GOOS and GOARCH, and Tags the build tags.
	OS, Architecture, Tags string
}

// Of lists what is linked into a program. The error names each module that has no licence, or
// one that nothing may be linked under.
func Of(ctx context.Context, p Program) ([]Module, error) {
	output, err := goCommand(ctx, p.Folder, []string{"GOOS=" + p.OS, "GOARCH=" + p.Architecture, "CGO_ENABLED=0"},
		"list", "-deps", "-tags="+p.Tags, "-json=Dir,Standard,Module", p.Package)
	if err != nil {
		return nil, err
	}
	sources, err := parse(bytes.NewReader(output))
	if err != nil {
		return nil, err
	}
	golang, err := toolchain(ctx, p.Folder)
	if err != nil {
		return nil, err
	}
	modules := make([]Module, 0, len(sources)+1)
	var errs []error
	for _, s := range append([]source{golang}, sources...) {
		module, err := s.read()
		modules, errs = append(modules, module), append(errs, err)
	}
	return modules, errors.Join(errs...)
}

// parse sorts the packages of `go list` by module.
func parse(output io.Reader) ([]source, error) {
	found := map[string]source{}
	for decoder := json.NewDecoder(output); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading what go list says: %w", err)
		}
		if p.Standard || p.Module == nil {
			continue
		}
		s := found[p.Module.Path]
		s.module = Module{Path: p.Module.Path, Version: p.Module.Version}
		s.root = p.Module.Dir
		if p.Module.Replace != nil {
			s.root = p.Module.Replace.Dir
		}
		s.packages = append(s.packages, p.Dir)
		found[p.Module.Path] = s
	}
	return slices.SortedFunc(maps.Values(found), func(a, b source) int { return cmp.Compare(a.module.Path, b.module.Path) }), nil
}

// toolchain is where Go itself is.
func toolchain(ctx context.Context, folder string) (source, error) {
	output, err := goCommand(ctx, folder, nil, "env", "GOVERSION", "GOROOT")
	if err != nil {
		return source{}, err
	}
	version, root, found := strings.Cut(strings.TrimSpace(string(output)), "\n")
	if !found {
		return source{}, fmt.Errorf("go env says %q, want a version and a folder", output)
	}
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "go"), " ")
	return source{module: Module{Path: GoModule, Version: version}, root: root}, nil
}

func goCommand(ctx context.Context, folder string, environment []string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = folder
	command.Env = append(command.Environ(), environment...)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(complaints.Bytes()))
	}
	return output, nil
}
