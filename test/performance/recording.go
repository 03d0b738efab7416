// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

// step is a request that the manager made for the recorded object: a write to the API server, or a call
// to the OpenAI API.
type step struct {
	proxy.Request
	openai bool
	// version is the resourceVersion in the request; empty if it has none.
	version string
}

// recording is the recorded object with all requests that the manager made for it.
type recording struct {
	object v1alpha1.VectorStoreFileBatch
	// batchID is the batch of the object.
	batchID string
	steps   []step
}

// versionIn returns the resourceVersion in a patch, on which its optimistic lock depends.
func versionIn(body []byte) string {
	var patch struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if json.Unmarshal(body, &patch) != nil {
		return ""
	}
	return patch.Metadata.ResourceVersion
}

// stepsOf returns the calls of the OpenAI API among requests, and the writes of VectorStoreFileBatches and
// Events.
func stepsOf(requests []proxy.Request) []step {
	var steps []step
	for _, r := range requests {
		path := r.HTTP.URL.Path
		openai := strings.HasPrefix(path, "/v1/")
		writes := strings.Contains(path, "/vectorstorefilebatches") || strings.Contains(path, "/events")
		if openai || writes && r.HTTP.Method != http.MethodGet {
			steps = append(steps, step{Request: r, openai: openai, version: versionIn(r.Body)})
		}
	}
	return steps
}

const (
	// recordingSecret is the Secret of the recorded object, with the recorder's URL.
	recordingSecret = "recording"
	// settled is the time without a request after which a recording is complete: Events are written in
	// the background.
	settled = 3 * time.Second
)

// record creates an object, and returns all requests that the manager makes until it is finished.
func (s *fixture) record(ctx context.Context, object *v1alpha1.VectorStoreFileBatch) (l recording, err error) {
	var recorder proxy.Recorder
	client, err := rest.HTTPClientFor(s.asManager)
	if err != nil {
		return l, fmt.Errorf("creating a client: %w", err)
	}
	handler, err := proxy.NewAPIServer(s.asManager.Host, client, &recorder)
	if err != nil {
		return l, err
	}
	apiServer, err := proxy.Serve(handler)
	if err != nil {
		return l, err
	}
	defer apiServer.Close() //nolint:errcheck // nothing depends on it
	target, err := url.Parse(s.openai.URL)
	if err != nil {
		return l, fmt.Errorf("parsing the emulator's URL: %w", err)
	}
	openai, err := proxy.Serve(proxy.NewEmulator(httputil.NewSingleHostReverseProxy(target), &recorder))
	if err != nil {
		return l, err
	}
	defer openai.Close() //nolint:errcheck // likewise
	if err := s.secret(ctx, recordingSecret, openai.URL); err != nil {
		return l, err
	}
	kubeconfig := filepath.Join(s.folder, s.namespace+"-recording.kubeconfig")
	if err := framework.WriteProxyKubeconfig(kubeconfig, apiServer.URL); err != nil {
		return l, err
	}
	if err := s.startAs(kubeconfig, fastPolling()...); err != nil {
		return l, err
	}
	defer s.stop()
	object.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: recordingSecret}
	if err := s.client.Create(ctx, object); err != nil {
		return l, fmt.Errorf("creating the recorded object: %w", err)
	}
	l.object = *object.DeepCopy()
	if l.steps, err = s.settledSteps(ctx, &recorder); err != nil {
		return l, err
	}
	batches, err := s.openai.Batches(ctx)
	if err != nil || len(batches) != 1 || batches[0].Status != "completed" {
		return l, errors.Join(err, fmt.Errorf("the recorded object has %d batches: %+v", len(batches), batches))
	}
	l.batchID = batches[0].ID
	return l, nil
}

// settledSteps waits until the only object is completed and its last request is some time ago, and returns
// its requests.
func (s *fixture) settledSteps(ctx context.Context, recorder *proxy.Recorder) (steps []step, err error) {
	done, err := s.arrivals(ctx, "completed")
	if err != nil {
		return nil, err
	}
	defer done.stop()
	if _, err := done.await(ctx, 1); err != nil {
		return nil, err
	}
	last := time.Now()
	err = poll(ctx, shortInterval, "the recorded object to settle", func() (bool, error) {
		if now := stepsOf(recorder.AllRequests()); len(now) > len(steps) {
			steps, last = now, time.Now()
		}
		return time.Since(last) > settled, s.manager.Err()
	})
	return steps, err
}
