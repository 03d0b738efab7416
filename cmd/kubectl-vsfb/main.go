// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-vsfb is the kubectl plugin of the operator. If it is on the PATH, "kubectl vsfb" runs
// it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "golang.org/x/crypto/x509roots/fallback" // for the image, which has no certificate authorities
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/vector-store-operator/vector-store-operator/internal/kubectl"
)

// version is set at build time.
var version = "dev"

// repeatedSignal is the time for which further signals are those of the first interruption.
const repeatedSignal = time.Second

// exitInterrupted is the exit code after any of the signals: the one that a shell reports for SIGINT.
const exitInterrupted = 128 + int(syscall.SIGINT)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// Restore the default handling, so that a second signal terminates the process. Wrappers such as
	// timeout and make send the first one twice: it must not interrupt what the command removes.
	context.AfterFunc(ctx, func() { time.AfterFunc(repeatedSignal, stop) })
	command := kubectl.NewCommand(kubectl.Options{
		Streams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Env:     os.Getenv,
		Version: version,
	})
	err := command.ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	code := kubectl.Report(os.Stderr, err)
	if interrupted {
		code = exitInterrupted
	}
	os.Exit(code)
}
