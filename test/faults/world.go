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
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
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

// world is what the runs share: an API server with all of config/default, and the built manager.
type world struct {
	plane  *controlplane.ControlPlane
	folder string
	// manager is the program.
	manager string
	// patience bounds a run.
	patience time.Duration
	// client is an administrator's.
	client client.Client
	// apiServer is where the API server is, and asManager the way there with the rights of the
	// manager's ServiceAccount, and no more.
	apiServer *url.URL
	asManager http.RoundTripper

	mu         sync.Mutex
	complaints map[*run]error
}

// newWorld builds the manager, with a mutation where there is one, and brings the API server up.
func newWorld(ctx context.Context, folder string, m *mutation) (*world, error) {
	log.SetLogger(logr.Discard())
	w := &world{folder: folder, patience: patience, manager: filepath.Join(folder, "manager"), complaints: map[*run]error{}}
	if m != nil {
		w.patience = shortPatience
	}
	built := make(chan error, 1)
	go func() { built <- w.build(ctx, m) }()
	var err error
	w.plane, err = controlplane.Start()
	if err == nil {
		err = w.connect(ctx)
	}
	if err = errors.Join(err, <-built); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w *world) build(ctx context.Context, m *mutation) error {
	args := []string{"build", "-o", w.manager}
	if m != nil {
		overlay, err := m.overlay(w.folder)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	command := exec.CommandContext(ctx, "go", append(args, "./cmd/manager")...)
	command.Dir = controlplane.Root()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the manager: %w: %s", err, output)
	}
	return nil
}

func (w *world) connect(ctx context.Context) error {
	if err := w.plane.Install(ctx, "default"); err != nil {
		return err
	}
	kubeconfig, err := w.plane.ServiceAccountKubeconfig(ctx, systemNamespace, serviceAccount)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	if w.asManager, err = rest.TransportFor(config); err != nil {
		return fmt.Errorf("making a transport: %w", err)
	}
	if w.apiServer, err = url.Parse(config.Host); err != nil {
		return fmt.Errorf("reading the API server's URL: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return fmt.Errorf("making a scheme: %w", err)
	}
	if w.client, err = client.New(w.plane.Config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return nil
}

func (w *world) stop() error {
	if w.plane == nil {
		return nil
	}
	return w.plane.Stop()
}

// complain keeps what went wrong in the suite itself during a run.
func (w *world) complain(r *run, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.complaints[r] = errors.Join(w.complaints[r], err)
}

func (w *world) complaint(r *run) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.complaints[r]
}

// perform makes one run from its beginning to its end.
func (w *world) perform(ctx context.Context, s *scenario, name string, faults []injection) (e evidence, r *run, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.patience)
	defer cancel()
	r, err = w.begin(ctx, s, name, faults)
	defer func() { err = errors.Join(err, r.end(), w.complaint(r)) }()
	if err != nil {
		return e, r, err
	}
	if r.scenario.managers > 1 {
		// They are to meet, so both have to be there.
		if err := r.allAtWork(ctx); err != nil {
			return e, r, err
		}
	}
	if !s.early {
		err = r.createObject(ctx)
	}
	if err == nil && s.drive != nil {
		err = s.drive(ctx, r)
	}
	if err == nil {
		err = r.settle(ctx)
	}
	// What is left is looked at in any case, also when time is up.
	looking, done := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
	defer done()
	e, gathered := r.gather(looking, len(faults), err)
	return e, r, gathered
}

// keep leaves a run's journal beside the managers' logs.
func (r *run) keep(failures []string) error {
	text := r.journal.String()
	for _, failure := range failures {
		text += "\n" + failure + "\n"
	}
	if err := os.WriteFile(filepath.Join(r.folder, "journal.txt"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("keeping the journal: %w", err)
	}
	return nil
}
