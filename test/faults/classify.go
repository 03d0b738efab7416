// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// patched is what of a merge patch tells what it is for.
type patched struct {
	Metadata struct {
		ResourceVersion string             `json:"resourceVersion"`
		Finalizers      *[]string          `json:"finalizers"`
		Annotations     map[string]*string `json:"annotations"`
	} `json:"metadata"`
}

// classifyRequest names a request to the API server: a write to an object of our kind by what it
// does, with the batch whose ID it stores, and the reads on which the manager depends. Any other
// has no name.
func classifyRequest(r *http.Request, body []byte) (op, batchID string) {
	if r.Method == http.MethodGet {
		return classifyRead(r), ""
	}
	if !strings.Contains(r.URL.Path, "/vectorstorefilebatches/") {
		return "", ""
	}
	if r.Method == http.MethodDelete {
		return "api.delete", ""
	}
	if strings.HasSuffix(r.URL.Path, "/status") {
		return "api.status", ""
	}
	var patch patched
	if err := json.Unmarshal(body, &patch); err != nil {
		return "api.unreadable", ""
	}
	startedAt, touchesIntent := patch.Metadata.Annotations[v1alpha1.AnnotationCreateStartedAt]
	id := patch.Metadata.Annotations[v1alpha1.AnnotationBatchID]
	switch {
	case id != nil:
		return "api.keep", *id
	case startedAt != nil:
		return "api.intent", ""
	case touchesIntent:
		return "api.forget", ""
	case patch.Metadata.Finalizers == nil:
		return "api.metadata", ""
	case strings.Contains(strings.Join(*patch.Metadata.Finalizers, " "), v1alpha1.Finalizer):
		return "api.hold", ""
	}
	return "api.release", ""
}

// reads are the operations that read from the API server.
var reads = []string{"api.secret", "api.list", "api.watch"}

func classifyRead(r *http.Request) string {
	switch {
	case strings.Contains(r.URL.Path, "/secrets/"):
		return "api.secret"
	case !strings.HasSuffix(r.URL.Path, "/vectorstorefilebatches"):
		return ""
	case r.URL.Query().Has("watch"):
		return "api.watch"
	default:
		return "api.list"
	}
}

// classifyCall names a call to the upstream.
func classifyCall(r *http.Request, _ []byte) (op, batchID string) {
	path := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/v1"), "/"), "/")
	below := ""
	if len(path) > 2 {
		below = path[2]
	}
	switch {
	case below == "file_batches" && len(path) == 3:
		return "up.create", ""
	case below == "file_batches" && len(path) == 4:
		return "up.retrieve", path[3]
	case below == "file_batches" && path[4] == "cancel":
		return "up.cancel", path[3]
	case below == "file_batches":
		return "up.list", path[3]
	case below == "files" && r.Method == http.MethodDelete:
		return "up.detach", ""
	case below == "files":
		return "up.probe", ""
	}
	return "up.other", ""
}

// idle reports whether a patch left the object as it was: its resourceVersion has not changed.
func idle(body, answer []byte) bool {
	var patch, object patched
	if json.Unmarshal(body, &patch) != nil || json.Unmarshal(answer, &object) != nil {
		return false
	}
	return patch.Metadata.ResourceVersion != "" && patch.Metadata.ResourceVersion == object.Metadata.ResourceVersion
}

// batchID is the ID in an answer of the upstream.
func batchID(answer []byte) string {
	var object struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(answer, &object) != nil {
		return ""
	}
	return object.ID
}
