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
	"net"
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
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// step is a request that the manager made for the object that was recorded: a write to the API
// server, or a call to the upstream.
type step struct {
	upstream    bool
	method      string
	path        string
	query       url.Values
	accept      string
	contentType string
	body        []byte
	// version is the object's resourceVersion that the request named; empty where it named none.
	version string
}

// life is all that the manager did for one object, and what that object was.
type life struct {
	object v1alpha1.VectorStoreFileBatch
	// batchID is the batch that was made for it.
	batchID string
	steps   []step
}

// recorder stands between a manager and both servers, and writes down what passes.
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

// all are the steps so far, and for how long none has come.
func (r *recorder) all() ([]step, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.steps), time.Since(r.at)
}

// proxy forwards to a server, and notes the requests that are wanted.
func (r *recorder) proxy(target *url.URL, transport http.RoundTripper, upstream bool, wanted func(*http.Request) bool) http.Handler {
	forward := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // a watch is handed on as it comes
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if wanted(request) {
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return // the manager is gone
			}
			request.Body = io.NopCloser(bytes.NewReader(body))
			r.note(step{
				upstream: upstream, method: request.Method, path: request.URL.Path, query: request.URL.Query(),
				accept: request.Header.Get("Accept"), contentType: request.Header.Get("Content-Type"),
				body: body, version: versionIn(body),
			})
		}
		forward.ServeHTTP(w, request)
	})
}

// versionIn is the resourceVersion that a patch of our object is locked with.
func versionIn(body []byte) string {
	var patch struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if json.Unmarshal(body, &patch) != nil {
		return ""
	}
	return patch.Metadata.ResourceVersion
}

// isWrite reports whether a request to the API server writes our objects or an Event.
func isWrite(r *http.Request) bool {
	return r.Method != http.MethodGet && (strings.Contains(r.URL.Path, "/vectorstorefilebatches") || strings.Contains(r.URL.Path, "/events"))
}

func isCall(*http.Request) bool { return true }

// serve serves on loopback until the function that it gives is called.
func serve(ctx context.Context, handler http.Handler) (string, func(), error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // says that it was closed
	}()
	return "http://" + listener.Addr().String(), func() { _ = server.Close(); <-ended }, nil
}

const (
	// recordingSecret is the Secret of the object that is recorded, which leads through the recorder.
	recordingSecret = "recording"
	// settled is for how long nothing more has to come for a life to be over: Events are written
	// in the background.
	settled = 3 * time.Second
)

// record lets the manager bring one object to its end, and gives all that it did for it.
func (s *stand) record(ctx context.Context, object *v1alpha1.VectorStoreFileBatch) (l life, err error) {
	r := &recorder{}
	api, stopAPI, err := s.recordAPIServer(ctx, r)
	if err != nil {
		return l, err
	}
	defer stopAPI()
	target, err := url.Parse(s.upstream.url)
	if err != nil {
		return l, fmt.Errorf("reading the emulator's URL: %w", err)
	}
	up, stopUpstream, err := serve(ctx, r.proxy(target, s.upstream.client.Transport, true, isCall))
	if err != nil {
		return l, err
	}
	defer stopUpstream()
	if err := s.secret(ctx, recordingSecret, up); err != nil {
		return l, err
	}
	if err := s.startAs(api, fast()...); err != nil {
		return l, err
	}
	defer s.stop()
	object.Spec.CredentialsRef = &v1alpha1.CredentialsReference{Name: recordingSecret}
	if err := s.client.Create(ctx, object); err != nil {
		return l, fmt.Errorf("making the object to be recorded: %w", err)
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
	err = eventually(ctx, "the recorded object to settle", func() (bool, error) {
		steps, quiet := r.all()
		l.steps = steps
		return quiet > settled, s.manager.died()
	})
	if err != nil {
		return l, err
	}
	batches, err := s.upstream.batches(ctx)
	if err != nil || len(batches) != 1 {
		return l, errors.Join(err, fmt.Errorf("the recorded object has %d batches", len(batches)))
	}
	l.batchID = batches[0].ID
	return l, nil
}

// recordAPIServer puts the recorder before the API server, and gives a kubeconfig that leads there.
func (s *stand) recordAPIServer(ctx context.Context, r *recorder) (kubeconfig string, stop func(), err error) {
	transport, err := rest.TransportFor(s.asManager)
	if err != nil {
		return "", nil, fmt.Errorf("making a transport: %w", err)
	}
	target, err := url.Parse(s.asManager.Host)
	if err != nil {
		return "", nil, fmt.Errorf("reading the API server's URL: %w", err)
	}
	server, stop, err := serve(ctx, r.proxy(target, transport, false, isWrite))
	if err != nil {
		return "", nil, err
	}
	kubeconfig = filepath.Join(s.folder, s.namespace+"-recording.kubeconfig")
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: server}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c"}},
		CurrentContext: "c",
	}, kubeconfig)
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return kubeconfig, stop, nil
}
