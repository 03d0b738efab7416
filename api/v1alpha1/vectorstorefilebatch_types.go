// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VectorStoreFileBatch adds a set of uploaded files to an OpenAI vector store. The operator creates
// the file batch, or adopts an existing one, tracks it until every file is processed, and cancels it
// on request.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=vsfb,categories=openai,scope=Namespaced
// +kubebuilder:selectablefield:JSONPath=`.spec.vectorStoreID`
// +kubebuilder:selectablefield:JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`,description="state of the batch, as reported by the API"
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="reason of the condition Ready"
// +kubebuilder:printcolumn:name="Completed",type=integer,JSONPath=`.status.fileCounts.completed`,description="files that were added to the vector store"
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.fileCounts.failed`,description="files that could not be processed"
// +kubebuilder:printcolumn:name="Total",type=integer,JSONPath=`.status.fileCounts.total`,description="files in the batch"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Store",type=string,priority=1,JSONPath=`.spec.vectorStoreID`,description="ID of the vector store"
// +kubebuilder:printcolumn:name="Batch",type=string,priority=1,JSONPath=`.status.batchID`,description="ID of the batch"
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,description="message of the condition Ready"
type VectorStoreFileBatch struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the desired state: the files to add and the vector store to add them to.
	// +required
	Spec VectorStoreFileBatchSpec `json:"spec,omitzero"`

	// status is the observed state of the batch.
	// Its default lets generic tools see that the operator has not reconciled the object yet.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status VectorStoreFileBatchStatus `json:"status,omitzero"`
}

// VectorStoreFileBatchList is a list of VectorStoreFileBatch.
//
// +kubebuilder:object:root=true
type VectorStoreFileBatchList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []VectorStoreFileBatch `json:"items"`
}

// VectorStoreFileBatchSpec is the desired state of a VectorStoreFileBatch.
//
// +kubebuilder:validation:XValidation:rule="[has(self.fileIDs), has(self.files), has(self.batchID)].filter(x, x).size() == 1",message="exactly one of spec.fileIDs, spec.files and spec.batchID must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.attributes) || has(self.fileIDs)",fieldPath=".attributes",message="spec.attributes requires spec.fileIDs; with spec.files, set attributes for each file"
// +kubebuilder:validation:XValidation:rule="!has(self.chunkingStrategy) || has(self.fileIDs)",fieldPath=".chunkingStrategy",message="spec.chunkingStrategy requires spec.fileIDs; with spec.files, set chunkingStrategy for each file"
// +kubebuilder:validation:XValidation:rule="has(self.fileIDs) == has(oldSelf.fileIDs) && has(self.files) == has(oldSelf.files) && has(self.batchID) == has(oldSelf.batchID) && has(self.attributes) == has(oldSelf.attributes) && has(self.chunkingStrategy) == has(oldSelf.chunkingStrategy)",message="spec.fileIDs, spec.files, spec.batchID, spec.attributes and spec.chunkingStrategy are immutable and cannot be added or removed; create a new object instead"
type VectorStoreFileBatchSpec struct {
	// vectorStoreID is the ID of the vector store to add the files to. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_=-][A-Za-z0-9_=.:-]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.vectorStoreID is immutable; create a new object instead"
	VectorStoreID string `json:"vectorStoreID,omitempty"`

	// fileIDs are the IDs of uploaded files to add to the vector store, 1 to 2000. The fields
	// attributes and chunkingStrategy apply to all of them. Duplicates are ignored. Immutable.
	// Exactly one of fileIDs, files and batchID must be set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9_=-][A-Za-z0-9_=.:-]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.fileIDs is immutable; create a new object instead"
	FileIDs []string `json:"fileIDs,omitempty"`

	// files are uploaded files to add to the vector store, 1 to 2000, each with its own attributes
	// and chunkingStrategy. Immutable.
	// Exactly one of fileIDs, files and batchID must be set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2000
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.files is immutable; create a new object instead"
	Files []File `json:"files,omitempty"`

	// batchID is the ID of an existing file batch in the vector store. The operator adopts the
	// batch: it tracks it instead of creating one. Immutable.
	// Exactly one of fileIDs, files and batchID must be set.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_=-][A-Za-z0-9_=.:-]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.batchID is immutable; create a new object instead"
	BatchID string `json:"batchID,omitempty"`

	// attributes are key-value pairs to store with every file in fileIDs. A file search can
	// filter by them. At most 16, with keys of at most 64 characters. A value is a string of at
	// most 512 characters, a number or a boolean. Requires fileIDs. Immutable.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:pruning:PreserveUnknownFields
	Attributes Attributes `json:"attributes,omitempty"`

	// chunkingStrategy configures how the files in fileIDs are split into chunks. Defaults to the
	// automatic strategy of the API (OpenAI: chunks of 800 tokens with an overlap of 400).
	// Requires fileIDs. Immutable.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.chunkingStrategy is immutable; create a new object instead"
	ChunkingStrategy *ChunkingStrategy `json:"chunkingStrategy,omitempty"`

	// cancel requests the cancellation of the batch. It is irreversible once the API has accepted
	// it: unsetting the field has no effect then. If no batch has been created yet, none is
	// created.
	// +optional
	Cancel *bool `json:"cancel,omitempty"`

	// suspend stops the operator from making API calls for this object: it neither creates nor
	// polls the batch. It still carries out a cancellation and a deletion. The API cannot suspend
	// a batch, so a batch that is in progress continues.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// activeDeadlineSeconds is the maximum duration, in seconds, of the batch. It is relative to
	// the creation of the batch or of this object, whichever is later; it starts again when the
	// object is resumed. When it is exceeded, the operator cancels the batch, and the object fails
	// with the reason DeadlineExceeded, a minute later at most, even if the API does not accept the
	// cancellation. The deadline is not enforced while the object is suspended.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"` //nolint:kubeapilinter // a pointer, as in a Job

	// maxFailedFiles is the number of files that can fail before the batch counts as failed.
	// Defaults to 0. It can be changed at any time, even after the batch is finished.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2000
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	MaxFailedFiles *int32 `json:"maxFailedFiles,omitempty"`

	// ttlSecondsAfterFinished is the time, in seconds, after which the operator deletes the
	// finished object. If it is not set, the object is not deleted. Do not use it with GitOps: the
	// tool would create the object again, and add the files again.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// deletionPolicy determines what happens to the batch when this object is deleted.
	// Cancel cancels the batch if it is in progress.
	// Orphan leaves the batch alone.
	// DetachFiles cancels the batch and removes its files from the vector store, except those that
	// another object with the same vectorStoreID adds. The uploaded files themselves are kept.
	// With Cancel and Orphan, files that are processed stay in the vector store. Defaults to Cancel
	// for a batch that the operator created, and to Orphan for an adopted one.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// credentialsRef references a Secret in the same namespace with the key OPENAI_API_KEY and,
	// optionally, the keys OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_PROJECT_ID and ca.crt. Defaults to
	// the Secret openai.
	// +optional
	// +kubebuilder:default={name: openai}
	CredentialsRef *CredentialsReference `json:"credentialsRef,omitempty"`
}

