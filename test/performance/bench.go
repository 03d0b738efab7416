// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// bench is what the scenarios share: an API server with config/default, and the programs.
type bench struct {
	options
	report   *report
	progress *progress

	env        *framework.Env
	manager    string
	knownFlags map[string]bool
	// client and metadata have administrator rights, and use the HTTP client administrator.
	client        client.Client
	metadata      metadata.Interface
	administrator *http.Client
	// asManager has the rights of the manager's ServiceAccount only; kubeconfig is a file with the
	// same rights.
	asManager  *rest.Config
	kubeconfig string

	fixtures []*fixture
	// load is the fixture with the batches in progress that several scenarios share; nil until one
	// needs it.
	load *fixture
}

// begin builds the programs and starts the API server. The programs have the flags of `make build`.
func (b *bench) begin(ctx context.Context) error {
	log.SetLogger(logr.Discard())
	b.logf("writing the report, the plot and the logs to %s", b.folder)
	b.logf("building the manager and the emulator, and starting an API server")
	options := framework.Options{
		Install: []string{"default"}, Build: []string{"emulator"}, BuildFlags: []string{"-trimpath", "-tags=" + b.tags, "-ldflags=-s -w"},
	}
	if b.program == "" {
		options.Build = append(options.Build, "manager")
	}
	var err error
	if b.env, err = framework.Start(ctx, options); err != nil {
		return err
	}
	if b.manager = b.program; b.manager == "" {
		b.manager = b.env.Program("manager")
	}
	if b.knownFlags, err = flagsOf(ctx, b.manager); err != nil {
		return err
	}
	if err := b.connect(ctx); err != nil {
		return err
	}
	b.report, err = newReport(ctx, b)
	return err
}

func (b *bench) connect(ctx context.Context) error {
	var err error
	if b.kubeconfig, err = b.env.ServiceAccountKubeconfig(ctx, framework.SystemNamespace, framework.ServiceAccount); err != nil {
		return err
	}
	if b.asManager, err = clientcmd.BuildConfigFromFlags("", b.kubeconfig); err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	b.asManager.QPS = -1
	b.client, b.administrator = b.env.Client, b.env.HTTPClient
	if b.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(b.env.Config), b.administrator); err != nil {
		return fmt.Errorf("creating a client: %w", err)
	}
	return nil
}

// end stops what begin and the scenarios started.
func (b *bench) end() error {
	for _, s := range b.fixtures {
		s.end()
	}
	if b.env == nil {
		return nil
	}
	return b.env.Stop()
}

// writes returns the number of writes that the API server has accepted so far.
func (b *bench) writes(ctx context.Context) (writes, error) {
	m, err := scrape(ctx, b.administrator, strings.TrimSuffix(b.env.Config.Host, "/")+"/metrics")
	if err != nil {
		return nil, fmt.Errorf("counting writes: %w", err)
	}
	return writesOf(m), nil
}

func (b *bench) logf(format string, args ...any) { b.progress.logf(format, args...) }

// progress prints the progress.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
}

func newProgress(w io.Writer) *progress { return &progress{w: w, began: time.Now()} }

func (p *progress) logf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%6.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...)) //nolint:errcheck // progress output only
}
