// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// BenchmarkDecide measures the decision after a poll without changes, the most frequent one.
func BenchmarkDecide(b *testing.B) {
	o := tracked()
	observed := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.Poll}, Batch: answer(upstream.InProgress)}
	b.ReportAllocs()
	for b.Loop() {
		if d := config.Decide(o, observed, epoch); d.Action != lifecycle.Requeue || len(d.Events) != 0 {
			b.Fatalf("decided %+v", d)
		}
	}
}

// BenchmarkStatusComparison measures the comparison that saves the write after a poll without changes.
func BenchmarkStatusComparison(b *testing.B) {
	var files []upstream.FailedFile
	for i := range 100 {
		files = append(files, upstream.FailedFile{FileID: fmt.Sprintf("file-%032d", i), Code: "server_error", Message: "An internal error occurred."})
	}
	r := run(created(), lifecycle.State{}, epoch, result{batch: answer(upstream.InProgress, failures(100))}, result{files: files})
	previous := r.object.Status.DeepCopy()
	b.ReportAllocs()
	for b.Loop() {
		if !equality.Semantic.DeepEqual(r.object.Status, *previous) || len(previous.FailedFiles) != 100 {
			b.Fatal("the statuses differ")
		}
	}
}
