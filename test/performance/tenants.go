// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// tenantScale is the size of the scenario tenants.
type tenantScale struct {
	// hanging is the number of cancels that hang, slow the number of slow connections, flood the number
	// of new objects at once, and floodRate that per second afterwards.
	hanging, slow, flood, floodRate int
	// deleted is the number of objects whose files are detached, and files how many each has.
	deleted, files int
	// samples is the number of creates, of cancels and of polls that are measured.
	samples int
	// requestTimeout is the manager's, and slowAnswer the time after which a slow server responds.
	requestTimeout, slowAnswer time.Duration
	// patience is how long the stranger waits for its last operation.
	patience time.Duration
	// pollEvery is the poll interval of all batches.
	pollEvery time.Duration
}

// tenant is a namespace with a server of its own, whose objects could delay those of other namespaces.
type tenant struct {
	name string
	// fault is what its server does to each call of an operation.
	operation emulator.Operation
	delay     func(tenantScale) time.Duration
	stores    int
	// prepare creates what exists before, while a manager without rate limits runs.
	prepare func(*fixture, context.Context) error
	// act does what could delay others, and during continues with it until the context ends.
	act, during func(*fixture, context.Context) error
}

// tenants returns the hostile tenants.
func tenants() []tenant {
	return []tenant{
		{name: "hanging", operation: emulator.AnyOperation, delay: func(tenantScale) time.Duration { return time.Hour }, stores: 1, act: (*fixture).hang},
		{name: "slow", operation: emulator.AnyOperation, delay: func(t tenantScale) time.Duration { return t.slowAnswer }, stores: 1, prepare: (*fixture).connectSlowly, act: (*fixture).callSlowly},
		{name: "flooding", stores: loadStores, act: (*fixture).flood, during: (*fixture).floodOn},
		{name: "deleting", operation: emulator.DetachFile, delay: func(tenantScale) time.Duration { return 200 * time.Millisecond }, stores: 1, prepare: (*fixture).attach, act: (*fixture).deleteAll},
	}
}

// tenants measures how long a namespace waits beside each of the hostile tenants, and beside all of
// them, compared with the same namespace alone.
func (b *bench) tenants(ctx context.Context) error {
	t, all := b.scale.tenants, tenants()
	b.report.note("The hanging tenant has %d adopted objects with cancel: true, and its server never responds. The slow one has %d connections, and its server responds after %s; the request timeout is %s. The flooding one creates %s objects at once, and then %d per second. The deleting one deletes %d objects of %d files each with deletionPolicy: DetachFiles. A create lasts from the object to the batch, a cancel from spec.cancel to the call, and a poll from the end of the batch to the status; each batch is polled every %s. Each of them is measured %d times; one that has not ended after %s counts with the time until then.",
		t.hanging, t.slow, t.slowAnswer, t.requestTimeout, thousands(t.flood), t.floodRate, t.deleted, t.files, t.pollEvery, t.samples, t.patience)
	idle, err := b.beside(ctx, "nobody")
	if err != nil {
		return err
	}
	for _, what := range idle.each() {
		b.report.add(figure{what: what.name + ", alone", value: what.waits.String()})
	}
	for _, hostile := range all {
		if err := b.judge(ctx, idle, hostile.name, hostile); err != nil {
			return err
		}
	}
	return b.judge(ctx, idle, "all of them", all...)
}

// judge measures a namespace beside tenants, and reports its waits compared with those of an idle manager.
func (b *bench) judge(ctx context.Context, idle lives, beside string, hostile ...tenant) error {
	busy, err := b.beside(ctx, beside, hostile...)
	if err != nil {
		return err
	}
	alone := idle.each()
	for i, what := range busy.each() {
		limit := alone[i].waits.limit()
		b.report.target(what.name+", beside "+beside, what.waits.String(), "max ≤ "+seconds(limit)+", twice the max alone and 1 s", what.waits.within(limit))
	}
	return nil
}

