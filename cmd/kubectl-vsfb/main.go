// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-vsfb is the kubectl plugin of the operator: with it on the PATH, it is run as
// "kubectl vsfb".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl"
)

// version is stamped in when the program is built.
var version = "dev"

// The exit codes: as of a shell, for a program that a signal has ended.
const (
	exitFailed      = 1
	exitInterrupted = 128 + int(syscall.SIGINT)
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends what does not come to an end by itself.
	context.AfterFunc(ctx, stop)
	command := kubectl.NewCommand(kubectl.Options{
		Streams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Env:     os.Getenv,
		Version: version,
	})
	err := command.ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	switch {
	case interrupted:
		os.Exit(exitInterrupted)
	case err != nil:
		os.Exit(exitFailed)
	}
}
