// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VectorStoreFileBatch stands for one batch of files attached to an OpenAI vector store, as a
// Job stands for its Pods. The operator creates the batch, or adopts one, follows it until it
// ends, and cancels it when spec.cancel is true.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=vsfb,categories=openai,scope=Namespaced
// +kubebuilder:selectablefield:JSONPath=`.spec.vectorStoreID`
// +kubebuilder:selectablefield:JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`,description="the upstream's own word for the state of the batch"
// +kubebuilder:printcolumn:name="Completed",type=integer,JSONPath=`.status.fileCounts.completed`,description="files that are in the store"
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.fileCounts.failed`,description="files that could not be processed"
// +kubebuilder:printcolumn:name="Total",type=integer,JSONPath=`.status.fileCounts.total`,description="files in the batch"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="why the object is, or is not, Ready"
// +kubebuilder:printcolumn:name="Cancelled",type=integer,priority=1,JSONPath=`.status.fileCounts.cancelled`,description="files that were cancelled"
// +kubebuilder:printcolumn:name="In-Progress",type=integer,priority=1,JSONPath=`.status.fileCounts.inProgress`,description="files still being processed"
// +kubebuilder:printcolumn:name="Store",type=string,priority=1,JSONPath=`.spec.vectorStoreID`,description="the vector store"
// +kubebuilder:printcolumn:name="Batch",type=string,priority=1,JSONPath=`.status.batchID`,description="the upstream's ID of the batch"
type VectorStoreFileBatch struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says which files to attach to which vector store, or which batch to adopt.
	// +required
	Spec VectorStoreFileBatchSpec `json:"spec,omitzero"`

	// status mirrors the batch as the upstream last showed it.
	// The default lets generic tools see, before the operator's first visit, that the object
	// has not been looked at yet.
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

// VectorStoreFileBatchSpec says what to attach to which vector store.
//
// +kubebuilder:validation:XValidation:rule="[has(self.fileIDs), has(self.files), has(self.batchID)].filter(x, x).size() == 1",message="exactly one of spec.fileIDs, spec.files and spec.batchID must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.attributes) || has(self.fileIDs)",fieldPath=".attributes",message="spec.attributes goes with spec.fileIDs only; with spec.files, give each file its own attributes"
// +kubebuilder:validation:XValidation:rule="!has(self.chunkingStrategy) || has(self.fileIDs)",fieldPath=".chunkingStrategy",message="spec.chunkingStrategy goes with spec.fileIDs only; with spec.files, give each file its own chunkingStrategy"
// +kubebuilder:validation:XValidation:rule="has(self.fileIDs) == has(oldSelf.fileIDs) && has(self.files) == has(oldSelf.files) && has(self.batchID) == has(oldSelf.batchID) && has(self.attributes) == has(oldSelf.attributes) && has(self.chunkingStrategy) == has(oldSelf.chunkingStrategy)",message="spec.fileIDs, spec.files, spec.batchID, spec.attributes and spec.chunkingStrategy are immutable: none of them can be added or removed; make a new object instead"
type VectorStoreFileBatchSpec struct {
	// vectorStoreID is the vector store that the files are attached to. It is immutable.
	// It becomes a segment of a URL's path, hence the characters allowed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.vectorStoreID is immutable; make a new object instead"
	VectorStoreID string `json:"vectorStoreID,omitempty"`

	// fileIDs attaches these files, 1 to 2000 of them, with the same attributes and
	// chunkingStrategy for all. An ID that is repeated is sent once. It is immutable.
	// Exactly one of fileIDs, files and batchID must be set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9_-]+$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.fileIDs is immutable; make a new object instead"
	FileIDs []string `json:"fileIDs,omitempty"`

	// files attaches these files, 1 to 2000 of them, each with its own attributes and
	// chunkingStrategy. It is immutable.
	// Exactly one of fileIDs, files and batchID must be set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2000
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.files is immutable; make a new object instead"
	Files []File `json:"files,omitempty"`

	// batchID adopts a batch that exists in the vector store already, instead of creating
	// one. It is immutable.
	// Exactly one of fileIDs, files and batchID must be set.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9_.:-]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.batchID is immutable; make a new object instead"
	BatchID string `json:"batchID,omitempty"`

	// attributes are attached to each of fileIDs, for filtering a search: at most 16, with
	// keys of at most 64 characters. A value is a string of at most 512 characters, a number
	// or a boolean. It goes with fileIDs only, and is immutable.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:pruning:PreserveUnknownFields
	Attributes Attributes `json:"attributes,omitempty"`

	// chunkingStrategy says how each of fileIDs is cut into chunks. Left out, the upstream
	// chooses. It goes with fileIDs only, and is immutable.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec.chunkingStrategy is immutable; make a new object instead"
	ChunkingStrategy *ChunkingStrategy `json:"chunkingStrategy,omitempty"`

	// cancel asks the upstream to cancel the batch as soon as possible. It is a one-way
	// request: once the upstream took it, unsetting it changes nothing. Set before anything
	// was created, it makes the operator create nothing.
	// +optional
	Cancel *bool `json:"cancel,omitempty"`

	// suspend makes the operator leave the upstream alone: nothing is created, and a batch in
	// progress is not looked at. A cancel and a deletion are still carried out. The upstream
	// itself cannot be suspended, so a batch goes on there meanwhile.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// activeDeadlineSeconds is how long the batch may be in progress, in seconds from its
	// creation, or from this object's where that is later. After that it is cancelled, and has
	// failed as DeadlineExceeded. It does not run out while the object is suspended.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"` //nolint:kubeapilinter // a pointer, as in a Job

	// maxFailedFiles is how many files may fail in a batch that still counts as succeeded.
	// It can be changed at any time, also once the batch is over.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2000
	MaxFailedFiles *int32 `json:"maxFailedFiles,omitempty"`

	// ttlSecondsAfterFinished deletes this object that long after the batch was over, in
	// seconds. Left out, it stays. A tool that applies manifests from Git would make it again,
	// and so attach the files again.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// deletionPolicy is what deleting this object does upstream. Cancel cancels the batch if
	// it still runs; Orphan does nothing; DetachFiles cancels it, and takes its files out of the
	// vector store (the uploaded files themselves stay). Left out, it is Cancel for a batch that
	// the operator created, and Orphan for an adopted one. But for DetachFiles, files that were
	// processed stay in the store.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// credentialsRef names the Secret, in the same namespace, that holds OPENAI_API_KEY and,
	// if wanted, OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_PROJECT_ID and ca.crt.
	// +optional
	// +kubebuilder:default={name: openai}
	CredentialsRef *CredentialsReference `json:"credentialsRef,omitempty"`
}

