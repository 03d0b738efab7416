// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

const (
	objectName = "batch"
	secretName = "credentials"

	requestTimeout = 2 * time.Second
	// runTimeout bounds a run. The longest one has three lost creates. After each, the manager waits for
	// requestTimeout, the clock skew of 10 s and the grace period. Another request hangs.
	runTimeout = 3 * time.Minute
	// mutationTimeout is the bound for a mutated manager, which need not settle.
	mutationTimeout = 40 * time.Second
	// quietPeriod is how long nothing may change before a run is finished.
	quietPeriod = 1500 * time.Millisecond
	// pollInterval is how often the object is read.
	pollInterval = 150 * time.Millisecond
)

// run is the life of one object in its own namespace, with its own managers, proxies and OpenAI
// emulator.
type run struct {
	fixture  *fixture
	scenario *scenario
	name     string
	folder   string

	namespace, key, store string
	// batchID is the batch to adopt, and neighbor that of another client.
	batchID  string
	neighbor string
	files    []string
	history  *history
	openai   *emulator.Server
	managers *managers
	servers  []*proxy.Server
	// proxied is the proxy of the emulator.
	proxied *proxy.Server

	mu sync.Mutex
	// err is an error of the suite itself.
	err error
}

// begin sets up everything that a run needs except the object.
func (f *fixture) begin(ctx context.Context, s *scenario, name string, faults []injection) (*run, error) {
	token := strings.ToLower(rand.Text())
	r := &run{
		fixture: f, scenario: s, name: name, folder: filepath.Join(f.folder, strings.ReplaceAll(name, "/", "_")),
		namespace: "run-" + token[:12], key: "sk-" + token, store: "vs_" + token[:12],
		history: newHistory(append(append([]injection{}, s.faults...), faults...)),
	}
	if err := os.MkdirAll(r.folder, 0o700); err != nil {
		return r, fmt.Errorf("creating the log directory: %w", err)
	}
	r.openai = emulator.New(emulator.Options{Profile: s.profile, APIKeys: []string{r.key}, VectorStores: []string{r.store}, Settings: s.settings})
	if s.configure != nil {
		r.openai.Configure(s.configure)
	}
	for _, lasting := range s.lasting {
		r.openai.AddFault(lasting)
	}
	direct, err := r.serve(r.openai)
	if err != nil {
		return r, err
	}
	target, err := url.Parse(direct.URL)
	if err != nil {
		return r, fmt.Errorf("parsing the emulator's URL: %w", err)
	}
	// Each connection is used once, because a server may close one without announcing it.
	once := &http.Transport{DisableKeepAlives: true}
	r.managers = &managers{program: f.Program("manager"), env: s.env, number: max(1, s.managers), history: r.history, folder: r.folder}
	if r.proxied, err = r.serve(newInjector(injector{
		history: r.history, classify: classifyCall, target: target, transport: once,
		managers: r.managers, beforeForward: r.beforeForward, store: r.openai.Settings().BasePath + "/vector_stores/" + r.store,
	})); err != nil {
		return r, err
	}
	apiServer, err := r.serve(newInjector(injector{
		history: r.history, classify: classifyRequest, target: f.apiServer, transport: f.asManager,
		managers: r.managers, beforeForward: r.beforeForward,
	}))
	if err != nil {
		return r, err
	}
	if err := r.prepare(ctx, direct); err != nil {
		return r, err
	}
	return r, r.startManagers(apiServer)
}

func (r *run) serve(handler http.Handler) (*proxy.Server, error) {
	s, err := proxy.Serve(handler)
	if err == nil {
		r.servers = append(r.servers, s)
	}
	return s, err
}

// beforeForward is called by the proxies before a request is forwarded.
func (r *run) beforeForward(ctx context.Context, failpoint string) {
	if r.scenario.beforeForward == nil {
		return
	}
	if err := r.scenario.beforeForward(ctx, r, failpoint); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err = errors.Join(r.err, err)
	}
}

