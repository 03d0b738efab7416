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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const (
	objectName = "batch"
	secretName = "credentials"

	requestTimeout = 2 * time.Second
	// patience bounds a run. The longest wait in one is that after a lost create, for
	// requestTimeout and the clock skew of 10 s, beside a request that hangs.
	patience = 2 * time.Minute
	// shortPatience is the same where a manager was broken on purpose, and need not settle.
	shortPatience = 40 * time.Second
	// quiet is for how long nothing moves where a run is over.
	quiet = 1500 * time.Millisecond
	// glance is how often the object is looked at.
	glance = 150 * time.Millisecond
)

// run is one object's life in a namespace of its own, with managers, proxies and an upstream of
// its own.
type run struct {
	world    *world
	scenario *scenario
	name     string
	folder   string

	namespace, key, store string
	// batchID is the batch to adopt.
	batchID  string
	files    []string
	journal  *journal
	upstream *emulator.Server
	managers *managers
	servers  []*server
	// proxied is the upstream's proxy.
	proxied *server
}

// begin brings up all that a run needs but the object.
func (w *world) begin(ctx context.Context, s *scenario, name string, faults []injection) (*run, error) {
	token := strings.ToLower(rand.Text())
	r := &run{
		world: w, scenario: s, name: name, folder: filepath.Join(w.folder, strings.ReplaceAll(name, "/", "_")),
		namespace: "run-" + token[:12], key: "sk-" + token, store: "vs_" + token[:12],
		journal: newJournal(append(append([]injection{}, s.faults...), faults...)),
	}
	if err := os.MkdirAll(r.folder, 0o700); err != nil {
		return r, fmt.Errorf("making a folder: %w", err)
	}
	r.upstream = emulator.New(emulator.Options{APIKeys: []string{r.key}, VectorStores: []string{r.store}, Settings: s.settings})
	direct, err := r.serve(ctx, r.upstream)
	if err != nil {
		return r, err
	}
	r.managers = &managers{program: w.manager, number: max(1, s.managers), journal: r.journal, folder: r.folder}
	if r.proxied, err = r.serve(ctx, newProxy(proxy{
		journal: r.journal, classify: classifyCall, target: direct.url, transport: &http.Transport{},
		managers: r.managers, received: r.received, store: "/v1/vector_stores/" + r.store,
	})); err != nil {
		return r, err
	}
	apiServer, err := r.serve(ctx, newProxy(proxy{
		journal: r.journal, classify: classifyRequest, target: w.apiServer, transport: w.asManager,
		managers: r.managers, received: r.received,
	}))
	if err != nil {
		return r, err
	}
	if err := r.prepare(ctx, direct); err != nil {
		return r, err
	}
	return r, r.startManagers(apiServer)
}

func (r *run) serve(ctx context.Context, handler http.Handler) (*server, error) {
	s, err := serve(ctx, handler)
	if err == nil {
		r.servers = append(r.servers, s)
	}
	return s, err
}

// received is called by the proxies before a request is forwarded.
func (r *run) received(ctx context.Context, point string) {
	if r.scenario.received == nil {
		return
	}
	if err := r.scenario.received(ctx, r, point); err != nil {
		r.world.complain(r, err)
	}
}

// prepare makes the namespace, the Secret and the batch to adopt, where there is to be one.
func (r *run) prepare(ctx context.Context, direct *server) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}}
	if err := r.world.client.Create(ctx, namespace); err != nil {
		return fmt.Errorf("making the namespace: %w", err)
	}
	r.journal.note(func() { r.journal.since = namespace.ResourceVersion })
	if !r.scenario.withoutSecret {
		if err := r.createSecret(ctx); err != nil {
			return err
		}
	}
	r.files = r.scenario.spec.FileIDs
	switch {
	case r.scenario.early:
		return r.createObject(ctx)
	case !r.scenario.adopts:
		return nil
	}
	r.files = threeStuck
	url := direct.url.JoinPath("/v1/vector_stores", r.store, "file_batches").String()
	body := strings.NewReader(fmt.Sprintf(`{"file_ids":["%s"]}`, strings.Join(r.files, `","`)))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+r.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("making the batch to adopt: %w", err)
	}
	defer response.Body.Close()
	batches := r.upstream.Batches()
	if len(batches) != 1 {
		return fmt.Errorf("making the batch to adopt: HTTP %d", response.StatusCode)
	}
	r.batchID = batches[0].ID
	return nil
}

