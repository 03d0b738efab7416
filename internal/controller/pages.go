// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// pageSize is the maximum number of objects in a page of a list. An object has at most 1.5 MB, which is
// etcd's limit.
const pageSize = 20

// newInformer returns an informer that lists objects in small pages, and only if the API server cannot
// stream them. client-go would read a list from the API server's cache, which returns all objects at
// once, and all of them would be in memory as a whole before the transform.
func newInformer(lw toolscache.ListerWatcher, object runtime.Object, resync time.Duration, indexers toolscache.Indexers) toolscache.SharedIndexInformer {
	objects := toolscache.ToListerWatcherWithContext(lw)
	pages := pager.New(objects.ListWithContext)
	// If the pages expire before the last one is read, the reflector begins again.
	pages.PageSize, pages.FullListIfExpired = pageSize, false
	return toolscache.NewSharedIndexInformer(&toolscache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			// Without a version, the API server returns the newest objects, and respects the limit.
			options.ResourceVersion, options.ResourceVersionMatch, options.Limit = "", "", 0
			list, _, err := pages.ListWithAlloc(ctx, options)
			return list, err
		},
		WatchFuncWithContext: objects.WatchWithContext,
	}, object, resync, indexers)
}

// cacheScheme returns the scheme of the cache. It decodes a list as a trimmedList.
func cacheScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(v1alpha1.GroupVersion, &v1alpha1.VectorStoreFileBatch{})
	scheme.AddKnownTypeWithName(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind+"List"), &trimmedList{})
	metav1.AddToGroupVersion(scheme, v1alpha1.GroupVersion)
	return scheme
}

// trimmedList is a page of objects. It trims each object before it decodes the next one, because an
// object can take ten times as much memory as its JSON.
type trimmedList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           trimmedObjects `json:"items"`
}

type trimmedObjects []v1alpha1.VectorStoreFileBatch

// DeepCopyObject implements runtime.Object.
func (l *trimmedList) DeepCopyObject() runtime.Object {
	out := &trimmedList{TypeMeta: l.TypeMeta, Items: slices.Clone(l.Items)}
	l.DeepCopyInto(&out.ListMeta)
	for i := range l.Items {
		l.Items[i].DeepCopyInto(&out.Items[i])
	}
	return out
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *trimmedObjects) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("decoding a list: %w", err)
	}
	for decoder.More() {
		var b v1alpha1.VectorStoreFileBatch
		if err := decoder.Decode(&b); err != nil {
			return fmt.Errorf("decoding an object of a list: %w", err)
		}
		trim(&b)
		*o = append(*o, b)
	}
	return nil
}
