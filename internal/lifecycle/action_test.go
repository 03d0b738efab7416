// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func TestAction_String(t *testing.T) {
	names := make(map[string]bool)
	for action := lifecycle.Requeue; action <= lifecycle.RemoveFinalizer; action++ {
		names[action.String()] = true
	}
	if len(names) != 14 || names["Action(?)"] || (lifecycle.RemoveFinalizer+1).String() != "Action(?)" {
		t.Errorf("the names of the actions are %v", names)
	}
}

// TestRecord_Location requires that a 404 for a file counts once the API knows the batch or its store, and that the
// batch is gone if only the store is known.
func TestRecord_Location(t *testing.T) {
	type step struct {
		action lifecycle.Action
		result lifecycle.Result
	}
	failed := func(kind upstream.ErrorKind) lifecycle.Result {
		return lifecycle.Result{Err: &upstream.Error{Kind: kind}}
	}
	exists, waits := lifecycle.Result{StoreExists: true}, lifecycle.Result{StoreExists: true, Admission: lifecycle.Saturated}
	ok := lifecycle.Result{}
	for name, test := range map[string]struct {
		steps         []step
		located, gone bool
	}{
		"poll":                         {[]step{{lifecycle.Poll, ok}}, true, false},
		"cancel":                       {[]step{{lifecycle.Cancel, ok}}, true, false},
		"poll fails":                   {[]step{{lifecycle.Poll, failed(upstream.NotFound)}}, false, false},
		"count":                        {[]step{{lifecycle.CountFiles, ok}}, false, false},
		"store":                        {[]step{{lifecycle.ReadStore, exists}}, true, false},
		"no store":                     {[]step{{lifecycle.ReadStore, ok}}, false, false},
		"store, not admitted":          {[]step{{lifecycle.ReadStore, waits}}, false, false},
		"poll not found, store":        {[]step{{lifecycle.Poll, failed(upstream.NotFound)}, {lifecycle.ReadStore, exists}}, true, true},
		"poll not found, no store":     {[]step{{lifecycle.Poll, failed(upstream.NotFound)}, {lifecycle.ReadStore, ok}}, false, false},
		"poll unavailable, store":      {[]step{{lifecycle.Poll, failed(upstream.Transient)}, {lifecycle.ReadStore, exists}}, true, false},
		"cancel not found, then store": {[]step{{lifecycle.Cancel, failed(upstream.NotFound)}, {lifecycle.ReadStore, exists}}, true, false},
		"poll, store":                  {[]step{{lifecycle.Poll, ok}, {lifecycle.ReadStore, exists}}, true, false},
		"an answer of another kind":    {[]step{{lifecycle.Detach, exists}}, false, false},
	} {
		var observed lifecycle.Observed
		for _, step := range test.steps {
			observed.Record(step.action, step.result)
		}
		if got := observed.State; got.Located != test.located || got.BatchGone != test.gone {
			t.Errorf("%s: located: %t, batch gone: %t", name, got.Located, got.BatchGone)
		}
		last := test.steps[len(test.steps)-1]
		want := last.result.StoreExists && last.result.Admission == lifecycle.Admitted
		if observed.Record(lifecycle.Poll, ok); observed.StoreExists != want {
			t.Errorf("%s: the store exists: %t", name, observed.StoreExists)
		}
	}
}

// TestRecord_Listed requires that the files that are left are known from a Detach until another one fails to list
// them.
func TestRecord_Listed(t *testing.T) {
	var observed lifecycle.Observed
	for _, step := range []struct {
		action       lifecycle.Action
		listed, want bool
	}{{lifecycle.Poll, false, false}, {lifecycle.Detach, true, true}, {lifecycle.Poll, false, true}, {lifecycle.Detach, false, false}} {
		observed.Record(step.action, lifecycle.Result{Detached: lifecycle.Detached{Listed: step.listed}})
		if observed.State.Listed != step.want {
			t.Errorf("after %s: listed: %t", step.action, observed.State.Listed)
		}
	}
}