func (r *run) startManagers(apiServer *server) error {
	kubeconfig := filepath.Join(r.folder, "kubeconfig")
	content := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}]}`, apiServer.url)
	if err := os.WriteFile(kubeconfig, []byte(content), 0o600); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	r.managers.args = []string{
		"--kubeconfig=" + kubeconfig, "--watch-namespaces=" + r.namespace,
		"--health-probe-bind-address=0", "--allow-insecure-endpoints",
		"--poll-interval-min=200ms", "--poll-interval-max=1s", "--request-timeout=" + requestTimeout.String(),
		"--zap-log-level=debug",
	}
	return r.managers.begin()
}

// end takes down what begin brought up.
func (r *run) end() error {
	if r.managers != nil {
		r.managers.end()
	}
	var errs []error
	for _, s := range r.servers {
		errs = append(errs, s.stop())
	}
	return errors.Join(errs...)
}

func (r *run) createSecret(ctx context.Context) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: secretName},
		StringData: map[string]string{
			v1alpha1.SecretKeyAPIKey:  r.key,
			v1alpha1.SecretKeyBaseURL: r.proxied.url.JoinPath("/v1").String(),
		},
	}
	if err := r.world.client.Create(ctx, secret); err != nil {
		return fmt.Errorf("making the Secret: %w", err)
	}
	return nil
}

// createObject makes the object.
func (r *run) createObject(ctx context.Context) error {
	b := r.object()
	b.Spec = *r.scenario.spec.DeepCopy()
	b.Spec.VectorStoreID, b.Spec.BatchID = r.store, r.batchID
	b.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: secretName}
	if err := r.world.client.Create(ctx, b); err != nil {
		return fmt.Errorf("making the object: %w", err)
	}
	return nil
}

func (r *run) object() *v1alpha1.VectorStoreFileBatch {
	return &v1alpha1.VectorStoreFileBatch{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: objectName}}
}

// patch changes the object as a user does.
func (r *run) patch(ctx context.Context, patch string) error {
	if err := r.world.client.Patch(ctx, r.object(), client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("changing the object: %w", err)
	}
	return nil
}

// delete deletes the object as a user does.
func (r *run) delete(ctx context.Context) error {
	if err := r.world.client.Delete(ctx, r.object()); err != nil {
		return fmt.Errorf("deleting the object: %w", err)
	}
	return nil
}

// inProgress waits until the object's batch is being followed.
func (r *run) inProgress(ctx context.Context) error {
	return r.until(ctx, "a batch that is being followed", func(b *v1alpha1.VectorStoreFileBatch) bool {
		looks, _ := r.journal.count("up.retrieve")
		return b.Status.BatchID != "" && looks > 0
	})
}

// finishBatches makes the upstream complete every batch.
func (r *run) finishBatches() error {
	for _, b := range r.upstream.Batches() {
		if err := r.upstream.SetBatchStatus(b.ID, "completed"); err != nil {
			return fmt.Errorf("finishing a batch: %w", err)
		}
	}
	return nil
}

// until waits until the object is as wanted; nil stands for one that is gone.
func (r *run) until(ctx context.Context, what string, wanted func(*v1alpha1.VectorStoreFileBatch) bool) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		b, err := r.get(ctx)
		if err == nil && b != nil && wanted(b) {
			return nil
		}
		if err := errors.Join(err, r.managers.died()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-ticker.C:
		}
	}
}

// get reads the object; it is nil where it is gone.
func (r *run) get(ctx context.Context) (*v1alpha1.VectorStoreFileBatch, error) {
	b := r.object()
	err := r.world.client.Get(ctx, client.ObjectKeyFromObject(b), b)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // an object that is gone is what is waited for, too
	}
	if err != nil {
		return nil, fmt.Errorf("reading the object: %w", err)
	}
	return b, nil
}

func readyReason(b *v1alpha1.VectorStoreFileBatch) string {
	ready := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return ""
	}
	return ready.Reason
}

// settle waits until the object has come to the scenario's end, every manager is at work and
// nothing has moved for a while.
func (r *run) settle(ctx context.Context) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for {
		b, err := r.get(ctx)
		if err := errors.Join(err, r.managers.died()); err != nil {
			return err
		}
		over := b == nil
		if r.scenario.reason != "" {
			over = b != nil && finished(b)
		}
		if over && r.managers.atWork() && r.journal.quietFor() >= quiet {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it did not settle: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// allAtWork waits until every manager is at work.
func (r *run) allAtWork(ctx context.Context) error {
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for !r.managers.atWork() {
		if err := r.managers.died(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the managers to get to work: %w", ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

func finished(b *v1alpha1.VectorStoreFileBatch) bool {
	return meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionFinished) && b.DeletionTimestamp.IsZero()
}
