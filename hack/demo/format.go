// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// conditionsOf returns the conditions of an object in one line, in their order.
func conditionsOf(b *v1alpha1.VectorStoreFileBatch) string {
	var words []string
	for _, condition := range b.Status.Conditions {
		words = append(words, condition.Type+"="+string(condition.Status))
	}
	return strings.Join(words, " ")
}

func reasonOf(condition *metav1.Condition) string {
	if condition == nil {
		return "(no condition)"
	}
	return condition.Reason
}

func failedOf(b *v1alpha1.VectorStoreFileBatch) string {
	var words []string
	for _, file := range b.Status.FailedFiles {
		words = append(words, file.FileID+"="+file.Code)
	}
	return strings.Join(words, " ")
}

// describe returns the counts that are not zero.
func describe(counts *v1alpha1.FileCounts) string {
	if counts == nil {
		return "(no counts)"
	}
	text := fmt.Sprintf("%d in all", counts.Total)
	for _, part := range []struct {
		count int32
		word  string
	}{{counts.Completed, "completed"}, {counts.Failed, "failed"}, {counts.Cancelled, "cancelled"}, {counts.InProgress, "in progress"}} {
		if part.count != 0 {
			text += fmt.Sprintf(", %d %s", part.count, part.word)
		}
	}
	return text
}

// describeBatch returns what the emulator knows of a batch.
func describeBatch(id, status string, counts *v1alpha1.FileCounts, created, cancels int) string {
	return fmt.Sprintf("%s is %s: %s; created %s, cancelled %s", id, status, describe(counts), times(created), times(cancels))
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	default:
		return fmt.Sprintf("%d times", n)
	}
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
