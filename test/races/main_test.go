// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package races_test lets the built manager race: against another that believes to be the
// leader, against its own stale view of the cluster, against restarts, and against users who
// edit the objects at the worst moment. What is counted is what the upstream was asked for.
package races_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
)

var shared *stage.Stage

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "skipped: it runs real processes for minutes")
		return
	}
	if err := flag.Set("test.parallel", "16"); err != nil { // nearly all of a test is waiting
		panic(err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	code := 1
	var err error
	if shared, err = stage.Open(ctx); err == nil {
		code = m.Run()
	}
	// An API server without etcd does not end by itself.
	if err = errors.Join(err, endRestarted(apiServer), shared.Close(), endRestarted(etcd)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// files are the spec of an object with two files.
func files(object string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{stage.File(object, 1), stage.File(object, 2)}}
}

// stuck are the spec of an object whose files are never done.
func stuck(object string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: []string{stage.StuckFile(object, 1), stage.StuckFile(object, 2)}}
}

// batchesOf are the batches that the upstream has of an object.
func batchesOf(n *stage.Tenant, object string) []string {
	return slices.Concat(
		n.Emulator.BatchesOf(stage.Store, files(object).FileIDs...),
		n.Emulator.BatchesOf(stage.Store, stuck(object).FileIDs...))
}

// wantOneBatch demands that the upstream has one batch of an object, and that it is the one
// whose ID the object tells, in both places.
func wantOneBatch(t *testing.T, n *stage.Tenant, object string) {
	t.Helper()
	batches := batchesOf(n, object)
	if len(batches) != 1 {
		t.Errorf("%s: the upstream has the batches %v, want one", object, batches)
	}
	wantID(t, n, object, batches...)
}

// wantID demands that an object tells one of these IDs, in both places, and that no create of
// it is unfinished.
func wantID(t *testing.T, n *stage.Tenant, object string, ids ...string) {
	t.Helper()
	b := n.Read(t, object)
	if b == nil {
		t.Errorf("%s is gone", object)
		return
	}
	annotated := b.Annotations[v1alpha1.AnnotationBatchID]
	if b.Status.BatchID != annotated || !slices.Contains(ids, annotated) {
		t.Errorf("%s: the status tells batch %q, the annotation %q, want one of %q", object, b.Status.BatchID, annotated, ids)
	}
	if startedAt, unfinished := b.Annotations[v1alpha1.AnnotationCreateStartedAt]; unfinished {
		t.Errorf("%s: a create still counts as started, at %s", object, startedAt)
	}
}

// wantNoUnknownOutcome demands that no manager lost track of a create.
func wantNoUnknownOutcome(t *testing.T, managers ...*stage.Process) {
	t.Helper()
	for _, manager := range managers {
		for line := range strings.Lines(manager.Log()) {
			if strings.Contains(line, v1alpha1.ReasonCreateOutcomeUnknown) {
				t.Errorf("a create's outcome was unknown: %s", line)
			}
		}
	}
}

// patch changes an object as a user does; that it is gone is no error.
func patch(t *testing.T, n *stage.Tenant, object, change string) {
	t.Helper()
	b := n.Object(object, v1alpha1.VectorStoreFileBatchSpec{})
	err := n.Client.Patch(context.WithoutCancel(t.Context()), b, client.RawPatch(types.MergePatchType, []byte(change)))
	if client.IgnoreNotFound(err) != nil {
		t.Errorf("patching %s: %v", object, err)
	}
}