// neighborFiles are the files of the batch of another client. The second one keeps the batch in progress.
var neighborFiles = []string{"file-neighbor", "file-stuck-neighbor"}

// prepare creates the namespace, the Secret, the neighbor's batch and, if the scenario adopts one, the
// batch.
func (r *run) prepare(ctx context.Context, direct *proxy.Server) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}}
	if err := r.fixture.Client.Create(ctx, namespace); err != nil {
		return fmt.Errorf("creating the namespace: %w", err)
	}
	r.history.update(func() { r.history.since = namespace.ResourceVersion })
	if !r.scenario.withoutSecret {
		if err := r.createSecret(ctx); err != nil {
			return err
		}
	}
	api := framework.EmulatorClient{URL: direct.URL, BasePath: r.openai.Settings().BasePath, Key: r.key, HTTP: http.DefaultClient}
	var err error
	if r.neighbor, err = api.CreateBatch(ctx, r.store, neighborFiles...); err != nil {
		return fmt.Errorf("creating the neighbor's batch: %w", err)
	}
	r.files = r.scenario.spec.FileIDs
	switch {
	case r.scenario.objectFirst:
		return r.createObject(ctx)
	case !r.scenario.adopts:
		return nil
	}
	r.files = threeStuck
	if r.batchID, err = api.CreateBatch(ctx, r.store, r.files...); err != nil {
		return fmt.Errorf("creating the batch to adopt: %w", err)
	}
	return nil
}

func (r *run) startManagers(apiServer *proxy.Server) error {
	kubeconfig := filepath.Join(r.folder, "kubeconfig")
	if err := framework.WriteProxyKubeconfig(kubeconfig, apiServer.URL); err != nil {
		return err
	}
	r.managers.args = append(framework.ManagerFlags(kubeconfig, "--watch-namespaces="+r.namespace, "--request-timeout="+requestTimeout.String()), r.scenario.flags...)
	return r.managers.begin()
}

// end tears down what begin set up.
func (r *run) end() error {
	if r.managers != nil {
		r.managers.end()
	}
	var errs []error
	for _, s := range r.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (r *run) createSecret(ctx context.Context) error {
	secret := framework.NewSecret(r.namespace, secretName, r.key, r.proxied.URL+r.openai.Settings().BasePath)
	if err := r.fixture.Client.Create(ctx, secret); err != nil {
		return fmt.Errorf("creating the Secret: %w", err)
	}
	return nil
}

// createObject creates the object.
func (r *run) createObject(ctx context.Context) error {
	b := r.object()
	b.Spec = *r.scenario.spec.DeepCopy()
	b.Spec.VectorStoreID, b.Spec.BatchID = r.store, r.batchID
	b.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: secretName}
	if r.scenario.copied {
		original := framework.NewBatch(r.namespace, "original", v1alpha1.VectorStoreFileBatchSpec{VectorStoreID: r.store, FileIDs: neighborFiles})
		b.Annotations = map[string]string{v1alpha1.AnnotationBatchID: r.neighbor, v1alpha1.AnnotationRecordedFor: batch.Digest(original)}
	}
	if err := r.fixture.Client.Create(ctx, b); err != nil {
		return fmt.Errorf("creating the object: %w", err)
	}
	return nil
}

// createSharing creates another object that attaches the files to be spared, and waits until the operator
// knows it. It is suspended, so that it has no batch of its own.
func (r *run) createSharing(ctx context.Context) error {
	other := framework.NewBatch(r.namespace, "other", v1alpha1.VectorStoreFileBatchSpec{
		VectorStoreID: r.store, FileIDs: r.scenario.spared, Suspend: ptr.To(true), CredentialsRef: &v1alpha1.CredentialsReference{Name: secretName},
	})
	if err := r.fixture.Client.Create(ctx, other); err != nil {
		return fmt.Errorf("creating the object that shares files: %w", err)
	}
	return framework.PollEvery(ctx, pollInterval, "the object that shares files to be suspended", func() (bool, error) {
		err := r.fixture.Client.Get(ctx, client.ObjectKeyFromObject(other), other)
		return framework.ReadyReason(other) == v1alpha1.ReasonSuspended, errors.Join(err, r.managers.failure())
	})
}

