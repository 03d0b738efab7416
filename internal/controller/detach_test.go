// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

const detachFiles = v1alpha1.DeletionPolicyDetachFiles

func manyFiles(n int) []string {
	files := make([]string, n)
	for i := range files {
		files[i] = fmt.Sprintf("file-%03d", i)
	}
	return files
}

func TestDeletionDetachesTheFilesOfTheBatch(t *testing.T) {
	for _, test := range []struct {
		name    string
		arrange func(w *world) spec
		cancels int
	}{
		{
			name: "in progress", cancels: 1,
			arrange: func(w *world) spec { w.pace(slow); return spec{FileIDs: manyFiles(60)} },
		},
		{
			name:    "completed",
			arrange: func(*world) spec { return spec{FileIDs: manyFiles(60)} },
		},
		{
			name: "adopted", cancels: 1,
			arrange: func(w *world) spec { w.pace(slow); return spec{BatchID: w.foreignBatch()} },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			s := test.arrange(w)
			s.DeletionPolicy = detachFiles
			b := w.create(s)
			w.eventually(b, "to be seen", func(b *v1alpha1.VectorStoreFileBatch) bool {
				return b.Status.FileCounts != nil && len(b.Finalizers) > 0
			})
			if test.cancels == 0 {
				w.eventuallyRow(b, "Completed", succeeded)
			}
			w.deleteAndWait(b)
			if left := w.upstream.AttachedFileIDs(store); len(left) > 0 {
				t.Errorf("%d files are left in the store", len(left))
			}
			w.wantCancels(test.cancels)
		})
	}
}

func TestDetachingGoesOnAfterFaultsAndCallsForNoFileTwice(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{FileIDs: manyFiles(40), DeletionPolicy: detachFiles})
	w.eventuallyRow(b, "Completed", succeeded)
	w.fault(emulator.Fault{Operation: emulator.DetachFile, Skip: 10, Times: 2, Status: http.StatusInternalServerError})
	w.deleteAndWait(b)
	if left := w.upstream.AttachedFileIDs(store); len(left) > 0 {
		t.Errorf("%d files are left in the store", len(left))
	}
	if n := w.calls(emulator.DetachFile); n != 42 {
		t.Errorf("%d calls were made for 40 files and 2 faults", n)
	}
}

func TestDetachingThatFailsGivesUpAndSaysSo(t *testing.T) {
	w := newWorld(t)
	b := w.create(spec{DeletionPolicy: detachFiles})
	w.eventuallyRow(b, "Completed", succeeded)
	w.fault(emulator.Fault{Operation: emulator.DetachFile, Skip: 1, Status: http.StatusInternalServerError})
	w.deleteAndWait(b)
	w.poll(func() bool { return strings.Contains(w.notes(b), "1 were taken out") },
		func() string { return "for an Event that says what is left: " + w.notes(b) })
}

func TestADeletionUsesTheLastCredentialsWhereTheSecretIsGone(t *testing.T) {
	w := newWorld(t)
	w.pace(slow)
	b := w.create(spec{})
	w.eventuallyRow(b, "InProgress", progressing)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "openai"}}
	if err := k8s.Delete(w.Context(), secret); err != nil {
		t.Fatal(err)
	}
	w.deleteAndWait(b)
	w.wantCancels(1)
}
