// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager runs the operator. It reconciles the VectorStoreFileBatches in the namespaces that
// it watches.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	// The image has no CA certificates. These are used if the system has none.
	_ "golang.org/x/crypto/x509roots/fallback"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
)

// version is set at build time.
var version = "dev"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func run() error {
	o := defaultOptions()
	logging := zap.Options{}
	logging.BindFlags(flag.CommandLine)
	o.bind(flag.CommandLine)
	flag.Usage = usage
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: all settings are flags, see --help", flag.Arg(0))
	}
	if err := errors.Join(o.validate(), validateLogLevel(flag.Lookup("zap-log-level").Value.String()), limitMemory(os.Getenv)); err != nil {
		return err
	}
	logger := zap.New(zap.UseFlagOptions(&logging))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger) // for client-go, such as its leader election

	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("loading the kubeconfig: %w", err)
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "vector-store-operator/" + version
	// The API server has API Priority and Fairness. A client-side limit would only delay cancellations.
	config.QPS = -1
	config.Wrap(telemetry.CountWrites)
	return serve(ctrl.SetupSignalHandler(), config, o)
}

// flushTimeout is the maximum time that the remaining spans are exported for at shutdown.
const flushTimeout = 5 * time.Second

// serve runs the manager until the context is done.
func serve(ctx context.Context, config *rest.Config, o *options) error {
	if err := telemetry.RegisterBuildInfo(version); err != nil {
		return err
	}
	stopTracing, err := telemetry.StartTracing(ctx, os.Getenv, version)
	if err != nil {
		return fmt.Errorf("setting up tracing: %w", err)
	}
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	ctrl.Log.Info("Starting manager", "version", version)
	if err = mgr.Start(ctx); err != nil {
		err = fmt.Errorf("running manager: %w", err)
	}
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if stopErr := stopTracing(flushCtx); stopErr != nil {
		ctrl.Log.Error(stopErr, "Failed to export the last traces")
	}
	return err
}

func usage() {
	_, _ = fmt.Fprint(flag.CommandLine.Output(), `The manager runs the vector-store-operator, which reconciles VectorStoreFileBatches.

In a cluster, it authenticates with the ServiceAccount of its Pod. Elsewhere, it uses --kubeconfig
or $KUBECONFIG. It reads OpenAI keys only from the Secrets that VectorStoreFileBatches reference.

Flags:
`)
	flag.PrintDefaults()
}
