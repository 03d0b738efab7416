// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Waiting times after failures: they double from the first of a pair up to the second.
const (
	minBackoff, maxBackoff = time.Second, 5 * time.Minute
	// Where somebody has to do something, it is tried again too, since a Secret can change
	// without a word to us.
	stalledBackoff, maxStalledBackoff = 10 * time.Second, 10 * time.Minute
	// A Secret that is missing is expected to come, and looking for it costs the upstream nothing.
	maxSecretBackoff = time.Minute
)

// failedWith ends a pass after a failed call, in the state that the kind of error stands for.
func (v view) failedWith(action Action, err *upstream.Error) Decision {
	memory := v.failureMemory(action)
	first, longest := minBackoff, maxBackoff
	var s state
	switch err.Kind {
	case upstream.RateLimited:
		s = state{v1alpha1.ReasonRateLimited, "the upstream asks to slow down: " + err.Error()}
		if err.Code == "insufficient_quota" {
			s.message = "the account's quota is used up; raise it, or add credits: " + err.Error()
		}
	case upstream.Unauthorized:
		s = state{v1alpha1.ReasonCredentialsRejected, err.Error()}
		first, longest = stalledBackoff, maxStalledBackoff
	case upstream.NoCredentials:
		s = state{v1alpha1.ReasonCredentialsNotFound, err.Error()}
		longest = maxSecretBackoff
	case upstream.Rejected, upstream.NotFound:
		s = state{v1alpha1.ReasonRejected, "the upstream refused the request: " + err.Error()}
		first, longest = stalledBackoff, maxStalledBackoff
	case upstream.Transient, upstream.UnknownOutcome:
		s = state{v1alpha1.ReasonUpstreamUnavailable, err.Error()}
	}
	return v.rest(s, memory, backoff(first, longest, memory.Failures), err.RetryAfter)
}

// failureMemory remembers that an action failed, once more.
func (v view) failureMemory(action Action) Memory {
	memory := v.seen.Memory
	if memory.Failed != action {
		memory.Failures = 0
	}
	memory.Failed = action
	memory.Failures++
	return memory
}

// backoff is the waiting time after a number of failures in a row: it doubles with each.
func backoff(first, longest time.Duration, failures int) time.Duration {
	wait := first
	for i := 1; i < failures && wait < longest; i++ {
		wait *= 2
	}
	return min(wait, longest)
}
