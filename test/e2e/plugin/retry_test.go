// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

func TestRetry(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	ids := slices.Concat(fileIDs("file-fine-", 3), fileIDs("file-fail-x", 2), fileIDs("file-fail-invalid-", 2), fileIDs("file-fail-unsupported-", 1))
	w.apply("git", manifest("scans", ids, "  maxFailedFiles: 1", "  deletionPolicy: Orphan", "  attributes: {team: docs}", "  suspend: false"))
	w.await("scans", v1alpha1.ReasonFilesFailed)
	if output, complaint := w.wantExit(0, "retry", "scans", "--dry-run=server", "--all"); !strings.HasSuffix(output, "scans-retry-1 created (server dry run)\n") || complaint != "" {
		t.Errorf("it prints %s%s", complaint, output)
	}
	for _, want := range []string{"created", "unchanged"} {
		output, complaint := w.wantExit(0, "retry", "scans")
		if output != "vectorstorefilebatch.vector-store-operator.dev/scans-retry-1 "+want+"\n" || !strings.Contains(complaint, "Leaving out 3 files that the server cannot read") {
			t.Errorf("it prints %s%s", complaint, output)
		}
	}
	b := w.Get(t, "scans-retry-1")
	if diff := cmp.Diff(fileIDs("file-fail-x", 2), b.Spec.FileIDs); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if ptr.Deref(b.Spec.MaxFailedFiles, 0) != 1 || b.Spec.DeletionPolicy != "Orphan" || string(b.Spec.Attributes["team"].Raw) != `"docs"` || b.Spec.Suspend != nil || len(b.Labels) != 0 {
		t.Errorf("the object has the labels %v and the spec %+v", b.Labels, b.Spec)
	}
	w.vsfb("retry", "scans", "--all", "--name=everything")
	if got := len(w.Get(t, "everything").Spec.FileIDs); got != 5 {
		t.Errorf("with --all it has %d files, want 5", got)
	}
	// The files were repaired.
	for _, id := range fileIDs("file-fail-x", 2) {
		w.Emulator.SetOutcome(id, emulator.Outcome{})
	}
	w.await("scans-retry-1", v1alpha1.ReasonFilesFailed)
	w.vsfb("retry", "scans-retry-1")
	w.await("scans-retry-2", v1alpha1.ReasonCompleted)
}

func TestRetry_MoreThanTheStatusLists(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", strings.Replace(manifest("scans", nil), "fileIDs: []", "files: [{fileID: "+strings.Join(fileIDs("file-fail-x", 150), ", attributes: {number: 1}}, {fileID: ")+"}]", 1))
	w.await("scans", v1alpha1.ReasonFilesFailed)
	w.vsfb("retry", "scans")
	files := w.Get(t, "scans-retry-1").Spec.Files
	if len(files) != 150 || string(files[0].Attributes["number"].Raw) != "1" {
		t.Errorf("the object has %d files, such as %+v", len(files), files[0])
	}
	// An adopted batch has no files in its spec.
	batch := w.Get(t, "scans").Status.BatchID
	w.apply("git", strings.Replace(manifest("adopted", nil), "fileIDs: []", "batchID: "+batch, 1))
	w.await("adopted", v1alpha1.ReasonFilesFailed)
	w.vsfb("retry", "adopted")
	if ids := w.Get(t, "adopted-retry-1").Spec.FileIDs; len(ids) != 150 {
		t.Errorf("the retry of an adopted batch has %d files", len(ids))
	}
}

func TestRetry_Nothing(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, emulator.Options{})
	w.apply("git", manifest("fine", fileIDs("file-", 1)))
	w.apply("git", manifest("invalid", fileIDs("file-fail-invalid-", 1)))
	w.apply("git", manifest("stuck", fileIDs("file-stuck-", 1)))
	w.await("fine", v1alpha1.ReasonCompleted)
	w.await("invalid", v1alpha1.ReasonFilesFailed)
	w.await("stuck", v1alpha1.ReasonInProgress)
	if _, complaint := w.wantExit(0, "retry", "fine"); !strings.Contains(complaint, "fine has no failed files") {
		t.Errorf("it prints %s", complaint)
	}
	for name, want := range map[string]string{"invalid": "no failed file can succeed", "stuck": "stuck is not finished", "missing": "not found"} {
		if complaint := w.refused("retry", name); !strings.Contains(complaint, want) {
			t.Errorf("it prints %s, want %q in it", complaint, want)
		}
	}
}
