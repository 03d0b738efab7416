// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the API of the operator: the Kind VectorStoreFileBatch, which stands
// for one batch of files attached to an OpenAI vector store.
//
// +kubebuilder:object:generate=true
// +groupName=vector-store-operator.dev
package v1alpha1
