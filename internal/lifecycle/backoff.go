// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"fmt"
	"time"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/batch"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Waits after failures double from the first of a pair to the second.
const (
	minBackoff, maxBackoff = time.Second, 5 * time.Minute
	// Errors that need a user are retried too, because a Secret can change without notice.
	stalledBackoff, maxStalledBackoff = 10 * time.Second, 10 * time.Minute
	// A missing Secret is expected to appear, and reading it makes no API call.
	maxSecretBackoff = time.Minute
)

// forbidden is the status code of a key that is valid, and may not do what was requested.
const forbidden = 403

// insufficientQuota is the API's error code for an exhausted quota, which only a user can change.
const insufficientQuota = "insufficient_quota"

// failed ends a reconciliation after a failed call, in the condition for its kind of error.
func (s scope) failed(action Action, err *upstream.Error) Decision {
	state := s.withFailure(action)
	first, longest := minBackoff, maxBackoff
	var c condition
	switch err.Kind {
	case upstream.RateLimited:
		c = condition{v1alpha1.ReasonRateLimited, "Rate limited by the API; retrying: " + err.Error()}
		if err.RetryAfter >= longBackoff {
			c.message = rateLimitedUntil(s.now.Add(err.RetryAfter))
		}
		if err.Code == insufficientQuota {
			c.message = "Quota exhausted. Add credits or raise the limit: " + err.Error()
		}
	case upstream.Unauthorized:
		c = condition{v1alpha1.ReasonCredentialsRejected, s.credentialsRejected(err)}
		first, longest = stalledBackoff, maxStalledBackoff
	case upstream.NotAllowed:
		c = condition{v1alpha1.ReasonEndpointNotAllowed, err.Error()}
		first, longest = stalledBackoff, maxStalledBackoff
	case upstream.NoCredentials:
		c = condition{v1alpha1.ReasonCredentialsNotFound, err.Error()}
		longest = maxSecretBackoff
	case upstream.Rejected, upstream.NotFound:
		c = condition{v1alpha1.ReasonRejected, "The API rejected the request: " + err.Error()}
		first, longest = stalledBackoff, maxStalledBackoff
	case upstream.Transient, upstream.UnknownOutcome:
		c = condition{v1alpha1.ReasonUpstreamUnavailable, "The API is unavailable; retrying: " + err.Error()}
	}
	c = s.steady(c, err, state)
	if s.recentlyChanged() && maybeTemporary(err) {
		return s.as(running).requeue(c, state, s.PollMin, notBefore(err))
	}
	return s.requeue(c, state, backoff(first, longest, state.Failures), notBefore(err))
}

// credentialsRejected returns the message for credentials that cannot be used.
func (s scope) credentialsRejected(err *upstream.Error) string {
	secret, server := batch.Secret(s.b), cmp.Or(err.Host, "the API")
	switch err.StatusCode {
	case 0:
		return fmt.Sprintf("Secret %s is invalid. Correct it: %s", secret, err)
	case forbidden:
		return fmt.Sprintf("Key in Secret %s was refused by %s. Check its permissions and its project: %s", secret, server, err)
	default:
		return fmt.Sprintf("Key in Secret %s was rejected by %s. Replace %s: %s", secret, server, v1alpha1.SecretKeyAPIKey, err)
	}
}

// steady returns the condition after a failed call. The message of the first failures stays, and is renewed
// at growing intervals: each has another request ID, and a server that is unavailable for a day must not
// cost a status write for each attempt. For the same reason a server that alternates between being
// unavailable and being busy stays what it was first.
func (s scope) steady(c condition, err *upstream.Error, state State) condition {
	current := s.currentCondition()
	alike := current.reason == c.reason || unavailable(current.reason) && unavailable(c.reason) && err.Code != insufficientQuota
	if !alike || s.edited() || renewed(state.Failures) {
		return c
	}
	return current
}

// edited reports whether the spec changed, or a reconciliation was requested, since the last status.
func (s scope) edited() bool {
	return s.b.Generation != s.b.Status.ObservedGeneration || batch.ReconcileRequested(s.b)
}

// unavailable reports whether a reason means that the API cannot be used for now.
func unavailable(reason string) bool {
	return reason == v1alpha1.ReasonUpstreamUnavailable || reason == v1alpha1.ReasonRateLimited
}

// renewed reports whether the message is renewed after a number of failures in a row: 1, 4, 16 and so on.
func renewed(failures int) bool {
	for failures > 1 && failures%4 == 0 {
		failures /= 4
	}
	return failures == 1
}

// maybeTemporary reports whether a refusal can be due to a change that the server does not know yet: an
// upload, a vector store, or a key.
func maybeTemporary(err *upstream.Error) bool {
	return err.StatusCode != 0 && (err.Kind == upstream.Unauthorized || err.Kind == upstream.NotFound)
}

// recentlyChanged reports whether the object, its spec or its Secret changed within the grace period. A
// process that has just started does not know all of these times.
func (s scope) recentlyChanged() bool {
	return s.recent(later(s.changedOutsideSpecAt(), s.specChangedAt()))
}

// changedOutsideSpecAt returns when the object was created, or its Secret changed.
func (s scope) changedOutsideSpecAt() time.Time {
	return later(s.b.CreationTimestamp.Time, s.observed.CredentialsChangedAt)
}

// recent reports whether a time is within the grace period.
func (s scope) recent(at time.Time) bool { return s.now.Sub(at) < s.NotFoundGrace }

// specChangedAt returns when the first failure after a change of the spec was; zero if it is not known.
func (s scope) specChangedAt() time.Time {
	if observed := s.b.Status.ObservedGeneration; observed > 0 && observed != s.b.Generation {
		return s.now
	}
	return s.observed.State.SpecChangedAt
}

// notBefore returns how long the server asked to wait, but at most maxBackoff: a server that asks for a
// day is asked earlier whether that is still so.
func notBefore(err *upstream.Error) time.Duration { return min(err.RetryAfter, maxBackoff) }

// withFailure returns the state after one more failure of an action.
func (s scope) withFailure(action Action) State {
	state := s.observed.State
	if state.Failed != action {
		state.Failures = 0
	}
	state.Failed, state.SpecChangedAt = action, s.specChangedAt()
	if state.FailingSince.IsZero() {
		state.FailingSince = s.observed.startedAt(s.now)
	}
	state.Failures++
	return state
}

// backoff returns the wait after a number of failures in a row. It doubles with each.
func backoff(first, longest time.Duration, failures int) time.Duration {
	wait := first
	for i := 1; i < failures && wait < longest; i++ {
		wait *= 2
	}
	return min(wait, longest)
}
