// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager runs the operator: it follows every VectorStoreFileBatch of the namespaces
// that it watches.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	// The image has no certificate authorities: these are used where the system has none.
	_ "golang.org/x/crypto/x509roots/fallback"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/vector-store-operator/vector-store-operator/internal/telemetry"
)

// version is stamped in when the program is built.
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
		return fmt.Errorf("unexpected argument %q: every setting is a flag, see --help", flag.Arg(0))
	}
	if err := o.validate(); err != nil {
		return err
	}
	logger := zap.New(zap.UseFlagOptions(&logging))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger) // for what client-go says, such as on the election of a leader

	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "vector-store-operator/" + version
	// The API server has its own priority and fairness; a limit of ours would only delay cancels.
	config.QPS = -1
	config.Wrap(telemetry.CountWrites)
	return serve(ctrl.SetupSignalHandler(), config, o)
}

// lastTraces is how long the end of the process waits for a receiver of traces.
const lastTraces = 5 * time.Second

// serve runs the manager until the context ends.
func serve(ctx context.Context, config *rest.Config, o *options) error {
	if err := telemetry.ExposeVersion(version); err != nil {
		return err
	}
	stopTracing, err := telemetry.StartTracing(ctx, os.Getenv, version)
	if err != nil {
		return fmt.Errorf("setting up traces: %w", err)
	}
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	ctrl.Log.Info("Starting the manager", "version", version)
	if err = mgr.Start(ctx); err != nil {
		err = fmt.Errorf("running: %w", err)
	}
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
	defer cancel()
	if stopErr := stopTracing(flushing); stopErr != nil {
		ctrl.Log.Error(stopErr, "The last traces were not sent")
	}
	return err
}

func usage() {
	_, _ = fmt.Fprint(flag.CommandLine.Output(), `The manager of the VectorStoreFileBatch operator.

It uses the Pod's ServiceAccount in a cluster, and --kubeconfig or $KUBECONFIG elsewhere.
OpenAI keys are read from the Secrets that objects name, and from nowhere else.

Flags:
`)
	flag.PrintDefaults()
}
