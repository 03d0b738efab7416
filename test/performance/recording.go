// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	openai      bool
	method      string
	path        string
	query       url.Values
	accept      string
	contentType string
	body        []byte
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

// recorder is a proxy for both servers that records the manager's requests.
type recorder struct {
	mu    sync.Mutex
	steps []step
	at    time.Time
}

func (r *recorder) note(s step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps, r.at = append(r.steps, s), time.Now()
}

// all returns the requests so far, and the time since the last one.
func (r *recorder) all() ([]step, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.steps), time.Since(r.at)
}

// handler returns a proxy for a server that records the wanted requests.
func (r *recorder) handler(target *url.URL, transport http.RoundTripper, openai bool, isRecorded func(*http.Request) bool) http.Handler {
	forward := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // flush the events of a watch at once
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if isRecorded(request) {
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return // the manager is gone
			}
			request.Body = io.NopCloser(bytes.NewReader(body))
			r.note(step{
				openai: openai, method: request.Method, path: request.URL.Path, query: request.URL.Query(),
				accept: request.Header.Get("Accept"), contentType: request.Header.Get("Content-Type"),
				body: body, version: versionIn(body),
			})
		}
		forward.ServeHTTP(w, request)
	})
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

// isWrite reports whether a request to the API server writes a VectorStoreFileBatch or an Event.
func isWrite(r *http.Request) bool {
	return r.Method != http.MethodGet && (strings.Contains(r.URL.Path, "/vectorstorefilebatches") || strings.Contains(r.URL.Path, "/events"))
}

func isCall(*http.Request) bool { return true }

const (
	// recordingSecret is the Secret of the recorded object, with the recorder's URL.
	recordingSecret = "recording"
	// settled is the time without a request after which a recording is complete: Events are written in
	// the background.
	settled = 3 * time.Second
)

// record creates an object, and returns all requests that the manager makes until it is finished.
func (s *fixture) record(ctx context.Context, object *v1alpha1.VectorStoreFileBatch) (l recording, err error) {
	r := &recorder{}
	api, stopAPI, err := s.recordAPIServer(r)
	if err != nil {
		return l, err
	}
	defer stopAPI()
	target, err := url.Parse(s.openai.URL)
	if err != nil {
		return l, fmt.Errorf("parsing the emulator's URL: %w", err)
	}
	openai, err := proxy.Serve(r.handler(target, s.openai.HTTP.Transport, true, isCall))
	if err != nil {
		return l, err
	}
	defer openai.Close() //nolint:errcheck // nothing depends on it
	if err := s.secret(ctx, recordingSecret, openai.URL); err != nil {
		return l, err
	}
	if err := s.startAs(api, fastPolling()...); err != nil {
		return l, err
	}
	defer s.stop()
	object.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: recordingSecret}
	if err := s.client.Create(ctx, object); err != nil {
		return l, fmt.Errorf("creating the recorded object: %w", err)
	}
	l.object = *object.DeepCopy()
	done, err := s.arrivals(ctx, "completed")
	if err != nil {
		return l, err
	}
	defer done.stop()
	if _, err := done.await(ctx, 1); err != nil {
		return l, err
	}
	err = poll(ctx, shortInterval, "the recorded object to settle", func() (bool, error) {
		steps, quiet := r.all()
		l.steps = steps
		return quiet > settled, s.manager.Err()
	})
	if err != nil {
		return l, err
	}
	batches, err := s.openai.Batches(ctx)
	if err != nil || len(batches) != 1 {
		return l, errors.Join(err, fmt.Errorf("the recorded object has %d batches", len(batches)))
	}
	l.batchID = batches[0].ID
	return l, nil
}

// recordAPIServer starts the recorder for the API server, and returns a kubeconfig for it.
func (s *fixture) recordAPIServer(r *recorder) (kubeconfig string, stop func(), err error) {
	transport, err := rest.TransportFor(s.asManager)
	if err != nil {
		return "", nil, fmt.Errorf("creating a transport: %w", err)
	}
	target, err := url.Parse(s.asManager.Host)
	if err != nil {
		return "", nil, fmt.Errorf("parsing the API server's URL: %w", err)
	}
	server, err := proxy.Serve(r.handler(target, transport, false, isWrite))
	if err != nil {
		return "", nil, err
	}
	stop = func() { _ = server.Close() }
	kubeconfig = filepath.Join(s.folder, s.namespace+"-recording.kubeconfig")
	if err := framework.WriteProxyKubeconfig(kubeconfig, server.URL); err != nil {
		stop()
		return "", nil, err
	}
	return kubeconfig, stop, nil
}
