// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is the name of the one Kind of this group.
const Kind = "VectorStoreFileBatch"

var (
	// GroupVersion is what manifests name as apiVersion.
	GroupVersion = schema.GroupVersion{Group: "vector-store-operator.dev", Version: "v1alpha1"}

	// SchemeBuilder collects the types of this package.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme makes the types of this package known to a client.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &VectorStoreFileBatch{}, &VectorStoreFileBatchList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
