// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// createAndWait creates an object, and waits until an operator has brought it to a status.
func (s *fixture) createAndWait(ctx context.Context, object *v1alpha1.VectorStoreFileBatch, state string, flags ...string) (*v1alpha1.VectorStoreFileBatch, error) {
	if err := s.startAndWait(ctx, flags...); err != nil {
		return nil, err
	}
	defer s.stop()
	arrived, err := s.arrivals(ctx, state)
	if err != nil {
		return nil, err
	}
	defer arrived.stop()
	if err := s.client.Create(ctx, object); err != nil {
		return nil, fmt.Errorf("creating an object: %w", err)
	}
	if _, err := arrived.await(ctx, 1); err != nil {
		return nil, err
	}
	if _, err := s.writesSettle(ctx); err != nil {
		return nil, err
	}
	if err := s.client.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
		return nil, fmt.Errorf("reading the object that is %s: %w", state, err)
	}
	return object, nil
}

// writeLike writes an object as the operator has written another one, except for the ID of the batch. No
// manager may run, because it would write, too. This creates many objects in little time.
func (s *fixture) writeLike(ctx context.Context, template, object *v1alpha1.VectorStoreFileBatch, id string) error {
	object.Annotations, object.Finalizers = maps.Clone(template.Annotations), template.Finalizers
	for key, value := range object.Annotations {
		object.Annotations[key] = strings.ReplaceAll(value, template.Status.BatchID, id)
	}
	if err := s.client.Create(ctx, object); err != nil {
		return fmt.Errorf("creating object %s: %w", object.Name, err)
	}
	status := template.Status.DeepCopy()
	status.BatchID = id
	for i, condition := range status.Conditions {
		status.Conditions[i].Message = strings.ReplaceAll(condition.Message, template.Status.BatchID, id)
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return fmt.Errorf("encoding a status: %w", err)
	}
	if err := s.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("writing the status of %s: %w", object.Name, err)
	}
	return nil
}
