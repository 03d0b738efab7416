// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// Operation is what a request does.
type Operation string

// The operations of a manager on the API server.
const (
	SetCreatePending   Operation = "set-create-pending"   // records that a create starts
	ClearCreatePending Operation = "clear-create-pending" // removes that record
	RecordBatchID      Operation = "record-batch-id"      // records the batch's ID
	AddFinalizer       Operation = "add-finalizer"        // adds the finalizer
	RemoveFinalizer    Operation = "remove-finalizer"     // removes the finalizer
	PatchMetadata      Operation = "patch-metadata"       // patches other metadata
	UpdateStatus       Operation = "update-status"        // writes the status
	DeleteObject       Operation = "delete-object"        // deletes an object
	ListObjects        Operation = "list-objects"         // lists the objects
	WatchObjects       Operation = "watch-objects"        // watches the objects
	ReadSecret         Operation = "read-secret"          // reads a Secret
	UpdateLease        Operation = "update-lease"         // writes the lease of the leader
	Other              Operation = "other"                // is any other request
)

// The operations of a manager on the OpenAI API.
const (
	CreateBatch    Operation = "create-batch"
	RetrieveBatch  Operation = "retrieve-batch"
	CancelBatch    Operation = "cancel-batch"
	ListBatchFiles Operation = "list-batch-files"
	ListStoreFiles Operation = "list-store-files" // verifies a create
	DetachFile     Operation = "detach-file"
	OtherCall      Operation = "other-call"
)

// Request is a request of a manager.
type Request struct {
	// Operation is what it does.
	Operation Operation
	// Object is the name of the object that it is about. For a create it is the one in the file's ID,
	// see framework.File. It is empty for other calls of the OpenAI API.
	Object string
	// BatchID is the batch's ID that it records, or calls.
	BatchID string
	// Manager is the name of the manager. It is empty for calls of the OpenAI API.
	Manager string
	// HTTP is the request itself, of which Body is the body.
	HTTP *http.Request
	Body []byte
	// Status is the HTTP status of the answer; 0 before there is one.
	Status int
}

// Refused reports whether the answer is an error.
func (r Request) Refused() bool { return r.Status >= http.StatusBadRequest }

// ClassifyAPIServer returns the request that a manager makes to the API server.
func ClassifyAPIServer(r *http.Request, body []byte) Request {
	request := Request{Operation: Other, HTTP: r, Body: body}
	_, name, ours := strings.Cut(r.URL.Path, "/vectorstorefilebatches")
	name, status := strings.CutSuffix(strings.TrimPrefix(name, "/"), "/status")
	read := r.Method == http.MethodGet
	if !ours {
		request.Operation = classifyOther(r.URL.Path, read)
		return request
	}
	switch {
	case read && name == "" && r.URL.Query().Has("watch"):
		request.Operation = WatchObjects
	case read && name == "":
		request.Operation = ListObjects
	case read:
	case status:
		request.Operation = UpdateStatus
	case r.Method == http.MethodDelete:
		request.Operation = DeleteObject
	default:
		request.Operation, request.BatchID = classifyPatch(body)
	}
	request.Object = name
	return request
}

// classifyOther returns the operation of a request about other types.
func classifyOther(path string, read bool) Operation {
	switch {
	case strings.Contains(path, "/leases") && !read:
		return UpdateLease
	case strings.Contains(path, "/secrets/") && read:
		return ReadSecret
	}
	return Other
}

// classifyPatch returns what a patch of an object's metadata does, and the batch's ID that it records.
func classifyPatch(body []byte) (Operation, string) {
	var patch struct {
		Metadata struct {
			Finalizers  *[]string          `json:"finalizers"`
			Annotations map[string]*string `json:"annotations"`
		} `json:"metadata"`
	}
	if json.Unmarshal(body, &patch) != nil {
		return Other, ""
	}
	startedAt, pending := patch.Metadata.Annotations[v1alpha1.AnnotationCreateStartedAt]
	finalizers := patch.Metadata.Finalizers
	switch id := patch.Metadata.Annotations[v1alpha1.AnnotationBatchID]; {
	case id != nil:
		return RecordBatchID, *id
	case startedAt != nil:
		return SetCreatePending, ""
	case pending:
		return ClearCreatePending, ""
	case finalizers == nil:
		return PatchMetadata, ""
	case slices.Contains(*finalizers, v1alpha1.Finalizer):
		return AddFinalizer, ""
	}
	return RemoveFinalizer, ""
}

// ClassifyCall returns the request that a manager makes to the OpenAI API.
func ClassifyCall(r *http.Request, body []byte) Request {
	request := Request{Operation: OtherCall, HTTP: r, Body: body}
	_, path, _ := strings.Cut(r.URL.Path, "/vector_stores/")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) < 2 {
		return request
	}
	switch collection, below := parts[1], parts[2:]; {
	case collection == "file_batches" && len(below) == 0:
		request.Operation, request.Object = CreateBatch, objectOf(body)
	case collection == "file_batches" && len(below) == 1:
		request.Operation, request.BatchID = RetrieveBatch, below[0]
	case collection == "file_batches" && below[1] == "cancel":
		request.Operation, request.BatchID = CancelBatch, below[0]
	case collection == "file_batches":
		request.Operation, request.BatchID = ListBatchFiles, below[0]
	case collection == "files" && r.Method == http.MethodDelete:
		request.Operation = DetachFile
	case collection == "files":
		request.Operation = ListStoreFiles
	}
	return request
}

// objectOf returns the object whose batch a create creates, by the ID of its first file.
func objectOf(body []byte) string {
	var create struct {
		FileIDs []string `json:"file_ids"`
	}
	if json.Unmarshal(body, &create) != nil || len(create.FileIDs) == 0 {
		return ""
	}
	name := strings.TrimPrefix(strings.TrimPrefix(create.FileIDs[0], "file-"), "stuck-")
	if last := strings.LastIndex(name, "-"); last >= 0 {
		name = name[:last]
	}
	return name
}
