// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// now is the time of the tests.
var now = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

type object = v1alpha1.VectorStoreFileBatch

// newObject returns an object with two files, with changes.
func newObject(changes ...func(*object)) *object {
	b := &object{Spec: v1alpha1.VectorStoreFileBatchSpec{VectorStoreID: "vs_1", FileIDs: []string{"file-a", "file-b"}}}
	for _, apply := range changes {
		apply(b)
	}
	return b
}

// annotated sets an annotation as the operator does: for this object.
func annotated(key, value string) func(*object) {
	return func(b *object) {
		metav1.SetMetaDataAnnotation(&b.ObjectMeta, key, value)
		metav1.SetMetaDataAnnotation(&b.ObjectMeta, v1alpha1.AnnotationRecordedFor, batch.Digest(b))
	}
}

func batchID(id string) func(*object) { return func(b *object) { b.Status.BatchID = id } }

func adopted(b *object) { b.Spec.FileIDs, b.Spec.BatchID = nil, "batch_1" }

func cancelWanted(b *object) { b.Spec.Cancel = ptr.To(true) }

func suspended(b *object) { b.Spec.Suspend = ptr.To(true) }

func deleted(b *object) { b.DeletionTimestamp = &metav1.Time{Time: now} }

func cancelAccepted(b *object) { b.Status.CancelRequestTime = &metav1.Time{Time: now} }

func withFinalizer(b *object) { b.Finalizers = []string{v1alpha1.Finalizer} }

func policy(p v1alpha1.DeletionPolicy) func(*object) {
	return func(b *object) { b.Spec.DeletionPolicy = p }
}

func finished(b *object) {
	meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionFinished, Status: metav1.ConditionTrue})
}

func TestID_UnusableIDsAreIgnored(t *testing.T) {
	for id, usable := range map[string]bool{
		"vsfb_0123456789abcdef":                      true,
		"vsfb_ibj_0123456789abcdef":                  true,
		"batch_2f1e0a4c-7d55-4b0e-9f0e-7b8f1c2d3e4f": true,
		"a.b:c":                  true,
		strings.Repeat("a", 512): true,
		strings.Repeat("a", 513): false,
		"":                       false,
		".":                      false,
		"..":                     false,
		"../../files/file-a":     false,
		"a/b":                    false,
		`a\b`:                    false,
		"a%2fb":                  false,
		"a?b":                    false,
		"a#b":                    false,
		"a b":                    false,
		"a\n":                    false,
		"é":                      false,
		"a\x00":                  false,
	} {
		b := newObject(annotated(v1alpha1.AnnotationBatchID, id))
		if got := batch.ID(b); got != "" && !usable || usable && got != id {
			t.Errorf("ID is %q for the annotation %q", got, id)
		}
		batchID(id)(b)
		annotated(v1alpha1.AnnotationBatchID, "batch_2")(b)
		if got := batch.ID(b); !usable && got != "batch_2" || usable && got != id {
			t.Errorf("ID is %q for the status %q and the annotation batch_2", got, id)
		}
		if batch.UsableID(id) != usable {
			t.Errorf("UsableID(%q) = %t", id, !usable)
		}
	}
}

func TestRef(t *testing.T) {
	for name, b := range map[string]*object{"created": newObject(batchID("batch_1")), "adopted": newObject(adopted, batchID("batch_2"))} {
		if got, want := batch.Ref(b), (upstream.BatchRef{VectorStoreID: "vs_1", BatchID: "batch_1"}); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestUrgent(t *testing.T) {
	for name, test := range map[string]struct {
		b    *object
		want bool
	}{
		"new":                        {newObject(), false},
		"in progress":                {newObject(), false},
		"to be cancelled":            {newObject(cancelWanted), true},
		"cancelled before created":   {newObject(cancelWanted), true},
		"cancel false":               {newObject(func(b *object) { b.Spec.Cancel = ptr.To(false) }), false},
		"cancel accepted":            {newObject(cancelWanted, cancelAccepted), false},
		"finished, to be cancelled":  {newObject(cancelWanted, finished), false},
		"deleted, in progress":       {newObject(deleted, withFinalizer, batchID("batch_1")), true},
		"deleted, DetachFiles":       {newObject(deleted, withFinalizer, batchID("batch_1"), policy("DetachFiles")), true},
		"deleted, adopted":           {newObject(deleted, withFinalizer, adopted, policy("Cancel")), true},
		"deleted, suspended":         {newObject(deleted, withFinalizer, batchID("batch_1"), suspended), true},
		"deleted, no finalizer":      {newObject(deleted, batchID("batch_1")), false},
		"deleted, no batch":          {newObject(deleted, withFinalizer), false},
		"deleted, to be cancelled":   {newObject(deleted, withFinalizer, batchID("batch_1"), policy("Orphan"), cancelWanted), false},
		"deleted, cancelling":        {newObject(deleted, withFinalizer, batchID("batch_1"), cancelAccepted), false},
		"deleted, completed":         {newObject(deleted, withFinalizer, batchID("batch_1"), func(b *object) { b.Status.Status = "completed" }), false},
		"deleted, finished":          {newObject(deleted, withFinalizer, batchID("batch_1"), finished), false},
		"deleted, detaching":         {newObject(deleted, withFinalizer, batchID("batch_1"), policy("DetachFiles"), finished, func(b *object) { b.Status.Status = "completed" }), false},
		"deleted, may be running":    {newObject(deleted, withFinalizer, batchID("batch_1"), policy("DetachFiles"), finished, func(b *object) { b.Status.Status = "in_progress" }), true},
		"deleted, orphaned":          {newObject(deleted, withFinalizer, batchID("batch_1"), policy("Orphan")), false},
		"suspended":                  {newObject(suspended), false},
		"suspended, to be cancelled": {newObject(suspended, cancelWanted), true},
	} {
		if got := batch.Urgent(test.b); got != test.want {
			t.Errorf("%s: Urgent is %t", name, got)
		}
	}
}

func TestNeedsFinalizer(t *testing.T) {
	for name, test := range map[string]struct {
		b    *object
		want bool
	}{
		"new":                   {newObject(), true},
		"Orphan":                {newObject(policy("Orphan")), false},
		"adopted":               {newObject(adopted), false},
		"adopted, Cancel":       {newObject(adopted, policy("Cancel")), true},
		"DetachFiles":           {newObject(policy("DetachFiles")), true},
		"finished":              {newObject(batchID("batch_1"), finished), false},
		"finished, Cancel":      {newObject(batchID("batch_1"), policy("Cancel"), finished), false},
		"finished, DetachFiles": {newObject(batchID("batch_1"), policy("DetachFiles"), finished), true},
		"finished, no batch":    {newObject(policy("DetachFiles"), finished), false},
	} {
		if got := batch.NeedsFinalizer(test.b); got != test.want {
			t.Errorf("%s: NeedsFinalizer is %t", name, got)
		}
	}
}

func TestCreatePending(t *testing.T) {
	for text, want := range map[string]time.Time{
		now.Format(time.RFC3339Nano):                       now,
		now.Add(9 * time.Second).Format(time.RFC3339Nano):  now.Add(9 * time.Second),
		now.Add(11 * time.Second).Format(time.RFC3339Nano): {},
		"":          {},
		"yesterday": {},
	} {
		if got, pending := batch.CreatePending(newObject(annotated(v1alpha1.AnnotationCreateStartedAt, text)), now); !pending || !got.Equal(want) {
			t.Errorf("CreatePending of %q is %s, %t", text, got, pending)
		}
	}
	if _, pending := batch.CreatePending(newObject(), now); pending {
		t.Error("a create is pending without the annotation")
	}
}
