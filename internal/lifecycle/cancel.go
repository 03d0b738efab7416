// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// cancelAccepted reports whether the API accepted a cancel of the batch that the status may not
// show yet.
func (s scope) cancelAccepted() bool {
	id := batch.ID(s.b)
	return id != "" && s.observed.State.CancelledID == id
}

// accepted reports whether the API accepted a cancel of the batch.
func (s scope) accepted() bool { return s.b.Status.CancelRequestTime != nil || s.cancelAccepted() }

// cancelRequired reports whether the spec or the deadline requires that the batch is cancelled.
func (s scope) cancelRequired() bool {
	return batch.CancelWanted(s.b) || s.exceeded() && !s.batchFinished()
}

// batchFinished reports whether the batch is finished, and at most its failed files are not known.
func (s scope) batchFinished() bool {
	if answer := s.observed.Batch; answer != nil {
		return answer.Status.Terminal()
	}
	return upstream.Status(s.b.Status.Status).Terminal()
}

// cancelPending reports whether a cancel is required that the API has not accepted.
func (s scope) cancelPending() bool { return s.cancelRequired() && !s.accepted() }

// cancelling reports whether a cancel is requested, or was accepted by the API.
func (s scope) cancelling() bool { return batch.CancelWanted(s.b) || s.accepted() }

// cancelRepeats are the times after which an accepted cancel is sent again if the batch is still
// running: servers can lose one.
var cancelRepeats = []time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour}

// repeatCancel reports whether an accepted cancel is due to be sent again. The process remembers when it
// was sent last, so one that takes over can repeat it early, once.
func (s scope) repeatCancel() bool {
	acceptedAt := s.b.Status.CancelRequestTime
	if acceptedAt == nil || upstream.Status(s.b.Status.Status).Terminal() {
		return false
	}
	for _, after := range cancelRepeats {
		if at := acceptedAt.Add(after); !s.now.Before(at) && s.observed.State.CancelSentAt.Before(at) {
			return true
		}
	}
	return false
}

// withCancelIrrevocable adds the Event about a spec.cancel that was unset too late, once the status
// shows the change.
func (s scope) withCancelIrrevocable(d Decision) Decision {
	observed := d.Action == Requeue && s.b.Generation != s.b.Status.ObservedGeneration && d.Status.ObservedGeneration == s.b.Generation
	if !observed || s.b.Status.CancelRequestTime == nil || d.Status.CompletionTime != nil || batch.CancelWanted(s.b) || s.cancelledByDeadline(s.b.Status) {
		return d
	}
	d.Events = append(d.Events, Event{Warning: true, Reason: v1alpha1.ReasonCancelIrrevocable, Message: "The API has already accepted the cancellation; unsetting spec.cancel does not undo it"})
	return d
}
