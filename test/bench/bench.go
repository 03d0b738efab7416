// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

const (
	systemNamespace = "vector-store-operator-system"
	serviceAccount  = "vector-store-operator-manager"
)

// bench is what the scenarios share: an API server with all of config/default, and the programs.
type bench struct {
	options
	report   *report
	progress *progress

	plane             *controlplane.ControlPlane
	manager, emulator string
	knownFlags        map[string]bool
	// client and metadata are an administrator's, and administrator is the way that they go.
	client        client.Client
	metadata      metadata.Interface
	administrator *http.Client
	// asManager has the rights of the manager's ServiceAccount, and no more; kubeconfig is the
	// file with the same.
	asManager  *rest.Config
	kubeconfig string

	stands []*stand
	// crowd are the batches in progress that several scenarios share; nil until one needs them.
	crowd *stand
}

// begin builds the programs, and brings the API server up.
func (b *bench) begin(ctx context.Context) error {
	log.SetLogger(logr.Discard())
	b.say("the report, the plot and the logs go to %s", b.folder)
	b.say("building the manager and the emulator, and starting an API server")
	built := make(chan error, 1)
	go func() { built <- b.build(ctx) }()
	var err error
	b.plane, err = controlplane.Start()
	if err == nil {
		err = b.connect(ctx)
	}
	if err = errors.Join(err, <-built); err != nil {
		return err
	}
	b.report, err = newReport(ctx, b)
	return err
}

// build builds the programs, as far as none was given.
func (b *bench) build(ctx context.Context) error {
	b.manager, b.emulator = b.program, filepath.Join(b.folder, "emulator")
	if b.manager == "" {
		b.manager = filepath.Join(b.folder, "manager")
		if err := b.compile(ctx, b.manager, "./cmd/manager"); err != nil {
			return err
		}
	}
	var err error
	if b.knownFlags, err = flagsOf(ctx, b.manager); err != nil {
		return err
	}
	return b.compile(ctx, b.emulator, "./cmd/emulator")
}

// compile builds a program as `make build` does.
func (b *bench) compile(ctx context.Context, into, program string) error {
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags="+b.tags, "-ldflags=-s -w", "-o", into, program)
	command.Dir = controlplane.Root()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", program, err, output)
	}
	return nil
}

func (b *bench) connect(ctx context.Context) error {
	if err := b.plane.Install(ctx, "default"); err != nil {
		return err
	}
	var err error
	if b.kubeconfig, err = b.plane.ServiceAccountKubeconfig(ctx, systemNamespace, serviceAccount); err != nil {
		return err
	}
	if b.asManager, err = clientcmd.BuildConfigFromFlags("", b.kubeconfig); err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	b.asManager.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return fmt.Errorf("making a scheme: %w", err)
	}
	if b.administrator, err = rest.HTTPClientFor(b.plane.Config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if b.metadata, err = metadata.NewForConfigAndClient(metadata.ConfigFor(b.plane.Config), b.administrator); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if b.client, err = client.New(b.plane.Config, client.Options{Scheme: scheme, HTTPClient: b.administrator}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return nil
}

// end takes down what begin and the scenarios brought up.
func (b *bench) end() error {
	for _, s := range b.stands {
		s.end()
	}
	if b.plane == nil {
		return nil
	}
	return b.plane.Stop()
}

// writes are the writes that the API server has taken so far.
func (b *bench) writes(ctx context.Context) (writes, error) {
	m, err := scrape(ctx, b.administrator, strings.TrimSuffix(b.plane.Config.Host, "/")+"/metrics")
	if err != nil {
		return nil, fmt.Errorf("counting writes: %w", err)
	}
	return writesOf(m), nil
}

func (b *bench) say(format string, args ...any) { b.progress.say(format, args...) }

// progress tells whoever waits what is going on.
type progress struct {
	mu    sync.Mutex
	w     io.Writer
	began time.Time
}

func newProgress(w io.Writer) *progress { return &progress{w: w, began: time.Now()} }

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "%6.1fs  %s\n", time.Since(p.began).Seconds(), fmt.Sprintf(format, args...)) //nolint:errcheck // a word to whoever watches
}