// beside measures a namespace beside tenants.
func (b *bench) beside(ctx context.Context, name string, hostile ...tenant) (lives, error) {
	b.logf("  a namespace beside %s", name)
	u, err := b.newStranger(ctx)
	if err != nil {
		return lives{}, err
	}
	defer u.end()
	namespaces, others, err := b.admitTenants(ctx, hostile)
	defer func() {
		for _, o := range others {
			o.end()
		}
	}()
	if err != nil {
		return lives{}, err
	}
	watched := "--watch-namespaces=" + namespaces
	if err := u.prepare(ctx, hostile, others, watched); err != nil {
		return lives{}, err
	}
	t := b.scale.tenants
	flags := append(polling(t.pollEvery), "--request-timeout="+t.requestTimeout.String(), watched)
	if err := u.startAndWait(ctx, flags...); err != nil {
		return lives{}, err
	}
	if err := u.waitPolled(ctx); err != nil {
		return lives{}, err
	}
	return u.measureBeside(ctx, hostile, others)
}

// admitTenants creates the namespaces and the servers of tenants, and returns the names of the namespaces.
func (b *bench) admitTenants(ctx context.Context, hostile []tenant) (namespaces string, others []*fixture, err error) {
	for _, h := range hostile {
		o, err := b.newFixture(ctx, h.stores)
		if err != nil {
			return "", others, err
		}
		namespaces, others = namespaces+o.namespace+",", append(others, o)
	}
	return namespaces, others, nil
}

// prepare creates the stranger's batches, and what the tenants need, with a manager without rate limits.
func (u *stranger) prepare(ctx context.Context, hostile []tenant, others []*fixture, watched string) error {
	if err := u.startAndWait(ctx, append(polling(u.scale.tenants.pollEvery), append(unlimited(), watched)...)...); err != nil {
		return err
	}
	defer u.stop()
	if err := u.createBatches(ctx); err != nil {
		return err
	}
	for i, h := range hostile {
		if h.prepare != nil {
			if err := h.prepare(others[i], ctx); err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
		}
	}
	_, err := u.writesSettle(ctx)
	return err
}

// pressure is how long the tenants' calls reach their servers before a measurement.
const pressure = 2 * time.Second

// measureBeside lets the tenants act, and measures the stranger until it has finished.
func (u *stranger) measureBeside(ctx context.Context, hostile []tenant, others []*fixture) (lives, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i, h := range hostile {
		if err := others[i].act(ctx, h); err != nil {
			return lives{}, fmt.Errorf("%s: %w", h.name, err)
		}
	}
	if err := u.waitPressure(ctx, others); err != nil {
		return lives{}, err
	}
	continued := make(chan error, len(hostile))
	running := 0
	for i, h := range hostile {
		if h.during != nil {
			running++
			go func() { continued <- h.during(others[i], ctx) }()
		}
	}
	measured, err := u.measure(ctx)
	cancel()
	for range running {
		if failed := <-continued; !errors.Is(failed, context.Canceled) {
			err = errors.Join(err, failed)
		}
	}
	return measured, err
}

// act makes the tenant's server faulty, and lets the tenant act.
func (s *fixture) act(ctx context.Context, h tenant) error {
	if h.delay != nil {
		if err := s.openai.delay(ctx, h.operation, h.delay(s.scale.tenants)); err != nil {
			return err
		}
	}
	if err := s.openai.clearCalls(ctx); err != nil {
		return err
	}
	return h.act(s, ctx)
}

// waitPressure waits until the calls of all tenants reach their servers, or for as long as the scale
// permits: one of the tenants can starve the others, too.
func (b *bench) waitPressure(ctx context.Context, others []*fixture) error {
	deadline := time.Now().Add(b.scale.tenants.patience)
	err := poll(ctx, longInterval, "the calls of the tenants", func() (bool, error) {
		for _, o := range others {
			calls, err := o.openai.Calls(ctx, emulator.AnyOperation)
			if err != nil || len(calls) == 0 {
				return time.Now().After(deadline), err
			}
		}
		return true, nil
	})
	return errors.Join(err, framework.Pause(ctx, pressure))
}

// delay makes the emulator respond to the calls of an operation after a time.
func (o openai) delay(ctx context.Context, operation emulator.Operation, d time.Duration) error {
	return o.Call(ctx, http.MethodPost, "/_emulator/faults", map[string]string{"operation": string(operation), "delay": d.String()}, nil)
}

