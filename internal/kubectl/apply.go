// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// configuration is what a command applies to a batch, server-side. With the UID, the API server rejects
// it if the object was deleted, instead of creating another one.
type configuration struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name      string    `json:"name"`
		Namespace string    `json:"namespace"`
		UID       types.UID `json:"uid"`
	} `json:"metadata"`
	Spec *configuredSpec `json:"spec,omitempty"`
}

type configuredSpec struct {
	Cancel  *bool `json:"cancel,omitempty"`
	Suspend *bool `json:"suspend,omitempty"`
}

// applySpec applies fields of the spec as a manager, which owns no others. Without a spec, it gives up
// the fields that the manager owns.
func (c batchClient) applySpec(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, spec *configuredSpec, manager string, dryRun []string) (*v1alpha1.VectorStoreFileBatch, error) {
	var applied configuration
	applied.APIVersion, applied.Kind = v1alpha1.GroupVersion.String(), v1alpha1.Kind
	applied.Metadata.Name, applied.Metadata.Namespace, applied.Metadata.UID = b.Name, b.Namespace, b.UID
	applied.Spec = spec
	return c.apply(ctx, b.Name, applied, metav1.PatchOptions{FieldManager: manager, Force: ptr.To(true), DryRun: dryRun})
}

// createOrCompare creates an object, unless one with its files and settings exists, and returns it with
// the operation.
func (c batchClient) createOrCompare(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, dryRun []string) (*v1alpha1.VectorStoreFileBatch, string, error) {
	created, err := c.create(ctx, b, metav1.CreateOptions{FieldManager: createManager, DryRun: dryRun})
	if err == nil {
		return created, "created", nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, "", fmt.Errorf("creating %s: %w", b.Name, err)
	}
	existing, err := c.get(ctx, b.Name)
	if err != nil {
		return nil, "", err
	}
	if !equalSettings(existing, b) || !equalFiles(existing, b) {
		return nil, "", alreadyExists(b.Name)
	}
	return existing, "unchanged", nil
}

func alreadyExists(name string) error {
	return fmt.Errorf("%s already exists with other files or settings, which are immutable: choose another name", name)
}
