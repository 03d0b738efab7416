// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
)

// FuzzDecide puts arbitrary text into the annotations, as every user who can edit the object can.
func FuzzDecide(f *testing.F) {
	for _, seed := range [][2]string{
		{"batch_1", "2026-03-01T12:00:00Z"}, {"../../files", "yesterday"}, {"a/b", "9999-12-31T23:59:59.999999999Z"}, {"", "0000-01-01T00:00:00Z"}, {"..", "2026-03-01T12:00:00+23:59"},
	} {
		f.Add(seed[0], seed[1], true)
	}
	f.Fuzz(func(t *testing.T, id, startedAt string, deleted bool) {
		b := newObject(withFinalizer, annotated(v1alpha1.AnnotationBatchID, id), annotated(v1alpha1.AnnotationCreateStartedAt, startedAt))
		if deleted {
			deletedAt(epoch)(b)
		}
		if got := batch.ID(b); got != "" && (got != id || len(got) > 128 || url.PathEscape(got) != got || strings.Trim(got, ".") == "") {
			t.Errorf("ID is %q for the annotation %q", got, id)
		}
		if got, pending := batch.CreatePending(b, epoch); !pending || got.After(epoch.Add(batch.ClockSkew)) {
			t.Errorf("CreatePending returns %s, %t for the annotation %q", got, pending, startedAt)
		}
		if err := newWalker(0).explore(input{b: b, now: epoch}); err != nil {
			t.Error(err)
		}
	})
}
