// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// maxStorePages is the maximum number of pages of a vector store's files, and of vector stores: ten
	// times what OpenAI documents as the maximum of a vector store.
	maxStorePages = 1000
	// maxAttributes and maxAttributeText are the maximum number of attributes in a response, and the
	// maximum length of a text in one, in bytes. Servers can add attributes of their own.
	maxAttributes    = 64
	maxAttributeText = 4096
	// maxResults is the maximum number of results of a search.
	maxResults = 50
	// maxPassage is the maximum length of the text of a result, in bytes.
	maxPassage = 64 << 10
	// maxStoreName is the maximum length of the name of a vector store, in bytes.
	maxStoreName = 1024
)

var _ upstream.StoreManager = (*Client)(nil)

func storeTarget(method, vectorStoreID, action string) target {
	return target{method: method, path: "vector_stores/" + vectorStoreID + action}
}

// VectorStore implements upstream.StoreManager.
func (c *Client) VectorStore(ctx context.Context, vectorStoreID string) (upstream.VectorStore, error) {
	if err := validateStoreID(vectorStoreID); err != nil {
		return upstream.VectorStore{}, c.rejected(err)
	}
	var store upstream.VectorStore
	x := &exchange{limits: c.objectLimits()}
	x.decode = func(s *scanner) (err error) {
		store, err = c.decodeStore(s, vectorStoreID)
		return err
	}
	err := c.call(ctx, x, storeTarget(http.MethodGet, vectorStoreID, ""), nil)
	return store, err
}

// decodeStore accepts another ID than the requested one: some gateways translate the IDs in requests, but
// not those in responses.
func (c *Client) decodeStore(s *scanner, vectorStoreID string) (upstream.VectorStore, error) {
	var response batchResponse
	var name field[string]
	err := s.document(func(field string) error {
		switch field {
		case "id":
			return response.id.read(s)
		case "name":
			return name.read(s)
		case "status":
			return response.status.read(s)
		case "file_counts":
			return response.readCounts(s)
		}
		return s.skipValue()
	})
	if err != nil {
		return upstream.VectorStore{}, err
	}
	if err := c.validateNewID("vector store", response.id.value); err != nil {
		return upstream.VectorStore{}, err
	}
	counts, err := response.counts.values()
	if err != nil {
		return upstream.VectorStore{}, err
	}
	if err := c.validateStatus(response.status); err != nil {
		return upstream.VectorStore{}, err
	}
	return upstream.VectorStore{
		ID: vectorStoreID, Name: c.sanitize(name.value, maxStoreName), Status: upstream.Status(response.status.value), FileCounts: counts,
	}, nil
}

