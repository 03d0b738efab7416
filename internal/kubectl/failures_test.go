// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// TestReportOf_ForeignAnnotation shows that the ID of a batch in an annotation that was copied from another
// object does not count.
func TestReportOf_ForeignAnnotation(t *testing.T) {
	b := &v1alpha1.VectorStoreFileBatch{}
	b.UID, b.Annotations = "copy", map[string]string{v1alpha1.AnnotationBatchID: "vsfb_original"}
	b.Spec.FileIDs = []string{"file-a"}
	if got := reportOf(b).BatchID; got != "" {
		t.Errorf("BatchID = %q, want none", got)
	}
	b.Status.BatchID = "vsfb_own"
	if got := reportOf(b).BatchID; got != "vsfb_own" {
		t.Errorf("BatchID = %q, want that of the status", got)
	}
}
