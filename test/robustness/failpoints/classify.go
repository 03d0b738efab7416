// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

// classifyRequest returns the operation of a request to the API server: a write to a
// VectorStoreFileBatch, with the batch ID that it records, or a read on which the manager depends.
// It returns an empty operation for any other request.
func classifyRequest(r *http.Request, body []byte) (op, batchID string) {
	request := proxy.ClassifyAPIServer(r, body)
	if request.Operation == proxy.Other || request.Operation == proxy.UpdateLease {
		return "", ""
	}
	return "kube." + string(request.Operation), request.BatchID
}

// reads are the operations that read from the API server.
var reads = []string{"kube.read-secret", "kube.list-objects", "kube.watch-objects"}

// classifyCall returns the operation of a call to the OpenAI API.
func classifyCall(r *http.Request, body []byte) (op, batchID string) {
	request := proxy.ClassifyCall(r, body)
	return "openai." + string(request.Operation), request.BatchID
}

// unchanged reports whether a patch left the object unchanged: its resourceVersion is the same.
func unchanged(body, response []byte) bool {
	var patch, object metav1.PartialObjectMetadata
	if json.Unmarshal(body, &patch) != nil || json.Unmarshal(response, &object) != nil {
		return false
	}
	return patch.ResourceVersion != "" && patch.ResourceVersion == object.ResourceVersion
}

// stalls reports whether an object in a response is stalled.
func stalls(response []byte) bool {
	var b v1alpha1.VectorStoreFileBatch
	return json.Unmarshal(response, &b) == nil && stalled(&b)
}

// responseBatchID returns the ID in a response of the OpenAI API.
func responseBatchID(response []byte) string {
	var object struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(response, &object) != nil {
		return ""
	}
	return object.ID
}
