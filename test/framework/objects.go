// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// NewBatch returns a VectorStoreFileBatch.
func NewBatch(namespace, name string, spec v1alpha1.VectorStoreFileBatchSpec) *v1alpha1.VectorStoreFileBatch {
	return &v1alpha1.VectorStoreFileBatch{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "VectorStoreFileBatch"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec,
	}
}

// NewSecret returns a Secret with credentials.
func NewSecret(namespace, name, key, baseURL string) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		StringData: map[string]string{v1alpha1.SecretKeyAPIKey: key, v1alpha1.SecretKeyBaseURL: baseURL},
	}
}

// ReadyReason returns the reason of the condition Ready. It returns "gone" for nil, and "" if there is
// no such condition.
func ReadyReason(b *v1alpha1.VectorStoreFileBatch) string {
	if b == nil {
		return "gone"
	}
	if ready := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		return ready.Reason
	}
	return ""
}

// File returns the ID of a file of an object, by which package proxy assigns a create to the object.
// The suffix is part of the name: a prefix decides how the emulator processes a file.
func File(object string, number int) string { return fmt.Sprintf("file-%s-%d", object, number) }

// StuckFile returns the ID of a file that the emulator never finishes.
func StuckFile(object string, number int) string {
	return fmt.Sprintf("file-stuck-%s-%d", object, number)
}
