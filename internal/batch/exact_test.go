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