// DeletionPolicy determines what happens to the batch when the object is deleted.
// +kubebuilder:validation:Enum=Cancel;Orphan;DetachFiles
type DeletionPolicy string

const (
	// DeletionPolicyCancel cancels the batch if it is in progress.
	DeletionPolicyCancel DeletionPolicy = "Cancel"
	// DeletionPolicyOrphan leaves the batch alone.
	DeletionPolicyOrphan DeletionPolicy = "Orphan"
	// DeletionPolicyDetachFiles cancels the batch and removes its files from the vector store.
	DeletionPolicyDetachFiles DeletionPolicy = "DetachFiles"
)

// File is a file to add to the vector store, with its own settings.
type File struct {
	// fileID is the ID of the uploaded file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_=-][A-Za-z0-9_=.:-]*$`
	FileID string `json:"fileID,omitempty"`

	// attributes are key-value pairs to store with the file. A file search can filter by them. At
	// most 16, with keys of at most 64 characters. A value is a string of at most 512 characters, a
	// number or a boolean.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:pruning:PreserveUnknownFields
	Attributes Attributes `json:"attributes,omitempty"`

	// chunkingStrategy configures how the file is split into chunks. Defaults to the automatic
	// strategy of the API (OpenAI: chunks of 800 tokens with an overlap of 400).
	// +optional
	ChunkingStrategy *ChunkingStrategy `json:"chunkingStrategy,omitempty"`
}

// ChunkingStrategy configures how files are split into chunks.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Static' ? has(self.static) : !has(self.static)",message="chunkingStrategy.static is required when type is Static, and forbidden otherwise"
type ChunkingStrategy struct {
	// type is Auto, to use the sizes that the API chooses, or Static, to use those in static.
	// +required
	Type ChunkingStrategyType `json:"type,omitempty"`

	// static configures the sizes of chunks. Required if type is Static, forbidden otherwise.
	// +optional
	Static *StaticChunking `json:"static,omitempty"`
}

// ChunkingStrategyType is the type of a chunking strategy.
// +kubebuilder:validation:Enum=Auto;Static
type ChunkingStrategyType string

const (
	// ChunkingAuto uses the sizes that the API chooses.
	ChunkingAuto ChunkingStrategyType = "Auto"
	// ChunkingStatic uses the sizes in static.
	ChunkingStatic ChunkingStrategyType = "Static"
)