// adopted returns an object for a batch that exists.
func (s *fixture) adopted(name, batchID string) *v1alpha1.VectorStoreFileBatch {
	return s.object(name, 0, v1alpha1.VectorStoreFileBatchSpec{BatchID: batchID})
}

// hang creates adopted objects whose cancels never get a response.
func (s *fixture) hang(ctx context.Context) error {
	return s.create(ctx, s.scale.tenants.hanging, func(i int) *v1alpha1.VectorStoreFileBatch {
		object := s.adopted(fmt.Sprintf("hanging-%05d", i), fmt.Sprintf("vsfb_hanging%05d", i))
		object.Spec.Cancel = ptr.To(true)
		return object
	})
}

func slowSecret(i int) string { return fmt.Sprintf("project-%05d", i) }

// connectSlowly creates Secrets that differ in the project, so that each is a connection of its own.
func (s *fixture) connectSlowly(ctx context.Context) error {
	return inParallel(ctx, s.scale.tenants.slow, creators, func(ctx context.Context, i int) error {
		secret := framework.NewSecret(s.namespace, slowSecret(i), s.openai.Key, s.openai.BaseURL())
		secret.StringData[v1alpha1.SecretKeyProject] = fmt.Sprintf("proj_%05d", i)
		return s.createObject(ctx, secret)
	})
}

// callSlowly creates, for each connection, an object that waits for a create, one for a poll, and one for
// a cancel.
func (s *fixture) callSlowly(ctx context.Context) error {
	return s.create(ctx, 3*s.scale.tenants.slow, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := fmt.Sprintf("slow-%05d", i)
		object := s.adopted(name, "vsfb_"+name)
		switch i % 3 {
		case 0:
			object.Spec.BatchID, object.Spec.FileIDs = "", []string{stuck + name}
		case 1:
			object.Spec.Cancel = ptr.To(true)
		}
		object.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: slowSecret(i / 3)}
		return object
	})
}

func (s *fixture) floodObject(i int) *v1alpha1.VectorStoreFileBatch {
	name := fmt.Sprintf("flood-%06d", i)
	return s.object(name, i, threeFiles(name))
}

// flood creates many objects at once.
func (s *fixture) flood(ctx context.Context) error {
	return s.create(ctx, s.scale.tenants.flood, s.floodObject)
}

// floodOn continues to create objects until the context ends.
func (s *fixture) floodOn(ctx context.Context) error {
	for i := s.scale.tenants.flood; ; i++ {
		if err := framework.Pause(ctx, time.Second/time.Duration(s.scale.tenants.floodRate)); err != nil {
			return err
		}
		if err := s.createObject(context.WithoutCancel(ctx), s.floodObject(i)); err != nil {
			return err
		}
	}
}

// attach creates objects with many files, and waits until they are completed.
func (s *fixture) attach(ctx context.Context) error {
	t := s.scale.tenants
	done, err := s.arrivals(ctx, "completed")
	if err != nil {
		return err
	}
	defer done.stop()
	err = s.create(ctx, t.deleted, func(i int) *v1alpha1.VectorStoreFileBatch {
		name := fmt.Sprintf("deleted-%05d", i)
		return s.object(name, i, v1alpha1.VectorStoreFileBatchSpec{FileIDs: fileIDs("file-"+name, t.files), DeletionPolicy: v1alpha1.DeletionPolicyDetachFiles})
	})
	if err != nil {
		return err
	}
	_, err = done.await(ctx, t.deleted)
	return err
}

// deleteAll deletes all objects of the namespace.
func (s *fixture) deleteAll(ctx context.Context) error {
	if err := s.client.DeleteAllOf(ctx, &v1alpha1.VectorStoreFileBatch{}, client.InNamespace(s.namespace)); err != nil {
		return fmt.Errorf("deleting the objects: %w", err)
	}
	return nil
}

// createObject creates one object of any kind.
func (s *fixture) createObject(ctx context.Context, object client.Object) error {
	if err := s.client.Create(ctx, object); err != nil {
		return fmt.Errorf("creating %s: %w", object.GetName(), err)
	}
	return nil
}
