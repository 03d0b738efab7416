// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types. The operator sets all of them on its first reconciliation of an object.
const (
	// ConditionReady is True if the batch finished as requested, and False if it did not, or if it
	// cannot make progress. It is Unknown while the batch makes progress, because generic tools
	// read False as a failure.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator or the API still has work to do.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True if the object needs action by a user.
	ConditionStalled = "Stalled"
	// ConditionFinished is True once the batch is finished, whatever its result. Use it with
	// `kubectl wait`.
	ConditionFinished = "Finished"
	// ConditionSucceeded is True if the finished batch added its files to the vector store. A
	// batch that was cancelled on request is Ready, but not Succeeded.
	ConditionSucceeded = "Succeeded"
)

// ConditionSuspended is True while spec.suspend is true, and False after it was. An object that was
// never suspended does not have it. Its transition time is when activeDeadlineSeconds starts again.
const ConditionSuspended = "Suspended"

// ReasonResumed is the reason of the condition Suspended after spec.suspend was unset.
const ReasonResumed = "Resumed"

// Reasons while the batch is not finished: Ready is Unknown, Reconciling is True.
const (
	// ReasonCreating means that the operator is about to create the batch.
	ReasonCreating = "Creating"
	// ReasonWaitingForRateLimit means that the operator creates the batch as soon as the rate limits permit.
	ReasonWaitingForRateLimit = "WaitingForRateLimit"
	// ReasonCreateOutcomeUnknown means that the response to the create request was lost. The
	// operator checks whether the request took effect.
	ReasonCreateOutcomeUnknown = "CreateOutcomeUnknown"
	// ReasonInProgress means that the API is processing the files.
	ReasonInProgress = "InProgress"
	// ReasonCancelling means that a cancellation is requested and the batch has not stopped yet.
	ReasonCancelling = "Cancelling"
	// ReasonCredentialsNotFound means that the Secret does not exist or has no API key.
	ReasonCredentialsNotFound = "CredentialsNotFound"
	// ReasonRateLimited means that the API returned 429 Too Many Requests, or a quota is exhausted.
	ReasonRateLimited = "RateLimited"
	// ReasonUpstreamUnavailable means that the API cannot be reached or returns server errors.
	ReasonUpstreamUnavailable = "UpstreamUnavailable"
	// ReasonDeleting means that the object is being deleted and the operator carries out its
	// deletionPolicy.
	ReasonDeleting = "Deleting"
)

// Reasons once the batch is finished: Finished is True. The operator makes no more API calls for
// the object, except those of its deletionPolicy.
const (
	// ReasonCompleted means that the files are in the vector store. At most maxFailedFiles of
	// them failed.
	ReasonCompleted = "Completed"
	// ReasonFilesFailed means that the batch completed, but more than maxFailedFiles files failed.
	ReasonFilesFailed = "FilesFailed"
	// ReasonFilesMissing means that the batch completed, but has fewer files than the spec: the server
	// ignored some of them, or cancelled them. They are not in the vector store.
	ReasonFilesMissing = "FilesMissing"
	// ReasonBatchFailed means that the API failed the whole batch.
	ReasonBatchFailed = "BatchFailed"
	// ReasonCancelled means that the batch was cancelled because spec.cancel is true.
	ReasonCancelled = "Cancelled"
	// ReasonCancelledExternally means that the batch was cancelled by another client of the API.
	ReasonCancelledExternally = "CancelledExternally"
	// ReasonDeadlineExceeded means that the batch was not finished within activeDeadlineSeconds. The
	// operator cancelled it. If the API did not accept that, the batch may still be running.
	ReasonDeadlineExceeded = "DeadlineExceeded"
	// ReasonCancelFailed means that the API did not accept the cancellation that spec.cancel
	// requests. The batch may still be running.
	ReasonCancelFailed = "CancelFailed"
)

// ReasonSuspended means that spec.suspend is true. Ready is Unknown; no other condition is True.
const ReasonSuspended = "Suspended"

// Reasons that need action by a user: Ready is False, Stalled is True. Unless the spec is invalid,
// the operator retries, with a back-off of up to 10 minutes.
const (
	// ReasonBatchNotFound means that the batch or its vector store does not exist.
	ReasonBatchNotFound = "BatchNotFound"
	// ReasonInvalidSpec means that the spec is invalid. The operator makes no API call and does not
	// retry.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonRejected means that the API rejected the request.
	ReasonRejected = "Rejected"
	// ReasonCredentialsRejected means that the API rejected the key, or a value of the Secret is
	// invalid.
	ReasonCredentialsRejected = "CredentialsRejected"
	// ReasonEndpointNotAllowed means that a flag of the operator does not permit the endpoint of the
	// Secret, or an address of that endpoint.
	ReasonEndpointNotAllowed = "EndpointNotAllowed"
)

// ReasonBatchRecreated is the reason of the Event for a batch that is created again because the response
// to the create request was lost.
const ReasonBatchRecreated = "BatchRecreated"

// ReasonBatchOrphaned is the reason of the Event for an object that is deleted while the outcome of its
// create request is unknown: a batch may be running that no object tracks.
const ReasonBatchOrphaned = "BatchOrphaned"

// ReasonDeletionIncomplete is the reason of the Event for a deletion that was given up: the batch may
// still be running, or its files may still be in the vector store.
const ReasonDeletionIncomplete = "DeletionIncomplete"

// ReasonFilesSpared is the reason of the Event for a deletion with the policy DetachFiles that left files in
// the vector store, because other objects attach them too.
const ReasonFilesSpared = "FilesSpared"

// ReasonVectorStoreNotFound is the reason of the Event for a deletion that had nothing to do, because the
// vector store does not exist.
const ReasonVectorStoreNotFound = "VectorStoreNotFound"

// ReasonAnnotationIgnored is the reason of the Event for a batch ID in an annotation that was written
// for another object, such as the one that the manifest was copied from.
const ReasonAnnotationIgnored = "AnnotationIgnored"

// ReasonTTLExpired is the reason of the Event for the deletion of a finished object whose
// ttlSecondsAfterFinished has passed.
const ReasonTTLExpired = "TTLExpired"

// ReasonCancelIrrevocable is the reason of the Event for a spec.cancel that is unset after the
// API accepted the cancellation.
const ReasonCancelIrrevocable = "CancelIrrevocable"
