// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// result is the expected result of an object: its status, its Events and its batch.
type result struct {
	// batchID is empty if the operator created the batch.
	batchID    string
	status     string
	reason     string
	conditions string
	counts     v1alpha1.FileCounts
	// failed are the files that failed, each as ID=code.
	failed  []string
	events  []string
	cancels int
}

// verify compares an object, its Events and its batch with the expected result.
func (d *demo) verify(ctx context.Context, name string, want result) error {
	b, err := d.object(ctx, name)
	if err != nil {
		return err
	}
	if want.batchID == "" {
		want.batchID = b.Annotations[v1alpha1.AnnotationBatchID]
	}
	ready := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady)
	d.show.check("status and reason", want.status+" "+want.reason, b.Status.Status+" "+reasonOf(ready))
	d.show.check("conditions", want.conditions, conditionsOf(b))
	d.show.check("files", describe(&want.counts), describe(b.Status.FileCounts))
	if len(want.failed) > 0 {
		d.show.check("failed files", strings.Join(want.failed, " "), failedOf(b))
	}
	if err := d.verifyEvents(ctx, name, want.events); err != nil {
		return err
	}
	if err := d.verifyBatch(ctx, b, want); err != nil {
		return err
	}
	return d.show.result()
}

// object reads an object.
func (d *demo) object(ctx context.Context, name string) (*v1alpha1.VectorStoreFileBatch, error) {
	output, err := d.env.Kubectl.Run(ctx, "get", "vsfb", name, "-o", "json")
	if err != nil {
		return nil, err
	}
	b := &v1alpha1.VectorStoreFileBatch{}
	if err := json.Unmarshal([]byte(output), b); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", name, err)
	}
	return b, nil
}

// eventsTimeout bounds the wait for the Events, which the operator sends after it writes the status.
const eventsTimeout = 10 * time.Second

func (d *demo) verifyEvents(ctx context.Context, name string, want []string) error {
	var is []string
	waiting, cancel := context.WithTimeout(ctx, eventsTimeout)
	defer cancel()
	err := framework.Poll(waiting, "the Events of "+name, func() (bool, error) {
		output, err := d.env.Kubectl.Run(waiting, "get", "events", "--field-selector=involvedObject.name="+name, "-o", "json")
		if err != nil {
			return false, err
		}
		var list corev1.EventList
		if err := json.Unmarshal([]byte(output), &list); err != nil {
			return false, fmt.Errorf("decoding the Events of %s: %w", name, err)
		}
		slices.SortFunc(list.Items, func(a, b corev1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
		is = is[:0]
		for _, event := range list.Items {
			is = append(is, event.Reason)
		}
		return len(is) >= len(want), nil
	})
	if err != nil && waiting.Err() == nil || ctx.Err() != nil {
		return cmp.Or(err, context.Cause(ctx))
	}
	d.show.check("Events", strings.Join(want, ", "), strings.Join(is, ", "))
	return nil
}

func (d *demo) verifyBatch(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, want result) error {
	if b.Status.BatchID == "" {
		d.show.check("the batch's ID", want.batchID, "(not in the status)")
		return nil
	}
	batch, err := d.emulator.Batch(ctx, b.Status.BatchID)
	if err != nil {
		return err
	}
	created, err := d.batchesOfTheSameFiles(ctx, batch.ID)
	if err != nil {
		return err
	}
	got := v1alpha1.FileCounts{
		InProgress: int32(batch.FileCounts.InProgress), Completed: int32(batch.FileCounts.Completed),
		Failed: int32(batch.FileCounts.Failed), Cancelled: int32(batch.FileCounts.Cancelled), Total: int32(batch.FileCounts.Total),
	}
	d.show.check("batch", describeBatch(want.batchID, want.status, &want.counts, 1, want.cancels),
		describeBatch(batch.ID, batch.Status, &got, created, batch.Cancels))
	return nil
}
