// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

// objectID matches IDs. They are segments of a URL path, so they must not contain characters with a
// meaning in one, or be a segment with a meaning. Otherwise they are opaque: gateways use up to 400
// characters of base64.
var objectID = regexp.MustCompile(`^[A-Za-z0-9_=-][A-Za-z0-9_=.:-]{0,511}$`)

// idRule is the rule for IDs, for messages.
const idRule = "must be 1 to 512 letters, digits, _, =, -, . or :, and must not begin with . or :"

func validateStoreID(id string) error { return validateObjectID("vector store", id) }

func validateObjectID(object, id string) error {
	if !objectID.MatchString(id) {
		return fmt.Errorf("invalid %s ID %q: %s", object, id, idRule)
	}
	return nil
}

func validateRef(ref upstream.BatchRef) error {
	if err := validateStoreID(ref.VectorStoreID); err != nil {
		return err
	}
	return validateObjectID("batch", ref.BatchID)
}

func validateFile(vectorStoreID, fileID string) error {
	if err := validateStoreID(vectorStoreID); err != nil {
		return err
	}
	return validateObjectID("file", fileID)
}

// target is what a request is about: a path below the base URL, and a query.
type target struct {
	method string
	// path consists of valid IDs and constants, so it needs no escaping.
	path  string
	query url.Values
}

func batchTarget(method string, ref upstream.BatchRef, action string) target {
	return target{method: method, path: "vector_stores/" + ref.VectorStoreID + "/file_batches/" + ref.BatchID + action}
}

func fileTarget(method, vectorStoreID, fileID string) target {
	return target{method: method, path: "vector_stores/" + vectorStoreID + "/files/" + fileID}
}

// newRequest returns a request of the operator. A nil body is no body.
func (c *Client) newRequest(ctx context.Context, to target, body []byte) *http.Request {
	relative := url.URL{Path: to.path, RawQuery: to.query.Encode()}
	// The transport sets the host and the framing of the body.
	request := (&http.Request{
		Method:     to.method,
		URL:        c.baseURL.ResolveReference(&relative),
		Header:     c.header.Clone(),
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
	}).WithContext(ctx)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
		request.ContentLength = int64(len(body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		request.Body, _ = request.GetBody()
	}
	return request
}

// createBody is the body of a create request.
type createBody struct {
	FileIDs    []string       `json:"file_ids,omitempty"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Chunking   *chunkingBody  `json:"chunking_strategy,omitempty"`
	Files      []fileBody     `json:"files,omitempty"`
}

type fileBody struct {
	FileID     string         `json:"file_id"`
	Attributes map[string]any `json:"attributes,omitempty"`
	Chunking   *chunkingBody  `json:"chunking_strategy,omitempty"`
}

type chunkingBody struct {
	Type   string     `json:"type"`
	Static staticBody `json:"static"`
}

type staticBody struct {
	MaxChunkSizeTokens int64 `json:"max_chunk_size_tokens"`
	ChunkOverlapTokens int64 `json:"chunk_overlap_tokens"`
}

func encodeCreate(request upstream.CreateRequest) ([]byte, error) {
	if (len(request.FileIDs) == 0) == (len(request.Files) == 0) {
		return nil, errors.New("a batch requires either file IDs or files")
	}
	body := createBody{FileIDs: request.FileIDs}
	if len(request.Files) == 0 {
		if err := validateAttributes(request.Attributes); err != nil {
			return nil, err
		}
		body.Attributes, body.Chunking = request.Attributes, chunkingOf(request.Chunking)
	}
	for _, file := range request.Files {
		if err := validateAttributes(file.Attributes); err != nil {
			return nil, fmt.Errorf("file %q: %w", file.FileID, err)
		}
		body.Files = append(body.Files, fileBody{FileID: file.FileID, Attributes: file.Attributes, Chunking: chunkingOf(file.Chunking)})
	}
	var encoded bytes.Buffer
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(body)
	return encoded.Bytes(), err
}

func validateAttributes(attributes map[string]any) error {
	for key, value := range attributes {
		if err := validateAttribute(value); err != nil {
			return fmt.Errorf("attribute %q: %w", key, err)
		}
	}
	return nil
}

func validateAttribute(value any) error {
	switch value := value.(type) {
	case string, bool, int, int32, int64:
		return nil
	case float32:
		return validateAttribute(float64(value))
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return errors.New("the value must be a finite number")
		}
		return nil
	case json.Number:
		if _, err := json.Marshal(value); err != nil {
			return errors.New("the value must be a finite number")
		}
		return nil
	}
	return errors.New("the value must be a string, a number or a boolean")
}

// chunkingOf returns the body of a strategy. A nil strategy is omitted, which selects the automatic
// one.
func chunkingOf(chunking *upstream.StaticChunking) *chunkingBody {
	if chunking == nil {
		return nil
	}
	return &chunkingBody{Type: "static", Static: staticBody(*chunking)}
}