// DeletionPolicy is what deleting the object does upstream.
// +kubebuilder:validation:Enum=Cancel;Orphan;DetachFiles
type DeletionPolicy string

const (
	// DeletionPolicyCancel cancels the batch if it still runs.
	DeletionPolicyCancel DeletionPolicy = "Cancel"
	// DeletionPolicyOrphan leaves the batch alone.
	DeletionPolicyOrphan DeletionPolicy = "Orphan"
	// DeletionPolicyDetachFiles cancels the batch, and takes its files out of the vector store.
	DeletionPolicyDetachFiles DeletionPolicy = "DetachFiles"
)

// File is one file to attach, with its own settings.
type File struct {
	// fileID is the uploaded file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+$`
	FileID string `json:"fileID,omitempty"`

	// attributes are attached to the file, for filtering a search: at most 16, with keys of at
	// most 64 characters. A value is a string of at most 512 characters, a number or a boolean.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:pruning:PreserveUnknownFields
	Attributes Attributes `json:"attributes,omitempty"`

	// chunkingStrategy says how the file is cut into chunks. Left out, the upstream chooses.
	// +optional
	ChunkingStrategy *ChunkingStrategy `json:"chunkingStrategy,omitempty"`
}

// ChunkingStrategy says how files are cut into chunks.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Static' ? has(self.static) : !has(self.static)",message="chunkingStrategy.static is required when type is Static, and forbidden otherwise"
type ChunkingStrategy struct {
	// type is Auto, where the upstream chooses the sizes, or Static, where they are given.
	// +required
	Type ChunkingStrategyType `json:"type,omitempty"`

	// static gives the sizes; required with type Static, and forbidden otherwise.
	// +optional
	Static *StaticChunking `json:"static,omitempty"`
}

