// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// IDs are segments of a URL path, so they must not contain characters with a meaning in one. IDs other
// than those of vector stores are opaque: compatible servers have their own formats.
var (
	storeID  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	objectID = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9_.:-]{0,127}$`)
)

func validateStoreID(id string) error {
	if !storeID.MatchString(id) {
		return fmt.Errorf("invalid vector store ID %q: must be 1 to 128 letters, digits, _ or -", id)
	}
	return nil
}

func validateObjectID(object, id string) error {
	if !objectID.MatchString(id) {
		return fmt.Errorf("invalid %s ID %q: must be 1 to 128 letters, digits, _, ., : or -", object, id)
	}
	return nil
}

func validateRef(ref upstream.BatchRef) error {
	if err := validateStoreID(ref.VectorStoreID); err != nil {
		return err
	}
	return validateObjectID("batch", ref.BatchID)
}

// createBody returns the body of a create request.
func createBody(request upstream.CreateRequest) ([]byte, error) {
	params, err := createParams(request)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	return body, nil
}

func createParams(request upstream.CreateRequest) (sdk.VectorStoreFileBatchNewParams, error) {
	if (len(request.FileIDs) == 0) == (len(request.Files) == 0) {
		return sdk.VectorStoreFileBatchNewParams{}, errors.New("a batch requires either file IDs or files")
	}
	if len(request.Files) > 0 {
		return filesParams(request.Files)
	}
	attributes, err := attributesParam[sdk.VectorStoreFileBatchNewParamsAttributeUnion](request.Attributes)
	if err != nil {
		return sdk.VectorStoreFileBatchNewParams{}, err
	}
	return sdk.VectorStoreFileBatchNewParams{
		FileIDs:          request.FileIDs,
		Attributes:       attributes,
		ChunkingStrategy: chunkingParam(request.Chunking),
	}, nil
}

func filesParams(files []upstream.FileToAttach) (sdk.VectorStoreFileBatchNewParams, error) {
	params := sdk.VectorStoreFileBatchNewParams{Files: make([]sdk.VectorStoreFileBatchNewParamsFile, 0, len(files))}
	for _, file := range files {
		attributes, err := attributesParam[sdk.VectorStoreFileBatchNewParamsFileAttributeUnion](file.Attributes)
		if err != nil {
			return params, fmt.Errorf("file %q: %w", file.FileID, err)
		}
		params.Files = append(params.Files, sdk.VectorStoreFileBatchNewParamsFile{
			FileID:           file.FileID,
			Attributes:       attributes,
			ChunkingStrategy: chunkingParam(file.Chunking),
		})
	}
	return params, nil
}

// attributesParam overrides the SDK's unions with JSON of our own: theirs have only floats, which
// change large integers.
func attributesParam[Union param.ParamStruct, Pointer param.InferPtr[Union]](attributes map[string]any) (map[string]Union, error) {
	if len(attributes) == 0 {
		return nil, nil
	}
	params := make(map[string]Union, len(attributes))
	for key, value := range attributes {
		encoded, err := attributeValue(value)
		if err != nil {
			return nil, fmt.Errorf("attribute %q: %w", key, err)
		}
		params[key] = param.Override[Union, Pointer](encoded)
	}
	return params, nil
}

func attributeValue(value any) (json.RawMessage, error) {
	switch value.(type) {
	case string, bool, float64, float32, int, int32, int64, json.Number:
	default:
		return nil, errors.New("the value must be a string, a number or a boolean")
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, errors.New("the value must be a finite number")
	}
	return encoded, nil
}

// chunkingParam returns the parameter of a strategy. A nil strategy is omitted, which selects the
// automatic one.
func chunkingParam(chunking *upstream.StaticChunking) sdk.FileChunkingStrategyParamUnion {
	if chunking == nil {
		return sdk.FileChunkingStrategyParamUnion{}
	}
	return sdk.FileChunkingStrategyParamUnion{OfStatic: &sdk.StaticFileChunkingStrategyObjectParam{
		Static: sdk.StaticFileChunkingStrategyParam{
			MaxChunkSizeTokens: chunking.MaxChunkSizeTokens,
			ChunkOverlapTokens: chunking.ChunkOverlapTokens,
		},
	}}
}