func (r *run) object() *v1alpha1.VectorStoreFileBatch {
	return framework.NewBatch(r.namespace, objectName, v1alpha1.VectorStoreFileBatchSpec{})
}

// patch patches the object as a user does.
func (r *run) patch(ctx context.Context, patch string) error {
	if err := r.fixture.Client.Patch(ctx, r.object(), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("patching the object: %w", err)
	}
	return nil
}

// delete deletes the object as a user does.
func (r *run) delete(ctx context.Context) error {
	if err := r.fixture.Client.Delete(ctx, r.object()); err != nil {
		return fmt.Errorf("deleting the object: %w", err)
	}
	return nil
}

// inProgress waits until the manager polls the object's batch.
func (r *run) inProgress(ctx context.Context) error {
	return r.until(ctx, "the first poll of the batch", func(b *v1alpha1.VectorStoreFileBatch) bool {
		polls, _ := r.history.count("openai.retrieve-batch")
		return b.Status.BatchID != "" && polls > 0
	})
}

// finishBatches completes every batch in the emulator.
func (r *run) finishBatches() error {
	for _, b := range r.openai.Batches() {
		if b.ID == r.neighbor {
			continue
		}
		if err := r.openai.SetBatchStatus(b.ID, "completed"); err != nil {
			return fmt.Errorf("finishing a batch: %w", err)
		}
	}
	return nil
}

// until waits until the object matches a condition.
func (r *run) until(ctx context.Context, what string, matches func(*v1alpha1.VectorStoreFileBatch) bool) error {
	return framework.PollEvery(ctx, pollInterval, what, func() (bool, error) {
		b, err := r.get(ctx)
		return b != nil && matches(b), errors.Join(err, r.managers.failure())
	})
}

// get returns the object, or nil if it is gone.
func (r *run) get(ctx context.Context) (*v1alpha1.VectorStoreFileBatch, error) {
	b := r.object()
	err := r.fixture.Client.Get(ctx, client.ObjectKeyFromObject(b), b)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // callers also wait for an object to be gone
	}
	if err != nil {
		return nil, fmt.Errorf("reading the object: %w", err)
	}
	return b, nil
}

// settle waits until the object has reached the scenario's final state, every manager has started
// and nothing has changed for a while.
func (r *run) settle(ctx context.Context) error {
	return framework.PollEvery(ctx, pollInterval, "the run to settle", func() (bool, error) {
		b, err := r.get(ctx)
		if err := errors.Join(err, r.managers.failure()); err != nil {
			return false, err
		}
		final := b == nil
		if r.scenario.reason != "" {
			final = b != nil && (finished(b) || stalled(b) && !batch.Finished(b) && framework.ReadyReason(b) == r.scenario.reason)
		}
		return final && r.managers.working() && r.history.quietFor() >= quietPeriod, nil
	})
}

// waitWorking waits until every manager has started its workers.
func (r *run) waitWorking(ctx context.Context) error {
	return framework.PollEvery(ctx, pollInterval, "the managers to start", func() (bool, error) {
		return r.managers.working(), r.managers.failure()
	})
}

// stalled reports whether an object is stalled.
func stalled(b *v1alpha1.VectorStoreFileBatch) bool {
	return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionStalled)
}

// finished reports whether an object is finished, lists its failed files, and has the finalizer only if it
// needs it: the operator removes it after it has written the status, and asks again for a list that failed.
func finished(b *v1alpha1.VectorStoreFileBatch) bool {
	listed := b.Status.FileCounts == nil || b.Status.FileCounts.Failed == 0 || len(b.Status.FailedFiles) > 0
	return batch.Finished(b) && listed && b.DeletionTimestamp.IsZero() && batch.HasFinalizer(b) == batch.NeedsFinalizer(b)
}
