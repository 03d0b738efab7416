// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestSpec_OptionalFields(t *testing.T) {
	for name, test := range map[string]struct {
		b                    *object
		suspended, cancelled bool
		maxFailedFiles       int32
		policy               v1alpha1.DeletionPolicy
	}{
		"defaults":                {newObject(), false, false, 0, v1alpha1.DeletionPolicyCancel},
		"adopted":                 {newObject(adopted), false, false, 0, v1alpha1.DeletionPolicyOrphan},
		"adopted, with a policy":  {newObject(adopted, policy(v1alpha1.DeletionPolicyCancel)), false, false, 0, v1alpha1.DeletionPolicyCancel},
		"with a policy":           {newObject(policy(v1alpha1.DeletionPolicyDetachFiles)), false, false, 0, v1alpha1.DeletionPolicyDetachFiles},
		"suspended and cancelled": {newObject(suspended, cancelWanted), true, true, 0, v1alpha1.DeletionPolicyCancel},
		"neither": {
			newObject(func(b *object) {
				b.Spec.Suspend, b.Spec.Cancel, b.Spec.MaxFailedFiles = ptr.To(false), ptr.To(false), ptr.To[int32](3)
			}),
			false, false, 3, v1alpha1.DeletionPolicyCancel,
		},
	} {
		if got := batch.Suspended(test.b); got != test.suspended {
			t.Errorf("%s: Suspended is %t", name, got)
		}
		if got := batch.CancelWanted(test.b); got != test.cancelled {
			t.Errorf("%s: CancelWanted is %t", name, got)
		}
		if got := batch.MaxFailedFiles(test.b); got != test.maxFailedFiles {
			t.Errorf("%s: MaxFailedFiles is %d", name, got)
		}
		if got := batch.DeletionPolicy(test.b); got != test.policy {
			t.Errorf("%s: DeletionPolicy is %s", name, got)
		}
	}
}

func TestReason(t *testing.T) {
	b := newObject()
	meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionFinished, Status: "False", Reason: "Other"})
	if got := batch.Reason(b.Status); got != "" {
		t.Errorf("without the condition Ready, the reason is %q", got)
	}
	meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: "True", Reason: "Completed"})
	if got := batch.Reason(b.Status); got != "Completed" {
		t.Errorf("the reason is %q", got)
	}
}

func TestCreatePending_ExactClockSkew(t *testing.T) {
	at := now.Add(10 * time.Second)
	for i, want := range []time.Time{at.Add(-1), at, {}} {
		offset := time.Duration(i - 1)
		b := newObject(annotated(v1alpha1.AnnotationCreateStartedAt, at.Add(offset).Format(time.RFC3339Nano)))
		if got, pending := batch.CreatePending(b, now); !pending || !got.Equal(want) {
			t.Errorf("%s after the skew: %s, %t", offset, got, pending)
		}
	}
}

func TestFileCount(t *testing.T) {
	for want, request := range map[int]upstream.CreateRequest{
		0: {},
		2: {FileIDs: []string{"file-a", "file-b"}},
		3: {Files: make([]upstream.FileToAttach, 3)},
	} {
		if got := batch.FileCount(request); got != want {
			t.Errorf("FileCount is %d, want %d", got, want)
		}
		if got := len(batch.FileIDs(request)); got != want {
			t.Errorf("FileIDs returns %d, want %d", got, want)
		}
	}
}

func TestCreateRequest_ChunkingWithoutOverlap(t *testing.T) {
	b := newObject(func(b *object) {
		b.Spec.ChunkingStrategy = &v1alpha1.ChunkingStrategy{Type: v1alpha1.ChunkingStatic, Static: &v1alpha1.StaticChunking{MaxChunkSizeTokens: 100}}
	})
	request, err := batch.CreateRequest(b)
	if err != nil {
		t.Fatal(err)
	}
	if want := (upstream.StaticChunking{MaxChunkSizeTokens: 100}); request.Chunking == nil || *request.Chunking != want {
		t.Errorf("Chunking is %+v, want %+v", request.Chunking, want)
	}
}