func TestDecide_Cost(t *testing.T) {
	detachFiles := deletionPolicy(v1alpha1.DeletionPolicyDetachFiles)
	longAgo := epoch.Add(-2 * config.FinalizeTimeout)
	progress := lifecycle.State{DetachProgress: lifecycle.DetachProgress{Located: true, Listed: true, DetachedAt: epoch.Add(-time.Minute)}}
	located := lifecycle.Observed{State: lifecycle.State{DetachProgress: lifecycle.DetachProgress{Located: true}}}
	verified := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.VerifyCreate}}
	polled := lifecycle.Observed{Actions: []lifecycle.Action{lifecycle.Poll}, Batch: answer(upstream.Completed, failures(1))}
	for name, test := range map[string]struct {
		b        *object
		observed lifecycle.Observed
		action   lifecycle.Action
		want     lifecycle.Cost
	}{
		"create":                    {newObject(), lifecycle.Observed{}, lifecycle.Create, lifecycle.Cost{Requests: 1, VectorStoreID: "vs_1", Files: 2}},
		"create again":              {newObject(withFinalizer, pendingSince(longAgo)), verified, lifecycle.Create, lifecycle.Cost{Requests: 1, VectorStoreID: "vs_1", Files: 2}},
		"verify":                    {newObject(withFinalizer, pendingSince(longAgo)), lifecycle.Observed{}, lifecycle.VerifyCreate, lifecycle.Cost{Requests: 2}},
		"poll":                      {tracked(), lifecycle.Observed{}, lifecycle.Poll, lifecycle.Cost{Requests: 1}},
		"list after a poll":         {tracked(), polled, lifecycle.ListFailedFiles, lifecycle.Cost{Requests: 1}},
		"cancel":                    {tracked(cancelWanted), lifecycle.Observed{}, lifecycle.Cancel, lifecycle.Cost{Requests: 1, Urgent: true}},
		"finalizer":                 {tracked(withoutFinalizers), lifecycle.Observed{}, lifecycle.AddFinalizer, lifecycle.Cost{}},
		"detach":                    {tracked(detachFiles, cancelAccepted, deletedAt(epoch)), located, lifecycle.Detach, lifecycle.Cost{Requests: 2}},
		"detach, not located":       {tracked(detachFiles, cancelAccepted, deletedAt(epoch)), lifecycle.Observed{}, lifecycle.ReadStore, lifecycle.Cost{Requests: 1}},
		"detach, adopted":           {tracked(adopted, detachFiles, cancelAccepted, deletedAt(epoch)), located, lifecycle.Detach, lifecycle.Cost{Requests: 3}},
		"detach, listed":            {tracked(adopted, detachFiles, cancelAccepted, deletedAt(epoch)), lifecycle.Observed{State: progress}, lifecycle.Detach, lifecycle.Cost{Requests: 2}},
		"detach, with progress":     {tracked(detachFiles, cancelAccepted, deletedAt(longAgo)), lifecycle.Observed{State: progress}, lifecycle.Detach, lifecycle.Cost{Requests: 2}},
		"detach, for the last time": {tracked(detachFiles, cancelAccepted, deletedAt(longAgo)), located, lifecycle.Detach, lifecycle.Cost{Requests: 2}},
		"detach, unknown number":    {newObject(withFinalizer, detachFiles, pendingSince(longAgo), deletedAt(epoch)), located, lifecycle.Detach, lifecycle.Cost{Requests: 25}},
	} {
		t.Run(name, func(t *testing.T) {
			d := config.Decide(test.b, test.observed, epoch)
			if diff := cmp.Diff(test.want, d.Cost); d.Action != test.action || diff != "" {
				t.Errorf("%s, want %s; cost (-want +got):\n%s", d.Action, test.action, diff)
			}
		})
	}
}