// ChunkingStrategyType is a way of cutting files into chunks.
// +kubebuilder:validation:Enum=Auto;Static
type ChunkingStrategyType string

const (
	// ChunkingAuto leaves the sizes to the upstream.
	ChunkingAuto ChunkingStrategyType = "Auto"
	// ChunkingStatic gives the sizes.
	ChunkingStatic ChunkingStrategyType = "Static"
)

// StaticChunking gives the sizes of chunks, in tokens.
//
// +kubebuilder:validation:XValidation:rule="self.chunkOverlapTokens * 2 <= self.maxChunkSizeTokens",fieldPath=".chunkOverlapTokens",message="chunkOverlapTokens must be at most half of maxChunkSizeTokens"
type StaticChunking struct {
	// maxChunkSizeTokens is the largest size of a chunk, in tokens: 100 to 4096.
	// +required
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=4096
	MaxChunkSizeTokens int32 `json:"maxChunkSizeTokens,omitempty"`

	// chunkOverlapTokens is how many tokens two neighbouring chunks share: at most half of
	// maxChunkSizeTokens.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2048
	ChunkOverlapTokens *int32 `json:"chunkOverlapTokens,omitempty"`
}

// CredentialsReference names a Secret in the same namespace.
type CredentialsReference struct {
	// name of the Secret.
	// +optional
	// +kubebuilder:default=openai
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="must be the name of a Secret: lower case letters, digits, '-' and '.'"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// VectorStoreFileBatchStatus mirrors the batch as the upstream last showed it.
type VectorStoreFileBatchStatus struct {
	// conditions are Ready, Reconciling, Stalled, Finished and Succeeded. All of them stand
	// from the operator's first visit on. Finished is the one to wait for.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that this status speaks of; -1 before
	// the operator's first visit.
	// +optional
	// +kubebuilder:validation:Minimum=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// batchID is the upstream's ID of the batch.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	BatchID string `json:"batchID,omitempty"`

	// createdAt is when the upstream made the batch.
	// +optional
	CreatedAt *metav1.Time `json:"createdAt,omitempty"`

	// status is the upstream's own word for the state of the batch: in_progress, completed,
	// failed or cancelled, or a word that is newer than this operator. An object that was
	// cancelled before anything was created shows cancelled, and has no batchID.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Status string `json:"status,omitempty"`

	// fileCounts says how many files of the batch are in which state.
	// +optional
	FileCounts *FileCounts `json:"fileCounts,omitempty"`

	// failedFiles are the files that failed, the first 100 of them, ordered by their ID.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	FailedFiles []FailedFile `json:"failedFiles,omitempty"`

	// cancelRequestedAt is when the upstream took our request to cancel the batch.
	// +optional
	CancelRequestedAt *metav1.Time `json:"cancelRequestedAt,omitempty"`

	// detachedFiles is how many of the batch's files were taken out of the vector store, while
	// the object is being deleted with the policy DetachFiles.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DetachedFiles int32 `json:"detachedFiles,omitempty"`

	// finishedAt is when the operator saw that the batch was over.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// FileCounts says how many files of a batch are in which state.
type FileCounts struct {
	// inProgress files are still being processed.
	// +required
	// +kubebuilder:validation:Minimum=0
	InProgress int32 `json:"inProgress"`
	// completed files are in the store.
	// +required
	// +kubebuilder:validation:Minimum=0
	Completed int32 `json:"completed"`
	// failed files could not be processed.
	// +required
	// +kubebuilder:validation:Minimum=0
	Failed int32 `json:"failed"`
	// cancelled files were not processed, since the batch was cancelled.
	// +required
	// +kubebuilder:validation:Minimum=0
	Cancelled int32 `json:"cancelled"`
	// total is the number of files in the batch.
	// +required
	// +kubebuilder:validation:Minimum=0
	Total int32 `json:"total"`
}

// FailedFile is a file that could not be processed, and why.
type FailedFile struct {
	// fileID is the file.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	FileID string `json:"fileID,omitempty"`
	// code is the upstream's word for the error: server_error, unsupported_file, invalid_file.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Code string `json:"code,omitempty"`
	// message is the upstream's explanation, cut at 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
