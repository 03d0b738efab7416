// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command crossplane measures Crossplane's provider-http and the operator, one after the other, with
// the same emulator and the same batches. Each has the defaults of its flags. It reports counts and
// memory, and no times.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "crossplane:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, stdout, progress io.Writer) (err error) {
	log.SetLogger(logr.Discard())
	f := flag.NewFlagSet("crossplane", flag.ContinueOnError)
	provider := f.String("provider", "", "The `program` of provider-http.")
	crds := f.String("crds", "", "The `directory` with its CRDs, package/crds.")
	objects := f.Int("objects", 100, "The `number` of batches.")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *provider == "" || *crds == "" || *objects < 1 {
		return errors.New("-provider and -crds are required, and -objects must be positive")
	}
	folder, err := os.MkdirTemp("", "vsfb-crossplane-")
	if err != nil {
		return fmt.Errorf("creating a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := framework.Build(ctx, folder, nil, "manager"); err != nil {
		return err
	}
	// kubectl and the programs do not run in this directory.
	paths := []string{filepath.Join(folder, "manager"), *provider, *crds}
	for i := range paths {
		if paths[i], err = filepath.Abs(paths[i]); err != nil {
			return fmt.Errorf("resolving a path: %w", err)
		}
	}
	r := report{objects: *objects}
	for _, t := range []tool{newProvider(paths[1], paths[2]), newOperator(paths[0])} {
		found, err := measure(ctx, t, *objects, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		r.tools = append(r.tools, found)
		_, _ = io.WriteString(progress, r.markdown())
	}
	_, err = io.WriteString(stdout, r.markdown())
	return err
}
