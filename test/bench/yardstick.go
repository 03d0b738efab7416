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

// yardstick is a bare client-go loop. For each object it sends, one after the other, what the
// manager was recorded to send for one: the same writes of the same sizes, with the same
// optimistic locks and the same ServiceAccount. It watches nothing, decides nothing and knows
// its objects from the start.
type yardstick struct {
	stand  *stand
	life   life
	client *rest.RESTClient
	// calls makes it send the recorded calls to the upstream, too.
	calls bool
}

func (s *stand) yardstick(l life, calls bool) (*yardstick, error) {
	config := rest.CopyConfig(s.asManager)
	config.GroupVersion = &schema.GroupVersion{}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	return &yardstick{stand: s, life: l, client: client, calls: calls}, nil
}

// follow works on objects until there are no more, so many at a time.
func (y *yardstick) follow(ctx context.Context, n int, objects <-chan *v1alpha1.VectorStoreFileBatch) error {
	return inParallel(ctx, n, workers, func(ctx context.Context, _ int) error {
		select {
		case object := <-objects:
			return y.live(ctx, object)
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// live does for an object what was recorded. Names and UIDs have the same length, so that it
// does not matter in which encoding they stand.
func (y *yardstick) live(ctx context.Context, object *v1alpha1.VectorStoreFileBatch) error {
	recorded := &y.life.object
	version, batchID := object.ResourceVersion, y.life.batchID
	for _, s := range y.life.steps {
		if s.upstream && !y.calls {
			continue
		}
		of := strings.NewReplacer(recorded.Namespace, object.Namespace, recorded.Name, object.Name, string(recorded.UID), string(object.UID), y.life.batchID, batchID)
		path, body := of.Replace(s.path), of.Replace(string(s.body))
		if s.upstream {
			id, err := y.call(ctx, s.method, path, body)
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
			return fmt.Errorf("the yardstick, %s %s: %w", s.method, path, err)
		}
		if s.version != "" {
			version = answer.ResourceVersion
		}
	}
	return nil
}

// write sends a write to the API server, and reads the answer's metadata.
func (y *yardstick) write(ctx context.Context, s step, path, body string) (metav1.ObjectMeta, error) {
	request := y.client.Verb(s.method).AbsPath(path).SetHeader("Accept", s.accept).Body([]byte(body))
	if s.method == http.MethodPatch {
		request = y.client.Patch(types.PatchType(s.contentType)).AbsPath(path).SetHeader("Accept", s.accept).Body([]byte(body))
	} else {
		request.SetHeader("Content-Type", s.contentType)
	}
	for name, values := range s.query {
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
		return metav1.ObjectMeta{}, fmt.Errorf("reading the answer: %w", err)
	}
	return object.ObjectMeta, nil
}

// call sends a call to the upstream, and gives the batch that the answer speaks of.
func (y *yardstick) call(ctx context.Context, method, path, body string) (string, error) {
	var answer struct {
		ID string `json:"id"`
	}
	return answer.ID, y.stand.upstream.call(ctx, method, path, []byte(body), &answer)
}

// sizes says what the yardstick writes for an object.
func (l life) sizes() string {
	var parts []string
	for _, s := range l.steps {
		if !s.upstream {
			_, what, _ := strings.Cut(s.path, "/"+l.object.Namespace+"/")
			what = strings.NewReplacer("/"+l.object.Name, "").Replace(what)
			parts = append(parts, fmt.Sprintf("%s %s of %d bytes", s.method, what, len(s.body)))
		}
	}
	return strings.Join(parts, ", ")
}

// calls is how many calls to the upstream the life has.
func (l life) calls() int {
	n := 0
	for _, s := range l.steps {
		if s.upstream {
			n++
		}
	}
	return n
}
