// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// fixture is what the runs share: an API server with config/default, and the built manager.
type fixture struct {
	*framework.Env
	folder string
	// timeout bounds a run.
	timeout time.Duration
	// apiServer is the API server's URL, and asManager a transport with the rights of the manager's
	// ServiceAccount only.
	apiServer *url.URL
	asManager http.RoundTripper
}

// newFixture builds the manager, with a mutation if there is one, and starts the API server.
func newFixture(ctx context.Context, folder string, m *mutation) (*fixture, error) {
	log.SetLogger(logr.Discard())
	f := &fixture{folder: folder, timeout: runTimeout}
	options := framework.Options{Install: []string{"default"}, Build: []string{"manager"}}
	if m != nil {
		if !m.slow {
			f.timeout = mutationTimeout
		}
		overlay, err := m.overlay(folder)
		if err != nil {
			return nil, err
		}
		options.BuildFlags = []string{"-overlay=" + overlay}
	}
	var err error
	if f.Env, err = framework.Start(ctx, options); err != nil {
		return nil, err
	}
	if err := f.connect(ctx); err != nil {
		return nil, errors.Join(err, f.Stop())
	}
	return f, nil
}

func (f *fixture) connect(ctx context.Context) error {
	kubeconfig, err := f.ServiceAccountKubeconfig(ctx, framework.SystemNamespace, framework.ServiceAccount)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if f.asManager, err = rest.TransportFor(config); err != nil {
		return fmt.Errorf("creating a transport: %w", err)
	}
	if f.apiServer, err = url.Parse(config.Host); err != nil {
		return fmt.Errorf("parsing the API server's URL: %w", err)
	}
	return nil
}

// perform executes one run.
func (f *fixture) perform(ctx context.Context, s *scenario, name string, faults []injection) (e evidence, r *run, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	r, err = f.begin(ctx, s, name, faults)
	defer func() { err = errors.Join(err, r.end(), r.err) }()
	if err != nil {
		return e, r, err
	}
	if r.scenario.managers > 1 {
		// Both managers must run before they can compete.
		if err := r.waitWorking(ctx); err != nil {
			return e, r, err
		}
	}
	if !s.objectFirst {
		err = r.createObject(ctx)
	}
	if err == nil && s.actions != nil {
		err = s.actions(ctx, r)
	}
	if err == nil {
		err = r.settle(ctx)
	}
	// Gather the evidence in any case, even after a timeout.
	gatherCtx, done := context.WithTimeout(context.WithoutCancel(ctx), gatherTimeout)
	defer done()
	e, gathered := r.gather(gatherCtx, len(faults), err)
	return e, r, gathered
}

// keep writes a run's history beside the managers' logs.
func (r *run) keep(failures []string) error {
	text := r.history.String()
	for _, failure := range failures {
		text += "\n" + failure + "\n"
	}
	if err := os.WriteFile(filepath.Join(r.folder, "history.txt"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the history: %w", err)
	}
	return nil
}
