// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// fixture is what a scenario has to itself: a namespace, an OpenAI emulator, and a manager that watches
// nothing else.
type fixture struct {
	*bench
	namespace string
	stores    []string
	openai    openai
	manager   *manager
	// managers is the number of managers started so far.
	managers int
}

// newFixture creates a namespace with a Secret, and an emulator with a number of vector stores.
func (b *bench) newFixture(ctx context.Context, stores int, emulatorFlags ...string) (*fixture, error) {
	s := &fixture{bench: b, namespace: "bench-" + strings.ToLower(rand.Text()[:8])}
	for i := range stores {
		s.stores = append(s.stores, fmt.Sprintf("vs_bench%03d", i))
	}
	b.fixtures = append(b.fixtures, s)
	var err error
	if s.openai, err = startOpenAI(ctx, b.env.Program("emulator"), filepath.Join(b.folder, s.namespace+"-emulator.log"), s.stores, emulatorFlags); err != nil {
		return nil, err
	}
	if err := b.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}); err != nil {
		return nil, fmt.Errorf("creating the namespace: %w", err)
	}
	return s, s.secret(ctx, v1alpha1.DefaultCredentialsSecret, s.openai.URL)
}

// secret creates a Secret for the emulator at one of its URLs.
func (s *fixture) secret(ctx context.Context, name, url string) error {
	secret := framework.NewSecret(s.namespace, name, s.openai.Key, url+"/v1")
	if err := s.client.Create(ctx, secret); err != nil {
		return fmt.Errorf("creating the Secret: %w", err)
	}
	return nil
}

// end stops what the fixture started.
func (s *fixture) end() {
	s.stop()
	s.openai.end()
}

// manager is a running manager.
type manager struct {
	*framework.Process
	started    time.Time
	metricsURL string
	// profileURL is the URL of its profiles; empty if it has none.
	profileURL string
}

// pprofFlag is the manager's flag for the address of its profiles.
const pprofFlag = "pprof-bind-address"

// start starts the manager with the flags of the scenario.
func (s *fixture) start(flags ...string) error { return s.startAs(s.kubeconfig, flags...) }

func (s *fixture) startAs(kubeconfig string, flags ...string) error {
	address, err := framework.FreeAddress()
	if err != nil {
		return err
	}
	profiles, err := framework.FreeAddress()
	if err != nil {
		return err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig, "--watch-namespaces=" + s.namespace, "--allow-insecure-endpoints", framework.AllowLoopback, fmt.Sprintf("--concurrency=%d", workers),
		"--health-probe-bind-address=0", "--metrics-bind-address=" + address, "--metrics-secure=false", "--" + pprofFlag + "=" + profiles,
	}
	s.managers++
	args = append(append(args, flags...), s.flags...)
	started := time.Now()
	p, err := framework.Run(framework.Command{
		Path: s.bench.manager, Args: s.supported(args), Env: environment(os.Environ()),
		Log: filepath.Join(s.folder, fmt.Sprintf("%s-manager-%d.log", s.namespace, s.managers)),
	})
	if err != nil {
		return err
	}
	s.manager = &manager{Process: p, started: started, metricsURL: "http://" + address + "/metrics"}
	if s.knownFlags[pprofFlag] {
		s.manager.profileURL = "http://" + profiles + "/debug/pprof/"
	}
	return nil
}

// stop kills the manager, if there is one.
func (s *fixture) stop() {
	if s.manager != nil {
		s.manager.Kill()
		s.manager = nil
	}
}

// startAndWait starts the manager, and waits until it has listed all objects and started its workers.
func (s *fixture) startAndWait(ctx context.Context, flags ...string) error {
	if err := s.start(flags...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.manager.WaitForOutput(ctx, framework.Working)
}

// metrics returns the manager's metrics.
func (m *manager) metrics(ctx context.Context) (metrics, error) {
	found, err := scrape(ctx, http.DefaultClient, m.metricsURL)
	if err != nil {
		return nil, fmt.Errorf("the manager: %w", err)
	}
	return found, m.Err()
}

// reconciles returns the number of the manager's reconciliations.
func (m *manager) reconciles(ctx context.Context) (int, error) {
	found, err := m.metrics(ctx)
	return int(found.sum("controller_runtime_reconcile_total", nil)), err
}

// waitReconciled waits until the manager has reconciled each of n objects.
func (m *manager) waitReconciled(ctx context.Context, n int) error {
	return poll(ctx, longInterval, "the manager to reconcile all objects", func() (bool, error) {
		reconciles, err := m.reconciles(ctx)
		return reconciles >= n, err
	})
}

// reading is a snapshot of the counters of a manager and its emulator.
type reading struct {
	at         time.Time
	usage      usage
	reconciles int
	calls      calls
	writes     writes
}

// read takes a snapshot.
func (s *fixture) read(ctx context.Context) (r reading, err error) {
	if r.reconciles, err = s.manager.reconciles(ctx); err != nil {
		return r, err
	}
	if r.writes, err = s.writes(ctx); err != nil {
		return r, err
	}
	if r.calls, err = s.openai.counts(ctx); err != nil {
		return r, err
	}
	if r.usage, err = s.manager.usage(); err != nil {
		return r, err
	}
	r.at = time.Now()
	return r, nil
}

// interval is the difference of two snapshots.
type interval struct {
	took, cpu  time.Duration
	reconciles int
	calls      calls
	writes     writes
	// after is the second snapshot.
	after reading
}

// watch waits for a duration, and returns the activity during it. Its profile gets the name.
func (s *fixture) watch(ctx context.Context, name string, d time.Duration) (interval, error) {
	before, err := s.read(ctx)
	if err != nil {
		return interval{}, err
	}
	profiled := s.keepProfile(ctx, name, d)
	if err := errors.Join(framework.Pause(ctx, d), profiled()); err != nil {
		return interval{}, err
	}
	return s.since(ctx, before)
}

// since returns the activity since a snapshot.
func (s *fixture) since(ctx context.Context, before reading) (interval, error) {
	after, err := s.read(ctx)
	return interval{
		took: after.at.Sub(before.at), cpu: after.usage.cpu - before.usage.cpu,
		reconciles: after.reconciles - before.reconciles, calls: after.calls.since(before.calls), writes: after.writes.since(before.writes),
		after: after,
	}, err
}

// perSecond returns a rate.
func (p interval) perSecond(n int) float64 { return float64(n) / p.took.Seconds() }

// collect triggers a garbage collection in the manager, if it serves profiles, and waits until it has
// returned unused memory to the system.
func (m *manager) collect(ctx context.Context) error {
	if m.profileURL != "" {
		if _, err := fetch(ctx, http.DefaultClient, m.profileURL+"heap?gc=1"); err != nil {
			return fmt.Errorf("triggering a garbage collection: %w", err)
		}
	}
	return m.waitMemory(ctx)
}

// waitMemory waits until the manager's memory no longer shrinks.
func (m *manager) waitMemory(ctx context.Context) error {
	last, same := int64(0), 0
	return poll(ctx, time.Second, "the manager's memory to settle", func() (bool, error) {
		u, err := m.usage()
		if same++; u.resident < last*99/100 || last == 0 {
			same = 0
		}
		last = u.resident
		const enough = 3
		return same == enough, err
	})
}
