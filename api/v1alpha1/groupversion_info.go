// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 contains the API types of the group vector-store-operator.dev. Its only Kind,
// VectorStoreFileBatch, adds a batch of uploaded files to an OpenAI vector store.
//
// +kubebuilder:object:generate=true
// +groupName=vector-store-operator.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is the name of the only Kind in this group.
const Kind = "VectorStoreFileBatch"

var (
	// GroupVersion is the group and version of the types in this package.
	GroupVersion = schema.GroupVersion{Group: "vector-store-operator.dev", Version: "v1alpha1"}

	// SchemeBuilder registers the types in this package with a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds the types in this group-version to the given scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &VectorStoreFileBatch{}, &VectorStoreFileBatchList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