// VectorStores implements upstream.StoreManager. The request timeout applies to each page.
func (c *Client) VectorStores(ctx context.Context) ([]string, error) {
	var ids []string
	seen := map[string]bool{}
	decode := func(s *scanner, first json.Token) (string, error) {
		var id field[string]
		_, err := s.objectFrom(first, func(name string) error {
			if name == "id" {
				return id.read(s)
			}
			return s.skipValue()
		})
		if err != nil {
			return "", err
		}
		return id.value, c.validateNewID("vector store", id.value)
	}
	err := listPages(ctx, c, target{method: http.MethodGet, path: "vector_stores"}, "vector stores", decode, func(id string) string { return id }, func(page []string) {
		for _, id := range page {
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	})
	return ids, err
}

// StoreFiles implements upstream.StoreManager. The request timeout applies to each page.
func (c *Client) StoreFiles(ctx context.Context, vectorStoreID string, yield func(page []upstream.StoreFile)) error {
	if err := validateStoreID(vectorStoreID); err != nil {
		return c.rejected(err)
	}
	decode := func(s *scanner, first json.Token) (upstream.StoreFile, error) {
		var response storeFileResponse
		if _, err := s.objectFrom(first, func(name string) error { return response.field(s, name) }); err != nil {
			return upstream.StoreFile{}, err
		}
		return c.storeFileOf(response)
	}
	to := storeTarget(http.MethodGet, vectorStoreID, "/files")
	return listPages(ctx, c, to, "files in the vector store", decode, func(f upstream.StoreFile) string { return f.ID }, yield)
}

// listPages calls yield with each page of a list of items.
func listPages[T any](ctx context.Context, c *Client, to target, items string, decode func(*scanner, json.Token) (T, error), id func(T) string, yield func(page []T)) error {
	seen := map[string]bool{}
	to.query = url.Values{"limit": {strconv.Itoa(filesPerPage)}, "order": {"asc"}}
	for range maxStorePages {
		var page pageOf[T]
		x := &exchange{limits: c.listLimits(filesPerPage)}
		x.decode = func(s *scanner) (err error) {
			page, err = decodePage(s, filesPerPage, func(first json.Token) (T, error) { return decode(s, first) })
			return err
		}
		if err := c.call(ctx, x, to, nil); err != nil {
			return err
		}
		before := len(seen)
		for _, item := range page.items {
			seen[id(item)] = true
		}
		yield(page.items)
		if page.last {
			return nil
		}
		// A server that ignores the cursor, or says that there is more when there is none.
		if len(seen) == before {
			return &upstream.Error{
				Kind: upstream.Transient, Host: c.host,
				Message: fmt.Sprintf("%s reported more %s, but returned none", c.host, items),
			}
		}
		to.query.Set("after", id(page.items[len(page.items)-1]))
	}
	return c.rejected(fmt.Errorf("the list of %s has more than %d pages", items, maxStorePages))
}

// storeFileResponse is a file of a vector store with its attributes.
type storeFileResponse struct {
	fileResponse
	bytes      field[json.Number]
	attributes attributesField
}

func (r *storeFileResponse) field(s *scanner, name string) error {
	switch name {
	case "usage_bytes":
		return r.bytes.read(s)
	case "attributes":
		return r.attributes.read(s)
	}
	return r.fileResponse.field(s, name)
}

// attributesField are the attributes in a response.
type attributesField struct{ values map[string]any }

// read reads the attributes that have a valid type and length. It ignores others, which no client set.
func (f *attributesField) read(s *scanner) error {
	_, err := s.object(func(name string) error {
		token, err := s.next()
		if err != nil {
			return err
		}
		value, valid := attributeOf(token)
		if valid && len(name) <= maxAttributeText && len(f.values) < maxAttributes {
			if f.values == nil {
				f.values = map[string]any{}
			}
			f.values[name] = value
		}
		return s.skip(token)
	})
	return err
}

// attributeOf returns the value of an attribute, and whether it is valid.
func attributeOf(token json.Token) (any, bool) {
	switch value := token.(type) {
	case string:
		return value, len(value) <= maxAttributeText
	case bool:
		return value, true
	case json.Number:
		number, err := value.Float64()
		return number, err == nil
	}
	return nil, false
}

// redacted returns attributes without a key, which a server can repeat.
func (c *Client) redacted(attributes map[string]any) map[string]any {
	maps.DeleteFunc(attributes, func(name string, value any) bool {
		text, _ := value.(string)
		return c.exposes(name) || c.exposes(text)
	})
	return attributes
}

func (c *Client) storeFileOf(response storeFileResponse) (upstream.StoreFile, error) {
	if err := c.validateNewID("file", response.id.value); err != nil {
		return upstream.StoreFile{}, err
	}
	if err := c.validateStatus(response.status); err != nil {
		return upstream.StoreFile{}, err
	}
	size, _ := numberOf(response.bytes)
	return upstream.StoreFile{
		ID: response.id.value, CreatedAt: timeOf(response.createdAt), Status: upstream.Status(response.status.value),
		Bytes: int64(min(max(size, 0), maxFileSize)), Attributes: c.redacted(response.attributes.values),
		Code: c.sanitize(response.code.value, maxCode), Message: c.sanitize(response.message.value, maxMessage),
	}, nil
}

// UpdateAttributes implements upstream.StoreManager.
func (c *Client) UpdateAttributes(ctx context.Context, vectorStoreID, fileID string, attributes map[string]any) (upstream.StoreFile, error) {
	if err := validateFile(vectorStoreID, fileID); err != nil {
		return upstream.StoreFile{}, c.rejected(err)
	}
	if err := validateAttributes(attributes); err != nil {
		return upstream.StoreFile{}, c.rejected(err)
	}
	body, err := json.Marshal(map[string]any{"attributes": attributes})
	if err != nil {
		return upstream.StoreFile{}, c.rejected(err)
	}
	var file upstream.StoreFile
	x := &exchange{limits: c.objectLimits()}
	x.decode = func(s *scanner) error {
		var response storeFileResponse
		if err := s.document(func(name string) error { return response.field(s, name) }); err != nil {
			return err
		}
		if response.id.value != fileID {
			return errors.New("its ID is not that of the requested file")
		}
		var err error
		file, err = c.storeFileOf(response)
		return err
	}
	err = c.call(ctx, x, fileTarget(http.MethodPost, vectorStoreID, fileID), body)
	return file, err
}

// DeleteUpload implements upstream.StoreManager.
func (c *Client) DeleteUpload(ctx context.Context, fileID string) error {
	if err := validateObjectID("file", fileID); err != nil {
		return c.rejected(err)
	}
	var deleted field[bool]
	x := &exchange{limits: c.objectLimits()}
	x.decode = func(s *scanner) error {
		return s.document(func(name string) error {
			if name == "deleted" {
				return deleted.read(s)
			}
			return s.skipValue()
		})
	}
	if err := c.call(ctx, x, target{method: http.MethodDelete, path: "files/" + fileID}, nil); err != nil {
		return err
	}
	if deleted.valid && !deleted.value {
		return &upstream.Error{Kind: upstream.Transient, Host: c.host, Message: c.host + " did not delete the file"}
	}
	return nil
}

// searchBody is the body of a search request.
type searchBody struct {
	Query   string `json:"query"`
	Limit   int    `json:"max_num_results,omitempty"`
	Filters any    `json:"filters,omitempty"`
}

// Search implements upstream.StoreManager.
func (c *Client) Search(ctx context.Context, vectorStoreID string, request upstream.SearchRequest) ([]upstream.SearchResult, error) {
	if err := validateStoreID(vectorStoreID); err != nil {
		return nil, c.rejected(err)
	}
	body, err := json.Marshal(searchBody(request))
	if err != nil {
		return nil, c.rejected(err)
	}
	var results pageOf[upstream.SearchResult]
	x := &exchange{limits: c.listLimits(maxResults)}
	x.decode = func(s *scanner) (err error) {
		results, err = decodePage(s, maxResults, func(first json.Token) (upstream.SearchResult, error) { return c.decodeResult(s, first) })
		return err
	}
	err = c.call(ctx, x, storeTarget(http.MethodPost, vectorStoreID, "/search"), body)
	return results.items, err
}

func (c *Client) decodeResult(s *scanner, first json.Token) (upstream.SearchResult, error) {
	var id, filename field[string]
	var score field[json.Number]
	var attributes attributesField
	var text string
	_, err := s.objectFrom(first, func(name string) error {
		switch name {
		case "file_id":
			return id.read(s)
		case "filename":
			return filename.read(s)
		case "score":
			return score.read(s)
		case "attributes":
			return attributes.read(s)
		case "content":
			return readPassage(s, &text)
		}
		return s.skipValue()
	})
	if err != nil {
		return upstream.SearchResult{}, err
	}
	if err := c.validateNewID("file", id.value); err != nil {
		return upstream.SearchResult{}, err
	}
	value, _ := numberOf(score)
	if math.IsInf(value, 0) {
		value = 0
	}
	return upstream.SearchResult{
		FileID: id.value, Filename: c.redact(filename.value), Score: value,
		Attributes: c.redacted(attributes.values), Text: c.redact(text),
	}, nil
}

// readPassage reads the texts of a result.
func readPassage(s *scanner, into *string) error {
	first, err := s.next()
	if err != nil {
		return err
	}
	_, err = s.arrayFrom(first, func(first json.Token) error {
		var text field[string]
		_, err := s.objectFrom(first, func(name string) error {
			if name == "text" {
				return text.read(s)
			}
			return s.skipValue()
		})
		if text.value != "" && len(*into)+len(text.value) < maxPassage {
			if *into != "" {
				*into += "\n"
			}
			*into += text.value
		}
		return err
	})
	return err
}