func TestCreateRequest_FilesAfterRepeatedOne(t *testing.T) {
	b := newObject(func(b *object) {
		b.Spec.FileIDs, b.Spec.Files = nil, []v1alpha1.File{{FileID: "file-a"}, {FileID: "file-a"}, {FileID: "file-b"}}
	})
	request, err := batch.CreateRequest(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := batch.FileIDs(request); !slices.Equal(got, []string{"file-a", "file-b"}) {
		t.Errorf("the files are %v", got)
	}
}

// copied returns a change that sets an annotation which was written for another object.
func copied(key, value string) func(*object) {
	return func(b *object) {
		metav1.SetMetaDataAnnotation(&b.ObjectMeta, key, value)
		metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationRecordedFor, "another object")
	}
}

func statusOf(condition string) func(*object) {
	return func(b *object) {
		meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue})
	}
}

func counted(b *object) { b.Status.FileCounts = &v1alpha1.FileCounts{} }

// TestBatchIDs requires that an annotation counts only on the object that it was written for, and that the status takes
// precedence.
func TestBatchIDs(t *testing.T) {
	recorded := annotated(v1alpha1.AnnotationBatchID, "batch_1")
	for name, test := range map[string]struct {
		b           *object
		id, ignored string
		recorded    bool
	}{
		"none":                        {newObject(), "", "", false},
		"annotation":                  {newObject(recorded), "batch_1", "", true},
		"status":                      {newObject(batchID("batch_1")), "batch_1", "", false},
		"both":                        {newObject(recorded, batchID("batch_1")), "batch_1", "", true},
		"both differ":                 {newObject(recorded, batchID("batch_2")), "batch_2", "", false},
		"copied annotation":           {newObject(copied(v1alpha1.AnnotationBatchID, "batch_1")), "", "batch_1", false},
		"copied annotation, status":   {newObject(copied(v1alpha1.AnnotationBatchID, "batch_1"), batchID("batch_1")), "batch_1", "", false},
		"copied, unusable annotation": {newObject(copied(v1alpha1.AnnotationBatchID, "../x")), "", "", false},
		"unusable annotation":         {newObject(annotated(v1alpha1.AnnotationBatchID, "../x")), "", "", false},
		"without its digest":          {newObject(func(b *object) { metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationBatchID, "batch_1") }), "", "batch_1", false},
		"without files": {newObject(func(b *object) {
			b.Spec.FileIDs = nil
			metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationBatchID, "batch_1")
		}), "", "batch_1", false},
	} {
		if got := batch.ID(test.b); got != test.id {
			t.Errorf("%s: the ID is %q, want %q", name, got, test.id)
		}
		if got := batch.IgnoredBatchID(test.b); got != test.ignored {
			t.Errorf("%s: the ignored ID is %q, want %q", name, got, test.ignored)
		}
		if got := batch.Recorded(test.b); got != test.recorded {
			t.Errorf("%s: recorded: %t", name, got)
		}
	}
}

func TestSecret(t *testing.T) {
	for want, ref := range map[string]*v1alpha1.CredentialsReference{"team": {Name: "team"}, "openai": {}} {
		b := newObject(func(b *object) { b.Namespace, b.Spec.CredentialsRef = "docs", ref })
		if got := batch.Secret(b); got.Namespace != "docs" || got.Name != want {
			t.Errorf("%+v: %s, want %s", ref, got, want)
		}
	}
	if got := batch.Secret(newObject()); got.Name != "openai" {
		t.Errorf("without a reference: %s", got)
	}
}

