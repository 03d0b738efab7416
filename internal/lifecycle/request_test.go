// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/lifecycle"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

func requested(value string) change {
	return annotated(v1alpha1.AnnotationReconcileRequestedAt, value)
}

// TestReconcileRequest_IsDueAtOnce requests a reconciliation during each back-off.
func TestReconcileRequest_IsDueAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		before reconciliation
		want   string
	}{
		"create, key rejected":  {run(newObject(), lifecycle.State{}, epoch, fails(upstream.Unauthorized)), "Create"},
		"create, rejected":      {run(newObject(), lifecycle.State{}, epoch, fails(upstream.Rejected)), "Create"},
		"create, no Secret":     {run(newObject(), lifecycle.State{}, epoch, fails(upstream.NoCredentials)), "Create"},
		"poll, server away":     {run(tracked(), lifecycle.State{}, epoch, fails(upstream.Transient)), "Poll"},
		"poll, not yet due":     {run(tracked(), lifecycle.State{}, epoch), "Poll"},
		"cancel, key rejected":  {run(tracked(cancelWanted), lifecycle.State{}, epoch, fails(upstream.Unauthorized)), "Cancel"},
		"deletion, server away": {run(tracked(deletedAt(epoch)), lifecycle.State{}, epoch, fails(upstream.Transient)), "Cancel"},
	} {
		t.Run(name, func(t *testing.T) {
			soon := epoch.Add(time.Millisecond)
			if early := run(test.before.object, test.before.state, soon); early.actionNames() != "" {
				t.Fatalf("without a request it performs %s", early.actionNames())
			}
			r := run(withChange(test.before.object, requested("1")), test.before.state, soon, fails(upstream.Transient))
			if r.actionNames() != test.want || r.object.Status.LastHandledReconcileAt != "1" {
				t.Errorf("it performs %q, want %s; handled: %q", r.actionNames(), test.want, r.object.Status.LastHandledReconcileAt)
			}
			if again := run(r.object, r.state, soon.Add(time.Millisecond)); again.actionNames() != "" {
				t.Errorf("the handled request performs %s once more", again.actionNames())
			}
			another := run(withChange(r.object, requested("2")), r.state, soon.Add(time.Millisecond), fails(upstream.Transient))
			if !strings.HasPrefix(another.actionNames(), test.want) || another.object.Status.LastHandledReconcileAt != "2" {
				t.Errorf("another request performs %q, want %s", another.actionNames(), test.want)
			}
		})
	}
}

// TestReconcileRequest_WaitsForAdmission checks that a request that flow control delays stays a request.
func TestReconcileRequest_WaitsForAdmission(t *testing.T) {
	before := run(tracked(), lifecycle.State{}, epoch, fails(upstream.Transient))
	b := withChange(before.object, requested("1"))
	d := config.Decide(b, throttledAt(before.state, lifecycle.Poll), epoch.Add(time.Millisecond))
	if d.Status.LastHandledReconcileAt != "" || !d.Throttled {
		t.Errorf("the status has %q; throttled: %t", d.Status.LastHandledReconcileAt, d.Throttled)
	}
}

// TestReconcileRequest_MakesNoCallWithoutNeed checks objects whose state permits no call.
func TestReconcileRequest_MakesNoCallWithoutNeed(t *testing.T) {
	finished := run(tracked(), lifecycle.State{}, epoch, result{batch: answer(upstream.Completed)}).object
	for name, b := range map[string]*object{
		"finished":     withChange(finished, withoutFinalizers),
		"suspended":    tracked(suspended),
		"invalid spec": newObject(func(b *object) { b.Spec.FileIDs = nil }),
	} {
		t.Run(name, func(t *testing.T) {
			r := run(withChange(b, requested("now")), lifecycle.State{}, epoch)
			if r.actionNames() != "" || r.object.Status.LastHandledReconcileAt != "now" {
				t.Errorf("it performs %q; handled: %q", r.actionNames(), r.object.Status.LastHandledReconcileAt)
			}
		})
	}
}

// TestReconcileRequest_LongValue checks that a value that the status cannot hold is handled once.
func TestReconcileRequest_LongValue(t *testing.T) {
	b := tracked(requested(strings.Repeat("ä", 1000)))
	r := run(b, lifecycle.State{}, epoch)
	if handled := r.object.Status.LastHandledReconcileAt; handled != strings.Repeat("ä", v1alpha1.MaxReconcileRequestLength) {
		t.Errorf("handled: %q", handled)
	}
	if again := run(r.object, r.state, epoch.Add(time.Millisecond)); again.actionNames() != "" {
		t.Errorf("the handled request performs %s once more", again.actionNames())
	}
}

// TestConditions_StateTheirOwnCase checks that no two conditions have the same message, except for Ready
// and the one that generic tools show.
func TestConditions_StateTheirOwnCase(t *testing.T) {
	for reason, all := range examples {
		for _, r := range all {
			count, messages := 0, map[string]bool{}
			for _, c := range r.object.Status.Conditions {
				messages[c.Message] = true
				if c.Message == r.message() {
					count++
				}
				if whole := c.Type == "Ready" || c.Status == yes && (c.Type == "Reconciling" || c.Type == "Stalled"); whole != (c.Message == r.message()) {
					t.Errorf("%s: %s=%s has the message %q", reason, c.Type, c.Status, c.Message)
				}
			}
			if count > 2 || len(messages) < 4 {
				t.Errorf("%s: the messages are %v", reason, messages)
			}
		}
	}
}
