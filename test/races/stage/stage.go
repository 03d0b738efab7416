// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stage runs the built manager as a process, between proxies that see what it asks of
// a real API server and of the emulator, and that can hold a request up at any step. Tests of
// races and of misuse are built on it.
package stage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

// Patience is how long anything may take that is bound to happen. It is only ever used up by a
// test that fails.
const Patience = 90 * time.Second

// Stage is what the tests of a package share: a control plane with the CRD and the policies,
// and the manager, built from source.
type Stage struct {
	// Plane is the control plane.
	Plane *controlplane.ControlPlane
	// Client is an administrator's, without a cache.
	Client client.Client

	apiserver *http.Client
	folder    string
}

// Open brings the control plane up, and builds the manager meanwhile. Close must be called
// even after an error.
func Open(ctx context.Context) (*Stage, error) {
	log.SetLogger(logr.Discard())
	s := &Stage{}
	var err error
	if s.folder, err = os.MkdirTemp("", "vsfb-stage-"); err != nil {
		return s, fmt.Errorf("making a folder: %w", err)
	}
	built := make(chan error, 1)
	go func() { built <- s.build(ctx) }()
	s.Plane, err = controlplane.Start()
	if err == nil {
		err = s.Plane.Install(ctx, "crd", "policy")
	}
	if err == nil {
		err = s.connect()
	}
	return s, errors.Join(err, <-built)
}

// Close takes everything down.
func (s *Stage) Close() error {
	var errs []error
	if s.Plane != nil {
		errs = append(errs, s.Plane.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.folder))...)
}

func (s *Stage) build(ctx context.Context) error {
	command := exec.CommandContext(ctx, "go", "build", "-o", s.program(), "./cmd/manager")
	command.Dir = controlplane.Root()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the manager: %w: %s", err, output)
	}
	return nil
}

func (s *Stage) program() string { return filepath.Join(s.folder, "manager") }

func (s *Stage) connect() error {
	scheme := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme))
	if err != nil {
		return fmt.Errorf("making a scheme: %w", err)
	}
	if s.Client, err = client.New(s.Plane.Config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if s.apiserver, err = rest.HTTPClientFor(s.Plane.Config); err != nil {
		return fmt.Errorf("making an HTTP client: %w", err)
	}
	// What the API server answers is handed on; redirects and time limits are the manager's.
	s.apiserver.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.apiserver.Timeout = 0
	return nil
}

// Main opens a stage, runs a package's tests on it, and closes it. It gives the exit code.
func Main(m *testing.M, shared **Stage) int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	code := 1
	var err error
	if *shared, err = Open(ctx); err == nil {
		code = m.Run()
	}
	if err = errors.Join(err, (*shared).Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// StartControllerManager starts some of the controllers that a cluster has. They end with the
// test, which is skipped where they were not built.
func (s *Stage) StartControllerManager(t *testing.T, controllers string) {
	t.Helper()
	const name = "kube-controller-manager"
	program := filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), name)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("there is no %s: make test builds it", name)
	}
	log, err := os.CreateTemp(s.folder, name+"-")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	Launch(t, name, log.Name(), program, nil,
		"--kubeconfig="+s.Plane.Kubeconfig, "--controllers="+controllers, "--leader-elect=false", "--secure-port=0")
}

// Eventually waits until a condition holds.
func Eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// Fetch asks the API server for a path, as the administrator.
func (s *Stage) Fetch(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.Plane.Config.Host, "/")+path, nil)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	return s.apiserver.Do(request)
}

// Ready reports whether the API server is.
func (s *Stage) Ready(ctx context.Context) bool {
	response, err := s.Fetch(ctx, "/readyz")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}
