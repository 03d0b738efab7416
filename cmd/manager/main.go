// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command manager runs the operator: it follows every VectorStoreFileBatch of the namespaces
// that it watches.
package main

import (
	"flag"
	"fmt"
	"os"

	// The image has no certificate authorities: these are used where the system has none.
	_ "golang.org/x/crypto/x509roots/fallback"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
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
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logging)))

	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "vector-store-operator/" + version
	// The API server has its own priority and fairness; a limit of ours would only delay cancels.
	config.QPS = -1

	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	ctrl.Log.Info("Starting the manager", "version", version)
	if err := mgr.Start(ctrl.SetupSignalHandler()); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

func usage() {
	_, _ = fmt.Fprint(flag.CommandLine.Output(), `The manager of the VectorStoreFileBatch operator.

It uses the Pod's ServiceAccount in a cluster, and --kubeconfig or $KUBECONFIG elsewhere.
OpenAI keys are read from the Secrets that objects name, and from nowhere else.

Flags:
`)
	flag.PrintDefaults()
}
