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
)

// ending is how an object, its Events and its batch upstream look once it is over.
type ending struct {
	// batchID is the batch's ID; empty where the operator made the batch.
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

// verify compares an object, its Events, and its batch upstream with how they should look.
func (d *demo) verify(ctx context.Context, name string, want ending) error {
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
	if err := d.verifyUpstream(ctx, b, want); err != nil {
		return err
	}
	return d.show.verdict()
}

// object is an object as it stands.
func (d *demo) object(ctx context.Context, name string) (*v1alpha1.VectorStoreFileBatch, error) {
	output, err := d.quietly(ctx, "get", "vsfb", name, "-o", "json")
	if err != nil {
		return nil, err
	}
	b := &v1alpha1.VectorStoreFileBatch{}
	if err := json.Unmarshal(output, b); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", name, err)
	}
	return b, nil
}

// eventsTimeout is how long an Event may take to arrive: it is sent after the status is stored.
const eventsTimeout = 10 * time.Second

func (d *demo) verifyEvents(ctx context.Context, name string, want []string) error {
	var is []string
	waiting, cancel := context.WithTimeout(ctx, eventsTimeout)
	defer cancel()
	err := until(waiting, func() (bool, error) {
		output, err := d.quietly(waiting, "get", "events", "--field-selector=involvedObject.name="+name, "-o", "json")
		if err != nil {
			return false, err
		}
		var list corev1.EventList
		if err := json.Unmarshal(output, &list); err != nil {
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

func (d *demo) verifyUpstream(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, want ending) error {
	if b.Status.BatchID == "" {
		d.show.check("the batch's ID", want.batchID, "(not in the status)")
		return nil
	}
	batch, err := d.upstream.batch(ctx, b.Status.BatchID)
	if err != nil {
		return err
	}
	twins, err := d.upstream.twins(ctx, batch.ID)
	if err != nil {
		return err
	}
	d.show.check("upstream", upstreamWords(want.batchID, want.status, &want.counts, 1, want.cancels),
		upstreamWords(batch.ID, batch.Status, (*v1alpha1.FileCounts)(&batch.FileCounts), twins, batch.Cancels))
	return nil
}