// StaticChunking configures the sizes of chunks, in tokens.
//
// +kubebuilder:validation:XValidation:rule="self.chunkOverlapTokens * 2 <= self.maxChunkSizeTokens",fieldPath=".chunkOverlapTokens",message="chunkOverlapTokens must be at most half of maxChunkSizeTokens"
type StaticChunking struct {
	// maxChunkSizeTokens is the maximum size of a chunk, in tokens: 100 to 4096.
	// +required
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=4096
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	MaxChunkSizeTokens int32 `json:"maxChunkSizeTokens,omitempty"`

	// chunkOverlapTokens is the number of tokens that adjacent chunks share: at most half of
	// maxChunkSizeTokens.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2048
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	ChunkOverlapTokens *int32 `json:"chunkOverlapTokens,omitempty"`
}

// CredentialsReference references a Secret in the same namespace.
type CredentialsReference struct {
	// name is the name of the Secret.
	// +optional
	// +kubebuilder:default=openai
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="spec.credentialsRef.name must be a valid Secret name: lowercase letters, digits, '-' and '.'"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// VectorStoreFileBatchStatus is the observed state of a batch.
//
// The rules for numbers and times, here and in the spec, are there for their side effect: they fail if a
// value cannot be parsed. API servers accept values that the manager cannot decode, such as 800.0000001
// for an integer and a list for a date-time. One object with such a value would stop the manager for all
// namespaces.
type VectorStoreFileBatchStatus struct {
	// conditions are Ready, Reconciling, Stalled, Finished and Succeeded. The operator sets all of
	// them on its first reconciliation. Wait for Finished. An object that is or was suspended has the
	// condition Suspended too.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('0001-01-01T00:00:00Z') && c.lastTransitionTime <= timestamp('9999-12-31T23:59:59Z') && (!has(c.observedGeneration) || c.observedGeneration <= 9007199254740991))",message="lastTransitionTime must be between the years 1 and 9999, and observedGeneration at most 9007199254740991"
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that this status is based on; -1 before the
	// first reconciliation.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	// +kubebuilder:validation:Maximum=9007199254740991
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// batchID is the ID of the batch.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	BatchID string `json:"batchID,omitempty"`

	// createdAt is the time at which the API created the batch.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('0001-01-01T00:00:00Z') && self <= timestamp('9999-12-31T23:59:59Z')",message="must be a time between the years 1 and 9999"
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`

	// status is the state of the batch, as reported by the API: in_progress, completed, failed or
	// cancelled. Other values are passed through. If the object was cancelled before the batch was
	// created, it is cancelled, and batchID is not set.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Status string `json:"status,omitempty"`

	// fileCounts are the numbers of files in the batch, by state.
	// +optional
	FileCounts *FileCounts `json:"fileCounts,omitempty"`

	// failedFiles are the files that failed, ordered by ID: at most the first 100.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	FailedFiles []FailedFile `json:"failedFiles,omitempty"`

	// cancelStartTime is the time at which the operator began to request the cancellation that
	// cancel or activeDeadlineSeconds requires, if the API did not accept it at once.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('0001-01-01T00:00:00Z') && self <= timestamp('9999-12-31T23:59:59Z')",message="must be a time between the years 1 and 9999"
	CancelStartTime *metav1.Time `json:"cancelStartTime,omitempty"`

	// cancelRequestTime is the time at which the API accepted the cancellation.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('0001-01-01T00:00:00Z') && self <= timestamp('9999-12-31T23:59:59Z')",message="must be a time between the years 1 and 9999"
	CancelRequestTime *metav1.Time `json:"cancelRequestTime,omitempty"`

	// detachedFileCount is the number of files that the operator removed from the vector store so far,
	// while the object is being deleted with the deletionPolicy DetachFiles.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	DetachedFileCount int32 `json:"detachedFileCount,omitempty"`

	// completionTime is the time at which the operator observed that the batch was finished.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('0001-01-01T00:00:00Z') && self <= timestamp('9999-12-31T23:59:59Z')",message="must be a time between the years 1 and 9999"
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// lastHandledReconcileAt is the last value of the annotation
	// vector-store-operator.dev/reconcile-requested-at that the operator handled, truncated to 64
	// characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// FileCounts are the numbers of files in a batch, by state.
type FileCounts struct {
	// inProgress is the number of files that are being processed.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	InProgress int32 `json:"inProgress"`
	// completed is the number of files that were added to the vector store.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	Completed int32 `json:"completed"`
	// failed is the number of files that could not be processed.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	Failed int32 `json:"failed"`
	// cancelled is the number of files that were not processed because the batch was cancelled.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	Cancelled int32 `json:"cancelled"`
	// total is the number of files in the batch.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	// +kubebuilder:validation:XValidation:rule="int(self) == self",message="must be an integer"
	Total int32 `json:"total"`
}

// FailedFile is a file that could not be processed.
type FailedFile struct {
	// fileID is the ID of the file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	FileID string `json:"fileID,omitempty"`
	// code is the error code from the API: server_error, unsupported_file or invalid_file.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Code string `json:"code,omitempty"`
	// message is the error message from the API, truncated to 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
