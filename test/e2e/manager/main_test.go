// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e_test runs the built programs against a real API server, as a user meets them:
// all of config/default is installed, the manager has its ServiceAccount's token and nothing
// more, and what a user does is done with kubectl.
package e2e_test

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vector-store-operator/vector-store-operator/internal/controlplane"
)

const (
	systemNamespace = "vector-store-operator-system"
	serviceAccount  = "vector-store-operator-manager"

	startTimeout = 2 * time.Minute
	// patience is how long anything may take that is bound to happen. It is only ever used up
	// by a test that fails.
	patience = time.Minute
	// atATime is how many tests run at once: nearly all of a test is waiting.
	atATime = "12"
)

// system is what the tests share: each has a namespace and a vector store of its own in it.
type system struct {
	plane             *controlplane.ControlPlane
	folder            string
	managerKubeconfig string
	manager, emulator *process
	// upstream is the emulator's URL, without a path.
	upstream string
	// metrics and probes are the addresses on which the manager serves them.
	metrics, probes string
}

var shared system

// The keys that the emulator takes. They are random, so that one that leaks can be found.
var (
	mainKey, echoedKey = newKey("main"), newKey("echoed")
	oldKey, newestKey  = newKey("old"), newKey("newest")
	// environmentKey stands in the manager's environment, where it must not look for one.
	environmentKey = newKey("environment")
	// revokedKey and foreignKey are not taken by the emulator.
	revokedKey, foreignKey = newKey("revoked"), newKey("foreign")
)

func allKeys() []string {
	return []string{mainKey, echoedKey, oldKey, newestKey, environmentKey, revokedKey, foreignKey, compatibleKey}
}

func newKey(name string) string { return "sk-" + name + "-" + strings.ToLower(rand.Text()) }

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", atATime); err != nil {
			panic(err)
		}
	}
	log.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	code := 1
	err := shared.start(ctx)
	if err == nil {
		code = m.Run()
		err = shared.leaks()
	}
	if err = errors.Join(err, shared.stop()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code != 0 && shared.manager != nil {
		fmt.Fprintf(os.Stderr, "the end of the manager's log:\n%s\n", shared.manager.tail())
	}
	if shared.folder != "" {
		_ = os.RemoveAll(shared.folder)
	}
	return code
}

// start brings everything up, each part as soon as it can.
func (s *system) start(ctx context.Context) error {
	var err error
	if s.folder, err = os.MkdirTemp("", "vsfb-e2e-"); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	built := make(chan error, 1)
	go func() { built <- s.build(ctx) }()
	s.plane, err = controlplane.Start()
	if err == nil {
		err = s.plane.Install(ctx, "default")
	}
	if err == nil {
		s.managerKubeconfig, err = s.plane.ServiceAccountKubeconfig(ctx, systemNamespace, serviceAccount)
	}
	if err := errors.Join(err, <-built); err != nil {
		return err
	}
	if err := s.startEmulator(ctx); err != nil {
		return err
	}
	return s.startManager(ctx)
}

func (s *system) build(ctx context.Context) error {
	command := exec.CommandContext(ctx, "go", "build", "-o", s.folder, "./cmd/manager", "./cmd/emulator")
	command.Dir = controlplane.Root()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w: %s", err, output)
	}
	return nil
}

func (s *system) startEmulator(ctx context.Context) error {
	args := []string{"--addr=127.0.0.1:0", "--pace=100ms", "--cancel-delay=300ms"}
	for _, key := range []string{mainKey, echoedKey, oldKey, newestKey} {
		args = append(args, "--api-key="+key)
	}
	var err error
	if s.emulator, err = s.launch("emulator", "emulator", nil, args...); err != nil {
		return err
	}
	return until(ctx, "the emulator's URL in its log", func(context.Context) (bool, error) {
		line, _, complete := strings.Cut(s.emulator.output(), "\n")
		if !complete {
			return false, s.emulator.died()
		}
		var found bool
		s.upstream, found = strings.CutPrefix(line, "listening on ")
		if !found {
			return false, fmt.Errorf("the emulator's first line is %q", line)
		}
		return true, nil
	})
}

func (s *system) startManager(ctx context.Context) error {
	var err error
	if s.metrics, err = freeAddress(ctx); err != nil {
		return err
	}
	if s.probes, err = freeAddress(ctx); err != nil {
		return err
	}
	// What an SDK would read: the manager must not.
	environment := []string{"OPENAI_API_KEY=" + environmentKey, "OPENAI_BASE_URL=http://127.0.0.1:9/v1"}
	s.manager, err = s.launch("manager", "manager", environment,
		"--kubeconfig="+s.managerKubeconfig,
		"--metrics-bind-address="+s.metrics, "--health-probe-bind-address="+s.probes,
		"--allow-insecure-endpoints", "--poll-interval-min=200ms", "--poll-interval-max=1s",
		"--zap-log-level=debug")
	if err != nil {
		return err
	}
	return until(ctx, "the manager to be ready", func(ctx context.Context) (bool, error) {
		code, _, err := fetch(ctx, http.DefaultClient, "http://"+s.probes+"/readyz", "")
		if err != nil {
			return false, s.manager.died()
		}
		return code == http.StatusOK, nil
	})
}

func (s *system) stop() error {
	var errs []error
	for _, p := range []*process{s.manager, s.emulator} {
		if p == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := p.terminate(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", p.command.Path, err))
		}
		cancel()
	}
	if s.plane != nil {
		errs = append(errs, s.plane.Stop())
	}
	return errors.Join(errs...)
}

// leaks looks for keys in all that the run has left: the manager's log, and every object and
// Event of the cluster but the Secrets.
func (s *system) leaks() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	places := map[string]string{"the manager's log": s.manager.output()}
	for _, kind := range []string{"vectorstorefilebatches.vector-store-operator.dev", "events", "configmaps"} {
		output, err := s.plane.Run(ctx, "get", kind, "--all-namespaces", "--output=yaml", "--show-managed-fields")
		if err != nil {
			return fmt.Errorf("looking for keys: %w", err)
		}
		places[kind] = output
	}
	var errs []error
	for place, text := range places {
		for _, key := range keysIn(text) {
			errs = append(errs, fmt.Errorf("%s: the key %s stands in it", place, key))
		}
	}
	return errors.Join(errs...)
}

// launch starts one of the built programs, its output going into a log of that name.
func (s *system) launch(name, program string, environment []string, args ...string) (*process, error) {
	return start(exec.Command(filepath.Join(s.folder, program), args...), filepath.Join(s.folder, name+".log"), environment)
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// until polls for a condition as long as the context lasts.
func until(ctx context.Context, what string, condition wait.ConditionWithContextFunc) error {
	if err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, condition); err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}
