// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// What the operator writes into an object's metadata.
const (
	// Finalizer holds a deleted object back until its deletionPolicy was carried out.
	Finalizer = "vector-store-operator.dev/finalizer"

	// AnnotationBatchID keeps the ID of the batch that the operator created. The upstream has
	// no list of batches, so an ID that is lost is lost for good: the annotation outlives a
	// lost status, also through a backup and restore.
	AnnotationBatchID = "vector-store-operator.dev/batch-id"

	// AnnotationCreateStartedAt is the intent to create: when the request that creates the
	// batch was about to be sent, in RFC 3339. While it stands without a batch ID, nobody
	// knows whether a batch was created.
	AnnotationCreateStartedAt = "vector-store-operator.dev/create-started-at"
)

// The keys of a credentials Secret. They are the names that OpenAI's own SDKs read from the
// environment.
const (
	// SecretKeyAPIKey is the API key; the only required one.
	SecretKeyAPIKey = "OPENAI_API_KEY"
	// SecretKeyBaseURL is the root of the API; https://api.openai.com/v1 where it is absent.
	SecretKeyBaseURL = "OPENAI_BASE_URL"
	// SecretKeyOrganization is sent as the OpenAI-Organization header.
	SecretKeyOrganization = "OPENAI_ORG_ID"
	// SecretKeyProject is sent as the OpenAI-Project header.
	SecretKeyProject = "OPENAI_PROJECT_ID"
	// SecretKeyCABundle holds certificate authorities to trust beside the system's, in PEM.
	SecretKeyCABundle = "ca.crt"
)

// DefaultCredentialsSecret is the Secret that spec.credentialsRef names when it is left out.
const DefaultCredentialsSecret = "openai"

// Limits of the upstream that more than the schema needs.
const (
	// MaxFailedFilesListed is how many failed files the status lists.
	MaxFailedFilesListed = 100
	// MaxMessageLength bounds every text quoted from the upstream, in characters.
	MaxMessageLength = 1024
	// MaxStatusLength bounds the upstream's one-word texts (a status, an error code).
	MaxStatusLength = 128
	// MaxIDLength bounds every ID, in characters.
	MaxIDLength = 128
	// MaxAttributes is how many attributes a file can have.
	MaxAttributes = 16
	// MaxAttributeKeyLength bounds the key of an attribute, in characters.
	MaxAttributeKeyLength = 64
	// MaxAttributeValueLength bounds the value of an attribute that is a string.
	MaxAttributeValueLength = 512
)

// The conditions. All of them stand from the operator's first visit on.
const (
	// ConditionReady is True once the batch ended as asked, and False where it did not or
	// cannot go on. It is Unknown as long as all is well and it is not over, since generic
	// tools read False as a judgement.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the operator is getting on with it.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True where somebody has to do something.
	ConditionStalled = "Stalled"
	// ConditionFinished is True once the batch is over, however it ended: the condition to
	// wait for.
	ConditionFinished = "Finished"
	// ConditionSucceeded tells, once it is over, whether the files are in the store: a batch
	// that was cancelled as asked is Ready, but has not Succeeded.
	ConditionSucceeded = "Succeeded"
)

// Reasons while it goes on: Ready is Unknown and Reconciling is True.
const (
	// ReasonCreating: the batch is about to be created.
	ReasonCreating = "Creating"
	// ReasonWaiting: the batch will be created as soon as the upstream's limits allow it.
	ReasonWaiting = "Waiting"
	// ReasonCreateOutcomeUnknown: a request to create the batch was sent and its answer was
	// lost; the operator is finding out what came of it.
	ReasonCreateOutcomeUnknown = "CreateOutcomeUnknown"
	// ReasonInProgress: the upstream is working on the files.
	ReasonInProgress = "InProgress"
	// ReasonCancelling: cancelling was asked for, and the batch has not ended yet.
	ReasonCancelling = "Cancelling"
	// ReasonCredentialsNotFound: the Secret, or the key in it, is missing.
	ReasonCredentialsNotFound = "CredentialsNotFound"
	// ReasonRateLimited: the upstream asked us to slow down, or a quota is used up.
	ReasonRateLimited = "RateLimited"
	// ReasonUpstreamUnavailable: the upstream cannot be reached, or answers with errors.
	ReasonUpstreamUnavailable = "UpstreamUnavailable"
	// ReasonDeleting: the object is being deleted and its deletionPolicy carried out.
	ReasonDeleting = "Deleting"
)

// Reasons once it is over: Finished is True, and nothing is asked of the upstream any more.
const (
	// ReasonCompleted: all files, but for at most maxFailedFiles, are in the store.
	ReasonCompleted = "Completed"
	// ReasonFilesFailed: the batch completed, with more failed files than maxFailedFiles.
	ReasonFilesFailed = "FilesFailed"
	// ReasonBatchFailed: the upstream gave the whole batch up.
	ReasonBatchFailed = "BatchFailed"
	// ReasonCancelled: cancelled, as spec.cancel asked.
	ReasonCancelled = "Cancelled"
	// ReasonCancelledExternally: cancelled, but not by this object.
	ReasonCancelledExternally = "CancelledExternally"
	// ReasonDeadlineExceeded: in progress for longer than activeDeadlineSeconds, and cancelled.
	ReasonDeadlineExceeded = "DeadlineExceeded"
)

// ReasonSuspended says that spec.suspend leaves the upstream alone. Ready is Unknown, and
// nothing else is True.
const ReasonSuspended = "Suspended"

// Reasons where somebody has to do something: Ready is False and Stalled is True. It is still
// tried again, slowly.
const (
	// ReasonBatchNotFound: the batch, or its vector store, is gone.
	ReasonBatchNotFound = "BatchNotFound"
	// ReasonRejected: the upstream refused the request, or the spec is invalid.
	ReasonRejected = "Rejected"
	// ReasonCredentialsRejected: the key was refused, or may not be used.
	ReasonCredentialsRejected = "CredentialsRejected"
)

// ReasonTTLExpired is the reason of the Event that tells that a finished object is deleted, as
// ttlSecondsAfterFinished asks.
const ReasonTTLExpired = "TTLExpired"

// ReasonCancelIrrevocable is the reason of the Event that answers an unset spec.cancel after
// the upstream took the cancel.
const ReasonCancelIrrevocable = "CancelIrrevocable"
