// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"strconv"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// maxDecoded is the total decodedSize of the large objects that may be in memory as a whole at a time.
// A request about one takes several times its size, above all while it is encoded and decoded.
const maxDecoded = 8 << 20

// reserve waits until a whole object fits into memory, beside the others that are there. An object that
// is not large does not wait. The function that it returns ends the reservation; it can be called twice.
func (r *Reconciler) reserve(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (func(), error) {
	text, large := b.Annotations[annotationSize]
	if !large {
		return func() {}, nil
	}
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("reading the size of the object: %w", err)
	}
	size = min(size, maxDecoded)
	if err := r.decoded.Acquire(ctx, size); err != nil {
		return nil, fmt.Errorf("waiting for memory: %w", context.Cause(ctx))
	}
	return sync.OnceFunc(func() { r.decoded.Release(size) }), nil
}

// whenEncoded returns a context of a call to the OpenAI API that calls a function once the request is
// encoded: then the objects that it was built from can be dropped, however long the server takes.
func whenEncoded(ctx context.Context, call func()) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { call() }})
}

// read reads the object from the API server, and passes it to use: the cache does not have its files.
// use must not retain it.
func (r *Reconciler) read(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, use func(whole *v1alpha1.VectorStoreFileBatch) error) error {
	release, err := r.reserve(ctx, b)
	if err != nil {
		return err
	}
	defer release()
	whole := &v1alpha1.VectorStoreFileBatch{}
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(b), whole); err != nil {
		return fmt.Errorf("reading the object: %w", err)
	}
	if whole.UID != b.UID {
		return errors.New("reading the object: it was replaced by another one of the same name")
	}
	return use(whole)
}

// readTrimmed reads the object from the API server, and returns what the cache would have of it.
func (r *Reconciler) readTrimmed(ctx context.Context, b *v1alpha1.VectorStoreFileBatch) (*v1alpha1.VectorStoreFileBatch, error) {
	release, err := r.reserve(ctx, b)
	if err != nil {
		return nil, err
	}
	defer release()
	current := &v1alpha1.VectorStoreFileBatch{}
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(b), current); err != nil {
		return nil, fmt.Errorf("reading the object: %w", err)
	}
	trim(current)
	return current, nil
}
