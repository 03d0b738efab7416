// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command licenses checks the licenses of every module that is linked into the given programs, for
// each platform, and can write the license texts to a directory.
//
//	licenses [-root DIR] [-tags TAG,...] [-platforms OS/ARCH,...] [-o DIR] PACKAGE...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/hack/image/gobuild"
)

func main() {
	root := flag.String("root", ".", "`directory` of the Go module")
	tags := flag.String("tags", "", "build `tags`, separated by commas")
	platforms := flag.String("platforms", "linux/amd64", "`platforms` of the programs, separated by commas")
	output := flag.String("o", "", "`directory` for the license texts (default: do not write them)")
	flag.Parse()
	var programs []gobuild.Program
	for _, name := range flag.Args() {
		for _, platform := range strings.Split(*platforms, ",") {
			goos, goarch, _ := strings.Cut(platform, "/")
			programs = append(programs, gobuild.Program{Dir: *root, Package: name, OS: goos, Architecture: goarch, Tags: *tags})
		}
	}
	if err := run(context.Background(), *output, programs); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, output string, programs []gobuild.Program) error {
	if len(programs) == 0 {
		return errors.New("no package specified")
	}
	modules := map[string]gobuild.Module{}
	var errs []error
	for _, program := range programs {
		linked, err := program.Modules(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s for %s/%s: %w", program.Package, program.OS, program.Architecture, err))
		}
		for _, m := range linked {
			modules[m.String()] = m
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	count := map[string]int{}
	for _, m := range modules {
		count[strings.Join(m.Licenses, " AND ")]++
	}
	fmt.Printf("%d modules: %v\n", len(modules), count)
	return write(output, modules)
}

// write writes each text to a directory with the name of its module.
func write(dir string, modules map[string]gobuild.Module) error {
	if dir == "" {
		return nil
	}
	for name, m := range modules {
		for _, text := range m.Texts {
			file := filepath.Join(dir, filepath.FromSlash(name), filepath.FromSlash(text.Path))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return fmt.Errorf("writing a license: %w", err)
			}
			if err := os.WriteFile(file, text.Content, 0o444); err != nil { //nolint:gosec // it is published in an image
				return fmt.Errorf("writing a license: %w", err)
			}
		}
	}
	return nil
}
