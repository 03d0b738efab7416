// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// Digest returns the value of the annotation AnnotationRecordedFor of an object: a digest of its
// namespace, name, vector store, and files with their settings. It is empty if no request can be built
// from the spec, or if the files of a finished object were dropped.
func Digest(b *v1alpha1.VectorStoreFileBatch) string {
	if summary, dropped := b.Annotations[AnnotationFiles]; dropped {
		if _, err := Files(b); err != nil {
			return ""
		}
		_, digest, _ := strings.Cut(summary, " ")
		return digest
	}
	request, err := CreateRequest(b)
	if err != nil {
		return ""
	}
	return digestOf(b, request)
}

// digestBytes is the length of a digest. It distinguishes objects, and protects nothing: who can copy an
// annotation can also set spec.batchID.
const digestBytes = 16

// digestOf returns the digest of an object with a create request. Annotations contain it, so it must not
// change between versions: its input has fields of its own.
func digestOf(b *v1alpha1.VectorStoreFileBatch, request upstream.CreateRequest) string {
	type settings struct {
		File       string         `json:"file,omitempty"`
		Attributes map[string]any `json:"attributes,omitempty"`
		Chunking   [2]int64       `json:"chunking"`
	}
	sizes := func(c *upstream.StaticChunking) (tokens [2]int64) {
		if c != nil {
			tokens = [2]int64{c.MaxChunkSizeTokens, c.ChunkOverlapTokens}
		}
		return tokens
	}
	input := struct {
		Namespace string     `json:"namespace"`
		Name      string     `json:"name"`
		Store     string     `json:"store"`
		IDs       []string   `json:"ids,omitempty"`
		Common    settings   `json:"common"`
		Files     []settings `json:"files,omitempty"`
	}{
		Namespace: b.Namespace, Name: b.Name, Store: request.VectorStoreID, IDs: request.FileIDs,
		Common: settings{Attributes: request.Attributes, Chunking: sizes(request.Chunking)},
	}
	for _, file := range request.Files {
		input.Files = append(input.Files, settings{File: file.FileID, Attributes: file.Attributes, Chunking: sizes(file.Chunking)})
	}
	encoded, err := json.Marshal(input)
	if err != nil {
		return "" // the attributes are scalars, which can always be encoded
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:digestBytes])
}

// bound reports whether the operator wrote its annotations for this object. A manifest that was copied
// with them, under another name or with other files, must not take over the batch of the original.
func bound(b *v1alpha1.VectorStoreFileBatch) bool {
	recorded := b.Annotations[v1alpha1.AnnotationRecordedFor]
	return recorded != "" && recorded == Digest(b)
}

// IgnoredBatchID returns the batch ID in the annotation of an object without a batch that the annotation
// was not written for; empty if there is none.
func IgnoredBatchID(b *v1alpha1.VectorStoreFileBatch) string {
	id := b.Annotations[v1alpha1.AnnotationBatchID]
	if ID(b) != "" || !UsableID(id) {
		return ""
	}
	return id
}
