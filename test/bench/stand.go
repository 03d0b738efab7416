// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// stand is what a scenario has to itself: a namespace, an upstream, and a manager that sees
// nothing else.
type stand struct {
	*bench
	namespace string
	stores    []string
	upstream  *upstream
	manager   *manager
	// managers is how many were started.
	managers int
}

// newStand makes a namespace with a Secret, and an upstream with so many vector stores.
func (b *bench) newStand(ctx context.Context, stores int, emulatorFlags ...string) (*stand, error) {
	s := &stand{bench: b, namespace: "bench-" + strings.ToLower(rand.Text()[:8])}
	for i := range stores {
		s.stores = append(s.stores, fmt.Sprintf("vs_bench%03d", i))
	}
	b.stands = append(b.stands, s)
	var err error
	if s.upstream, err = startUpstream(ctx, b.emulator, filepath.Join(b.folder, s.namespace+"-emulator.log"), s.stores, emulatorFlags); err != nil {
		return nil, err
	}
	if err := b.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}); err != nil {
		return nil, fmt.Errorf("making the namespace: %w", err)
	}
	return s, s.secret(ctx, v1alpha1.DefaultCredentialsSecret, s.upstream.url)
}

// secret makes a Secret that leads to the upstream, at one of its URLs.
func (s *stand) secret(ctx context.Context, name, url string) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		StringData: map[string]string{v1alpha1.SecretKeyAPIKey: s.upstream.key, v1alpha1.SecretKeyBaseURL: url + "/v1"},
	}
	if err := s.client.Create(ctx, secret); err != nil {
		return fmt.Errorf("making the Secret: %w", err)
	}
	return nil
}

// end kills what the stand has started.
func (s *stand) end() {
	s.stop()
	s.upstream.end()
}

// manager is a manager that runs.
type manager struct {
	*process
	metricsURL string
	// profileURL is where profiles are to be had; empty where there are none.
	profileURL string
}

// pprofFlag is the manager's flag for the address of its profiles.
const pprofFlag = "pprof-bind-address"

// start starts the manager. What it is told beside its place is the scenario's business.
func (s *stand) start(flags ...string) error { return s.startAs(s.kubeconfig, flags...) }

func (s *stand) startAs(kubeconfig string, flags ...string) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	profiles, err := freeAddress()
	if err != nil {
		return err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig, "--watch-namespaces=" + s.namespace, "--allow-insecure-endpoints", fmt.Sprintf("--concurrency=%d", workers),
		"--health-probe-bind-address=0", "--metrics-bind-address=" + address, "--metrics-secure=false", "--" + pprofFlag + "=" + profiles,
	}
	s.managers++
	args = append(append(args, flags...), s.flags...)
	p, err := launch(filepath.Join(s.folder, fmt.Sprintf("%s-manager-%d.log", s.namespace, s.managers)), s.bench.manager, s.understood(args)...)
	if err != nil {
		return err
	}
	s.manager = &manager{process: p, metricsURL: "http://" + address + "/metrics"}
	if s.knownFlags[pprofFlag] {
		s.manager.profileURL = "http://" + profiles + "/debug/pprof/"
	}
	return nil
}

// freeAddress is one on loopback that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// stop kills the manager, if there is one.
func (s *stand) stop() {
	if s.manager != nil {
		s.manager.kill()
		s.manager = nil
	}
}

// startAndWait starts the manager, and waits until it has listed all objects and works.
func (s *stand) startAndWait(ctx context.Context, flags ...string) error {
	if err := s.start(flags...); err != nil {
		return err
	}
	_, err := s.manager.logged(ctx, "Starting workers")
	return err
}

// metrics are what the manager says of itself.
func (m *manager) metrics(ctx context.Context) (metrics, error) {
	found, err := scrape(ctx, http.DefaultClient, m.metricsURL)
	if err != nil {
		return nil, fmt.Errorf("the manager: %w", err)
	}
	return found, m.died()
}

// passes are how many passes over objects the manager has made.
func (m *manager) passes(ctx context.Context) (int, error) {
	found, err := m.metrics(ctx)
	return int(found.sum("controller_runtime_reconcile_total", nil)), err
}

// seesAll waits until the manager has made a pass over each of n objects.
func (m *manager) seesAll(ctx context.Context, n int) error {
	return eventuallyEvery(ctx, nowAndThen, "the manager to have seen all objects", func() (bool, error) {
		passes, err := m.passes(ctx)
		return passes >= n, err
	})
}

// reading is what is known of a manager and its upstream at one time.
type reading struct {
	at     time.Time
	usage  usage
	passes int
	calls  calls
	writes writes
}

// read takes a reading.
func (s *stand) read(ctx context.Context) (r reading, err error) {
	if r.passes, err = s.manager.passes(ctx); err != nil {
		return r, err
	}
	if r.writes, err = s.writes(ctx); err != nil {
		return r, err
	}
	if r.calls, err = s.upstream.counts(ctx); err != nil {
		return r, err
	}
	if r.usage, err = s.manager.usage(); err != nil {
		return r, err
	}
	r.at = time.Now()
	return r, nil
}

// spell is what happened between two readings.
type spell struct {
	took, processor time.Duration
	passes          int
	calls           calls
	writes          writes
	// after is the second reading.
	after reading
}

// watch lets time pass, and gives what happened in it. A profile of it gets the name.
func (s *stand) watch(ctx context.Context, name string, d time.Duration) (spell, error) {
	before, err := s.read(ctx)
	if err != nil {
		return spell{}, err
	}
	profiled := s.keepProfile(ctx, name, d)
	if err := errors.Join(pause(ctx, d), profiled()); err != nil {
		return spell{}, err
	}
	return s.since(ctx, before)
}

// since gives what happened after a reading.
func (s *stand) since(ctx context.Context, before reading) (spell, error) {
	after, err := s.read(ctx)
	return spell{
		took: after.at.Sub(before.at), processor: after.usage.processor - before.usage.processor,
		passes: after.passes - before.passes, calls: after.calls.since(before.calls), writes: after.writes.since(before.writes),
		after: after,
	}, err
}

// perSecond is a rate.
func (p spell) perSecond(n int) float64 { return float64(n) / p.took.Seconds() }

// collect has the manager collect its garbage, where it can be told to, and waits until it has
// given back to the system what it does not need.
func (m *manager) collect(ctx context.Context) error {
	if m.profileURL != "" {
		if _, err := fetch(ctx, http.DefaultClient, m.profileURL+"heap?gc=1"); err != nil {
			return fmt.Errorf("having the manager collect its garbage: %w", err)
		}
	}
	return m.memorySettles(ctx)
}

// memorySettles waits until the manager's memory does not shrink any more.
func (m *manager) memorySettles(ctx context.Context) error {
	last, same := int64(0), 0
	return eventuallyEvery(ctx, time.Second, "the manager's memory to settle", func() (bool, error) {
		u, err := m.usage()
		if same++; u.resident < last*99/100 || last == 0 {
			same = 0
		}
		last = u.resident
		const enough = 3
		return same == enough, err
	})
}
