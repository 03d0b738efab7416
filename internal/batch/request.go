// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// CreateRequest returns the create request for the spec. A file that the spec repeats is sent once.
// An error names the invalid field. Admission refuses such a spec if the policy is installed.
func CreateRequest(b *v1alpha1.VectorStoreFileBatch) (upstream.CreateRequest, error) {
	request := upstream.CreateRequest{VectorStoreID: b.Spec.VectorStoreID}
	var err error
	switch {
	case len(b.Spec.FileIDs) > 0 && len(b.Spec.Files) == 0:
		request.FileIDs = unique(b.Spec.FileIDs)
		request.Chunking = chunking(b.Spec.ChunkingStrategy)
		if request.Attributes, err = attributes(b.Spec.Attributes); err != nil {
			return upstream.CreateRequest{}, fmt.Errorf("spec.attributes%w", err)
		}
	case len(b.Spec.Files) > 0 && len(b.Spec.FileIDs) == 0:
		if request.Files, err = files(b.Spec.Files); err != nil {
			return upstream.CreateRequest{}, err
		}
	default:
		return upstream.CreateRequest{}, errors.New("exactly one of spec.fileIDs, spec.files and spec.batchID must be set")
	}
	return request, nil
}

// FileIDs returns the IDs of the files that the request attaches.
func FileIDs(request upstream.CreateRequest) []string {
	if len(request.FileIDs) > 0 {
		return request.FileIDs
	}
	ids := make([]string, 0, len(request.Files))
	for _, file := range request.Files {
		ids = append(ids, file.FileID)
	}
	return ids
}

// FileCount returns how many files the request attaches.
func FileCount(request upstream.CreateRequest) int {
	return max(len(request.FileIDs), len(request.Files))
}

func unique(ids []string) []string {
	seen := make(map[string]bool, len(ids))
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		repeated := seen[id]
		seen[id] = true
		return repeated
	})
}

func files(specs []v1alpha1.File) ([]upstream.FileToAttach, error) {
	out := make([]upstream.FileToAttach, 0, len(specs))
	first := make(map[string]int, len(specs))
	for i, spec := range specs {
		if j, repeated := first[spec.FileID]; repeated {
			if !reflect.DeepEqual(spec, specs[j]) {
				return nil, fmt.Errorf("spec.files[%d].fileID: %s is also in spec.files[%d], with different settings", i, spec.FileID, j)
			}
			continue
		}
		first[spec.FileID] = i
		values, err := attributes(spec.Attributes)
		if err != nil {
			return nil, fmt.Errorf("spec.files[%d].attributes%w", i, err)
		}
		out = append(out, upstream.FileToAttach{FileID: spec.FileID, Attributes: values, Chunking: chunking(spec.ChunkingStrategy)})
	}
	return out, nil
}

func chunking(strategy *v1alpha1.ChunkingStrategy) *upstream.StaticChunking {
	if strategy == nil || strategy.Static == nil {
		return nil
	}
	overlap := int32(0)
	if strategy.Static.ChunkOverlapTokens != nil {
		overlap = *strategy.Static.ChunkOverlapTokens
	}
	return &upstream.StaticChunking{
		MaxChunkSizeTokens: int64(strategy.Static.MaxChunkSizeTokens),
		ChunkOverlapTokens: int64(overlap),
	}
}

func attributes(in v1alpha1.Attributes) (map[string]any, error) {
	if len(in) == 0 {
		return nil, nil //nolint:nilnil // the API takes no attributes too
	}
	if len(in) > v1alpha1.MaxAttributes {
		return nil, fmt.Errorf(": at most %d are allowed", v1alpha1.MaxAttributes)
	}
	out := make(map[string]any, len(in))
	for key, value := range in {
		if length := utf8.RuneCountInString(key); length == 0 || length > v1alpha1.MaxAttributeKeyLength {
			return nil, fmt.Errorf(": a key must be 1 to %d characters long", v1alpha1.MaxAttributeKeyLength)
		}
		scalar, err := value.Scalar()
		if err != nil {
			return nil, fmt.Errorf("[%s]: %w", key, err)
		}
		out[key] = scalar
	}
	return out, nil
}
