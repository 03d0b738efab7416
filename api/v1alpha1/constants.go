// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Finalizer and annotations that the operator sets on an object.
const (
	// Finalizer blocks the deletion of an object until the operator has carried out its
	// deletionPolicy.
	Finalizer = "vector-store-operator.dev/finalizer"

	// AnnotationBatchID is the ID of the batch that the operator created. The API cannot list
	// batches, so a lost ID cannot be recovered. Unlike the status, the annotation survives a
	// backup and restore.
	AnnotationBatchID = "vector-store-operator.dev/batch-id"

	// AnnotationCreateStartedAt is the time, in RFC 3339, at which the operator started to create
	// the batch. The operator sets it before it sends the request. As long as no batch ID is
	// recorded, it is unknown whether the batch was created.
	AnnotationCreateStartedAt = "vector-store-operator.dev/create-started-at"

	// AnnotationReconcileRequestedAt requests a reconciliation: each new value makes the next call for
	// the object due at once, whatever its back-off. By convention the value is a time. The operator
	// records the value that it handled in status.lastHandledReconcileAt.
	AnnotationReconcileRequestedAt = "vector-store-operator.dev/reconcile-requested-at"

	// AnnotationRecordedFor is a digest of the namespace, the name, the vector store and the files of
	// the object that the other annotations were written for. On an object with another digest, such
	// as a copy, they are ignored.
	AnnotationRecordedFor = "vector-store-operator.dev/recorded-for"

	// AnnotationLostCreates is the number of batches in a row that the object created before the
	// pending create, and whose IDs are lost.
	AnnotationLostCreates = "vector-store-operator.dev/lost-creates"
)

// Keys of the credentials Secret. The OpenAI SDKs read environment variables of the same names.
const (
	// SecretKeyAPIKey is the API key. Required.
	SecretKeyAPIKey = "OPENAI_API_KEY"
	// SecretKeyBaseURL is the base URL of the API. Defaults to https://api.openai.com/v1.
	SecretKeyBaseURL = "OPENAI_BASE_URL"
	// SecretKeyOrganization is the value of the OpenAI-Organization header.
	SecretKeyOrganization = "OPENAI_ORG_ID"
	// SecretKeyProject is the value of the OpenAI-Project header.
	SecretKeyProject = "OPENAI_PROJECT_ID"
	// SecretKeyCABundle is a bundle of CA certificates, PEM-encoded, to trust in addition to the
	// system's.
	SecretKeyCABundle = "ca.crt"
)

// DefaultCredentialsSecret is the name of the Secret used if spec.credentialsRef is not set.
const DefaultCredentialsSecret = "openai"

// Limits that the schema shares with other packages. Lengths are in characters.
const (
	// MaxFailedFilesListed is the maximum number of files in status.failedFiles.
	MaxFailedFilesListed = 100
	// MaxMessageLength is the maximum length of a message from the API.
	MaxMessageLength = 1024
	// MaxStatusLength is the maximum length of a status or an error code from the API.
	MaxStatusLength = 128
	// MaxReconcileRequestLength is the maximum length of status.lastHandledReconcileAt. The operator
	// compares no more of the annotation.
	MaxReconcileRequestLength = 64
	// MaxIDLength is the maximum length of an ID.
	MaxIDLength = 512
	// MaxAttributes is the maximum number of attributes per file.
	MaxAttributes = 16
	// MaxAttributeKeyLength is the maximum length of the key of an attribute.
	MaxAttributeKeyLength = 64
	// MaxAttributeValueLength is the maximum length of an attribute value that is a string.
	MaxAttributeValueLength = 512
)
