// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package races_test runs the built manager in races: against a manager that believes it is the
// leader, against its own stale cache, against restarts of the control plane, and against users who
// edit objects at each step of a create. It counts the calls that the OpenAI emulator received.
package races_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

var env *framework.Env

func TestMain(m *testing.M) {
	code := framework.Suite{
		Options:   framework.Options{Install: []string{"crd", "policy"}, Build: []string{"manager"}},
		Teardown:  func(context.Context) error { restarted[apiServer].Kill(); return nil },
		Parallel:  16,
		SkipShort: true,
	}.Run(m, &env)
	restarted[etcd].Kill() // last, because an API server does not exit without etcd
	os.Exit(code)
}

// files returns the spec of an object with two files.
func files(object string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{framework.File(object, 1), framework.File(object, 2)}}
}

// stuck returns the spec of an object whose files the emulator never finishes.
func stuck(object string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{framework.StuckFile(object, 1), framework.StuckFile(object, 2)}}
}

// batchesOf returns the batches of an object in the emulator.
func batchesOf(f *framework.Fixture, object string) []string {
	return slices.Concat(
		f.Emulator.BatchesOf(framework.VectorStore, files(object).FileIDs...),
		f.Emulator.BatchesOf(framework.VectorStore, stuck(object).FileIDs...))
}

// wantOneBatch requires that an object has one batch in the emulator, and refers to it in both its
// status and its annotation.
func wantOneBatch(t *testing.T, f *framework.Fixture, object string) {
	t.Helper()
	batches := batchesOf(f, object)
	if len(batches) != 1 {
		t.Errorf("%s: the emulator has the batches %v, want one", object, batches)
	}
	wantID(t, f, object, batches...)
}

// wantID requires that an object refers to one of the IDs in both places, and that no create is
// pending.
func wantID(t *testing.T, f *framework.Fixture, object string, ids ...string) {
	t.Helper()
	b := f.Get(t, object)
	if b == nil {
		t.Errorf("%s is gone", object)
		return
	}
	annotated := b.Annotations[v1alpha1.AnnotationBatchID]
	if b.Status.BatchID != annotated || !slices.Contains(ids, annotated) {
		t.Errorf("%s: status.batchID is %q, the annotation %q, want one of %q", object, b.Status.BatchID, annotated, ids)
	}
	if startedAt, pending := b.Annotations[v1alpha1.AnnotationCreateStartedAt]; pending {
		t.Errorf("%s: a create is still pending, since %s", object, startedAt)
	}
}

// wantNoUnknownOutcome requires that no manager reported a create with an unknown outcome.
func wantNoUnknownOutcome(t *testing.T, managers ...*framework.Process) {
	t.Helper()
	for _, manager := range managers {
		for line := range strings.Lines(manager.Output()) {
			if strings.Contains(line, v1alpha1.ReasonCreateOutcomeUnknown) {
				t.Errorf("a create had an unknown outcome: %s", line)
			}
		}
	}
}
