// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command licenses checks the licences of every module that is linked into the given programs,
// on each platform that they are built for, and can write the texts into a folder.
//
//	licenses [-root FOLDER] [-tags TAG,...] [-platforms OS/ARCH,...] [-o FOLDER] PACKAGE...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/hack/image/inventory"
)

func main() {
	root := flag.String("root", ".", "the `folder` of the module")
	tags := flag.String("tags", "", "the build `tags`, separated by commas")
	platforms := flag.String("platforms", "linux/amd64", "the `platforms` that the programs are built for, separated by commas")
	output := flag.String("o", "", "a `folder` to write the texts into")
	flag.Parse()
	var programs []inventory.Program
	for _, name := range flag.Args() {
		for _, platform := range strings.Split(*platforms, ",") {
			goos, goarch, _ := strings.Cut(platform, "/")
			programs = append(programs, inventory.Program{Folder: *root, Package: name, OS: goos, Architecture: goarch, Tags: *tags})
		}
	}
	if err := run(context.Background(), *output, programs); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, output string, programs []inventory.Program) error {
	if len(programs) == 0 {
		return errors.New("no package is given")
	}
	modules := map[string]inventory.Module{}
	var errs []error
	for _, program := range programs {
		linked, err := inventory.Of(ctx, program)
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

// write puts each text below the name of its module.
func write(folder string, modules map[string]inventory.Module) error {
	if folder == "" {
		return nil
	}
	for name, m := range modules {
		for _, text := range m.Texts {
			file := filepath.Join(folder, filepath.FromSlash(name), filepath.FromSlash(text.Path))
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				return fmt.Errorf("writing a licence: %w", err)
			}
			if err := os.WriteFile(file, text.Content, 0o444); err != nil { //nolint:gosec // it goes into an image, for everyone
				return fmt.Errorf("writing a licence: %w", err)
			}
		}
	}
	return nil
}
