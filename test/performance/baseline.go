// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// baseline is a plain client-go loop. For each object it sends, one after the other, the requests that the
// manager was recorded to send for one: the same writes of the same sizes, with the same optimistic
// locks and the same ServiceAccount. It watches nothing, decides nothing and knows its objects from
// the start.
type baseline struct {
	fixture   *fixture
	recording recording
	client    *rest.RESTClient
	// calls makes it send the recorded calls to the OpenAI API, too.
	calls bool
}

func (s *fixture) baseline(l recording, calls bool) (*baseline, error) {
	config := rest.CopyConfig(s.asManager)
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("creating a client: %w", err)
	}
	return &baseline{fixture: s, recording: l, client: client, calls: calls}, nil
}

// follow processes objects until there are no more, with bounded concurrency.
func (y *baseline) follow(ctx context.Context, n int, objects <-chan *v1alpha1.VectorStoreFileBatch) error {
	return inParallel(ctx, n, workers, func(ctx context.Context, _ int) error {
		select {
		case object := <-objects:
			return y.replay(ctx, object)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// replay sends the recorded requests for an object. Names and UIDs have the same length, so that the
// encoding of the body does not matter.
func (y *baseline) replay(ctx context.Context, object *v1alpha1.VectorStoreFileBatch) error {
	recorded := &y.recording.object
	version, batchID := object.ResourceVersion, y.recording.batchID
	for _, s := range y.recording.steps {
		if s.openai && !y.calls {
			continue
		}
		of := strings.NewReplacer(recorded.Namespace, object.Namespace, recorded.Name, object.Name, string(recorded.UID), string(object.UID), y.recording.batchID, batchID)
		path, body := of.Replace(s.HTTP.URL.Path), of.Replace(string(s.Body))
		if s.openai {
			id, err := y.call(ctx, s.HTTP.Method, path, body)
			if err != nil {
				return err
			}
			batchID = id
			continue
		}
		if s.version != "" {
			body = strings.Replace(body, `"resourceVersion":"`+s.version+`"`, `"resourceVersion":"`+version+`"`, 1)
		}
		answer, err := y.write(ctx, s, path, body)
		if err != nil {
			return fmt.Errorf("the baseline, %s %s: %w", s.HTTP.Method, path, err)
		}
		if s.version != "" {
			version = answer.ResourceVersion
		}
	}
	return nil
}

// write sends a write to the API server, and returns the metadata in the response.
func (y *baseline) write(ctx context.Context, s step, path, body string) (metav1.ObjectMeta, error) {
	request := y.client.Verb(s.HTTP.Method).AbsPath(path).SetHeader("Accept", s.HTTP.Header.Get("Accept")).Body([]byte(body))
	if s.HTTP.Method == http.MethodPatch {
		request = y.client.Patch(types.PatchType(s.HTTP.Header.Get("Content-Type"))).AbsPath(path).SetHeader("Accept", s.HTTP.Header.Get("Accept")).Body([]byte(body))
	} else {
		request.SetHeader("Content-Type", s.HTTP.Header.Get("Content-Type"))
	}
	for name, values := range s.HTTP.URL.Query() {
		for _, value := range values {
			request.Param(name, value)
		}
	}
	answer, err := request.Do(ctx).Raw()
	if err != nil || s.version == "" {
		return metav1.ObjectMeta{}, err
	}
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(answer, &object); err != nil {
		return metav1.ObjectMeta{}, fmt.Errorf("decoding the response: %w", err)
	}
	return object.ObjectMeta, nil
}

// call sends a call to the OpenAI API, and returns the ID of the batch in the response.
func (y *baseline) call(ctx context.Context, method, path, body string) (string, error) {
	var answer struct {
		ID string `json:"id"`
	}
	return answer.ID, y.fixture.openai.Call(ctx, method, path, json.RawMessage(body), &answer)
}

// sizes formats the writes of the baseline for an object.
func (l recording) sizes() string {
	var parts []string
	for _, s := range l.steps {
		if !s.openai {
			_, what, _ := strings.Cut(s.HTTP.URL.Path, "/"+l.object.Namespace+"/")
			what = strings.NewReplacer("/"+l.object.Name, "").Replace(what)
			parts = append(parts, fmt.Sprintf("%s %s of %d bytes", s.HTTP.Method, what, len(s.Body)))
		}
	}
	return strings.Join(parts, ", ")
}

// calls returns the number of recorded calls to the OpenAI API.
func (l recording) calls() int {
	n := 0
	for _, s := range l.steps {
		if s.openai {
			n++
		}
	}
	return n
}
