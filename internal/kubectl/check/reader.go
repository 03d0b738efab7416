// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package check

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// reader reads from the API server. It needs no client for each API group.
type reader struct{ client rest.Interface }

func newReader(config *rest.Config, timeout time.Duration) (reader, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	config = rest.CopyConfig(config)
	config.Timeout = timeout
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return reader{}, fmt.Errorf("creating a client: %w", err)
	}
	return reader{client}, nil
}

// get returns the object, or the list of objects with some labels, at a path.
func get[T any](ctx context.Context, r reader, path, labels string) (T, error) {
	var object T
	request := r.client.Get().AbsPath(path)
	if labels != "" {
		request = request.Param("labelSelector", labels)
	}
	content, err := request.Do(ctx).Raw()
	if err != nil {
		return object, err
	}
	if err := json.Unmarshal(content, &object); err != nil {
		return object, fmt.Errorf("decoding the response: %w", err)
	}
	return object, nil
}