func TestAttaches(t *testing.T) {
	for name, test := range map[string]struct {
		b    *object
		want bool
	}{
		"new":               {newObject(), true},
		"finished":          {newObject(finished), false},
		"suspended":         {newObject(suspended), false},
		"stalled":           {newObject(statusOf(v1alpha1.ConditionStalled)), false},
		"counted":           {newObject(counted), true},
		"counted, finished": {newObject(counted, finished), true},
		"counted, stalled":  {newObject(counted, suspended, statusOf(v1alpha1.ConditionStalled)), true},
	} {
		if got := batch.Attaches(test.b); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestReconcileRequested(t *testing.T) {
	for name, test := range map[string]struct {
		request, handled string
		want             bool
	}{
		"none": {"", "", false}, "new": {"1", "", true}, "another": {"2", "1", true}, "handled": {"1", "1", false}, "removed": {"", "1", false},
	} {
		b := newObject(func(b *object) {
			b.Annotations = map[string]string{v1alpha1.AnnotationReconcileRequestedAt: test.request}
			b.Status.LastHandledReconcileAt = test.handled
		})
		if got := batch.ReconcileRequested(b); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestNeedsFinalizer_LostCreate: the files of a create whose outcome is unknown can have to be detached, unless it is
// known that there are none.
func TestNeedsFinalizer_LostCreate(t *testing.T) {
	detach := policy(v1alpha1.DeletionPolicyDetachFiles)
	pending := annotated(v1alpha1.AnnotationCreateStartedAt, now.Format(time.RFC3339Nano))
	lost := func(n string) func(*object) { return annotated(v1alpha1.AnnotationLostCreates, n) }
	cancelled := func(b *object) { b.Status.Status = string(upstream.Cancelled) }
	for name, test := range map[string]struct {
		b    *object
		want bool
	}{
		"pending":                      {newObject(detach, finished, pending), true},
		"copied":                       {newObject(detach, finished, copied(v1alpha1.AnnotationCreateStartedAt, now.Format(time.RFC3339Nano))), false},
		"cancelled before":             {newObject(detach, finished, cancelled, pending), false},
		"cancelled, 0 lost":            {newObject(detach, finished, cancelled, pending, lost("0")), false},
		"cancelled, 1 lost":            {newObject(detach, finished, cancelled, pending, lost("1")), true},
		"lost, and none pending":       {newObject(detach, finished, lost("1")), false},
		"cancelled, none pending":      {newObject(detach, finished, cancelled), false},
		"pending, policy Cancel":       {newObject(policy(v1alpha1.DeletionPolicyCancel), finished, pending), false},
		"not finished, not even begun": {newObject(detach), true},
	} {
		if got := batch.NeedsFinalizer(test.b); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if _, found := batch.CreatePending(newObject(copied(v1alpha1.AnnotationCreateStartedAt, now.Format(time.RFC3339Nano))), now); found {
		t.Error("the create of another object is pending")
	}
	if _, found := batch.CreatePending(newObject(lost("1")), now); found {
		t.Error("a create is pending without the annotation, on an object with others")
	}
}

func TestLostCreates(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "1": 1, "3": 3, "-1": 0, "": 0, "many": 0, "1.5": 0, "99999999999999999999": 0} {
		if got := batch.LostCreates(newObject(annotated(v1alpha1.AnnotationLostCreates, text))); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if got := batch.LostCreates(newObject(copied(v1alpha1.AnnotationLostCreates, "2"))); got != 0 {
		t.Errorf("those of another object count: %d", got)
	}
}

// TestDropFiles_KeepsTheDigest requires that the digest of an object stays the same without its files, as long as
// annotations count on it.
func TestDropFiles_KeepsTheDigest(t *testing.T) {
	recorded := annotated(v1alpha1.AnnotationBatchID, "batch_1")
	for name, test := range map[string]struct {
		b    *object
		want bool
	}{
		"running":                        {newObject(), true},
		"running, recorded":              {newObject(recorded, batchID("batch_1")), true},
		"finished":                       {newObject(finished), false},
		"finished, recorded":             {newObject(finished, recorded), true},
		"finished, recorded, status":     {newObject(finished, recorded, batchID("batch_1")), false},
		"finished, recorded, bad status": {newObject(finished, recorded, batchID("../x")), true},
		"adopted":                        {newObject(adopted), false},
		"adopted, recorded":              {newObject(adopted, recorded, finished), false},
		"invalid":                        {newObject(func(b *object) { b.Spec.FileIDs = nil }), false},
	} {
		want := ""
		if test.want {
			want = batch.Digest(test.b)
		}
		_, invalid := batch.Files(test.b)
		batch.DropFiles(test.b)
		if got := batch.Digest(test.b); got != want {
			t.Errorf("%s: the digest becomes %q, want %q", name, got, want)
		}
		if summary, kept := test.b.Annotations[batch.AnnotationFiles]; kept != (test.want || name == "invalid") {
			t.Errorf("%s: the summary is %q; %v", name, summary, invalid)
		}
	}
}
