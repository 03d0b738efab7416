// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// maxStatus is the maximum length of a status, in bytes. The documented ones have at most 11.
	maxStatus = 64
	// maxTime is the last second of the year 9999, the latest time that Kubernetes can store.
	maxTime = 253402300799
)

// Decoders keep only the fields that they use, and skip all others. Names of fields are case-sensitive.
// A field that appears twice is invalid: a proxy can have read another one than the client.

// batchResponse is a response with a batch.
type batchResponse struct {
	id, storeID, status field[string]
	createdAt           field[json.Number]
	counts              fileCounts
	// complete is true if the object was read to its end.
	complete bool
}

func (r *batchResponse) read(s *scanner) error {
	err := s.root(func(name string) error {
		switch name {
		case "id":
			return r.id.read(s)
		case "vector_store_id":
			return r.storeID.read(s)
		case "status":
			return r.status.read(s)
		case "created_at":
			return r.createdAt.read(s)
		case "file_counts":
			return r.readCounts(s)
		}
		return s.skipValue()
	})
	if err != nil {
		return err
	}
	r.complete = true
	return s.end()
}

func (r *batchResponse) readCounts(s *scanner) error {
	isObject, err := s.object(func(name string) error {
		if count := r.counts.named(name); count != nil {
			return count.read(s)
		}
		return s.skipValue()
	})
	r.counts.present = r.counts.present || isObject
	return err
}

// fileCounts are the numbers of files in a response. A missing number is 0.
type fileCounts struct {
	inProgress, completed, failed, cancelled, total field[json.Number]
	present                                         bool
}

func (c *fileCounts) named(name string) *field[json.Number] {
	switch name {
	case "in_progress":
		return &c.inProgress
	case "completed":
		return &c.completed
	case "failed":
		return &c.failed
	case "cancelled":
		return &c.cancelled
	case "total":
		return &c.total
	}
	return nil
}

// values returns an error if there are none, or if they must not be copied to the status.
func (c *fileCounts) values() (upstream.FileCounts, error) {
	if !c.present {
		return upstream.FileCounts{}, errors.New("it has no file_counts")
	}
	var counts upstream.FileCounts
	valid := true
	for _, count := range []struct {
		from field[json.Number]
		to   *int64
	}{
		{c.inProgress, &counts.InProgress}, {c.completed, &counts.Completed}, {c.failed, &counts.Failed},
		{c.cancelled, &counts.Cancelled}, {c.total, &counts.Total},
	} {
		number, ok := numberOf(count.from)
		valid = valid && ok && number == math.Trunc(number) && number >= 0 && number <= math.MaxInt32
		if valid {
			*count.to = int64(number)
		}
	}
	if !valid {
		return upstream.FileCounts{}, errors.New("its file_counts are out of range")
	}
	return counts, nil
}

// decodeBatch decodes a batch. If ref.BatchID is empty, the batch is new: decodeBatch accepts any ID,
// and ignores what is invalid beside or after it, so that the ID is not lost. It does not accept the ID
// of an object that is cut off, because the vector store in it is not known.
func (c *Client) decodeBatch(s *scanner, ref upstream.BatchRef) (upstream.Batch, error) {
	var response batchResponse
	created := ref.BatchID == ""
	if err := response.read(s); err != nil {
		tooLong := errors.As(err, new(limitError))
		if !created || !response.id.valid || !response.complete && !tooLong {
			return upstream.Batch{}, err
		}
	}
	if err := c.validateIdentity(response, ref); err != nil {
		return upstream.Batch{}, err
	}
	batch := upstream.Batch{ID: response.id.value, CreatedAt: timeOf(response.createdAt), Status: upstream.InProgress}
	counts, err := response.counts.values()
	if err == nil {
		err = c.validateStatus(response.status)
	}
	if err == nil {
		batch.Status, batch.FileCounts = upstream.Status(response.status.value), counts
	} else if !created {
		return upstream.Batch{}, err
	}
	return batch, nil
}

// otherObjectError is the error of a response that is not the batch of the request.
type otherObjectError struct{ text string }

func (e otherObjectError) Error() string { return e.text }

// validateIdentity returns an error if the response is another object. OpenAI has returned the vector
// store in place of the batch, and gateways return the IDs of the server behind them.
func (c *Client) validateIdentity(response batchResponse, ref upstream.BatchRef) error {
	created, id, store := ref.BatchID == "", response.id.value, response.storeID.value
	other := func(format string, args ...any) error { return otherObjectError{fmt.Sprintf(format, args...)} }
	switch {
	case id == "" && !created:
		return errors.New("it has no ID")
	case id == "":
		return other("it has no ID, though it is a new batch of vector store %s", ref.VectorStoreID)
	case response.id.count > 1:
		return other("it has more than one ID")
	case id == ref.VectorStoreID:
		return other("its ID is that of the vector store, %s", id)
	case !created && id != ref.BatchID:
		return other("its ID is %s, which is not that of the requested batch", c.shown(id))
	case store != "" && store != ref.VectorStoreID:
		return other("batch %s belongs to another vector store, %s, and not to %s", c.shown(id), c.shown(store), ref.VectorStoreID)
	}
	if err := c.validateNewID("batch", id); err != nil {
		return other("%v; it is %s, of vector store %s", err, c.shown(id), ref.VectorStoreID)
	}
	return nil
}

// shown returns an ID for a message: quoted, shortened, and without a key.
func (c *Client) shown(id string) string {
	switch {
	case c.exposes(id):
		return "one that contains a key"
	case objectID.MatchString(id) && len(id) <= maxShownID:
		return id
	}
	return fmt.Sprintf("%.*q", maxShownID, id)
}

// maxShownID is the number of characters of an ID in a message.
const maxShownID = 64

// validateNewID returns an error for an ID that must not be used or shown. It does not quote the ID,
// which can contain the key.
func (c *Client) validateNewID(object, id string) error {
	if err := validateObjectID(object, id); err != nil {
		return fmt.Errorf("it contains an invalid %s ID: %s", object, idRule)
	}
	if c.exposes(id) {
		return fmt.Errorf("it contains a %s ID that contains a key", object)
	}
	return nil
}

// validateStatus accepts every printable status, because servers can add values.
func (c *Client) validateStatus(status field[string]) error {
	text := status.value
	if text == "" || len(text) > maxStatus || invalidText(text) {
		return fmt.Errorf("its status is not a printable string of 1 to %d bytes", maxStatus)
	}
	if c.exposes(text) {
		return errors.New("its status contains a key")
	}
	return nil
}

func invalidText(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// fileResponse is a file in a response.
type fileResponse struct {
	id, storeID, status field[string]
	createdAt           field[json.Number]
	code, message       field[string]
}

// field reads the field with the given name.
func (r *fileResponse) field(s *scanner, name string) error {
	switch name {
	case "id":
		return r.id.read(s)
	case "vector_store_id":
		return r.storeID.read(s)
	case "status":
		return r.status.read(s)
	case "created_at":
		return r.createdAt.read(s)
	case "last_error":
		_, err := s.object(func(name string) error {
			switch name {
			case "code":
				return r.code.read(s)
			case "message":
				return r.message.read(s)
			}
			return s.skipValue()
		})
		return err
	}
	return s.skipValue()
}

func (c *Client) decodeFile(s *scanner, vectorStoreID, fileID string) (upstream.File, error) {
	var response fileResponse
	if err := s.document(func(name string) error { return response.field(s, name) }); err != nil {
		return upstream.File{}, err
	}
	if response.id.value != fileID {
		return upstream.File{}, otherObjectError{"its ID is not that of the requested file"}
	}
	if response.storeID.value != "" && response.storeID.value != vectorStoreID {
		return upstream.File{}, otherObjectError{"it belongs to another vector store"}
	}
	if err := c.validateStatus(response.status); err != nil {
		return upstream.File{}, err
	}
	return upstream.File{ID: fileID, CreatedAt: timeOf(response.createdAt), Status: upstream.Status(response.status.value)}, nil
}

// decodeDetached returns an error if the response does not confirm that the file was removed. A response
// without the field deleted confirms it if it is about the file.
func decodeDetached(s *scanner, fileID string) error {
	var id field[string]
	var deleted field[bool]
	err := s.document(func(name string) error {
		switch name {
		case "id":
			return id.read(s)
		case "deleted":
			return deleted.read(s)
		}
		return s.skipValue()
	})
	switch {
	case err != nil:
		return err
	case deleted.valid && !deleted.value:
		return errors.New("the file was not removed (deleted is false)")
	case !deleted.valid && !deleted.empty():
		return errors.New("its field deleted is not a boolean")
	case id.value != "" && id.value != fileID:
		return errors.New("its ID is not that of the requested file")
	case !deleted.valid && id.value != fileID:
		return errors.New("it does not confirm that the file was removed")
	}
	return nil
}

// decodeStore returns an error if the response is not the vector store.
func decodeStore(s *scanner, vectorStoreID string) error {
	var id field[string]
	err := s.document(func(name string) error {
		if name == "id" {
			return id.read(s)
		}
		return s.skipValue()
	})
	if err == nil && id.value != vectorStoreID {
		err = errors.New("its ID is not that of the requested vector store")
	}
	return err
}

// listedFile is a file in a list.
type listedFile struct {
	upstream.FailedFile
	status    upstream.Status
	createdAt time.Time
}

// failed reports whether the file could not be processed.
func (f listedFile) failed() bool { return f.status == upstream.Failed }

func (c *Client) decodeListedFile(s *scanner, first json.Token) (listedFile, error) {
	var response fileResponse
	// A value that is not an object has no ID.
	if _, err := s.objectFrom(first, func(name string) error { return response.field(s, name) }); err != nil {
		return listedFile{}, err
	}
	if err := c.validateNewID("file", response.id.value); err != nil {
		return listedFile{}, err
	}
	file := listedFile{status: upstream.InProgress, createdAt: timeOf(response.createdAt)}
	file.FileID = response.id.value
	if status := upstream.Status(response.status.value); status.Terminal() {
		file.status = status
	}
	if file.failed() {
		file.Code = c.sanitize(response.code.value, maxCode)
		file.Message = c.sanitize(response.message.value, maxMessage)
	}
	return file, nil
}

// pageOf is a page of a list.
type pageOf[T any] struct {
	items []T
	last  bool
	// partial is true if the page has more items than requested, which were not read.
	partial bool
}

// errPageFull ends the decoding of a page.
var errPageFull = errors.New("the page contains more items than requested")

// decodePage decodes a page. It reads no more than limit items.
func decodePage[T any](s *scanner, limit int, item func(first json.Token) (T, error)) (pageOf[T], error) {
	var result pageOf[T]
	var hasMore field[bool]
	lists := 0
	read := func(first json.Token) error {
		if len(result.items) == limit {
			return errPageFull
		}
		decoded, err := item(first)
		result.items = append(result.items, decoded)
		return err
	}
	err := s.document(func(name string) error {
		switch name {
		case "has_more":
			return hasMore.read(s)
		case "data":
			first, err := s.next()
			if err != nil {
				return err
			}
			isList, err := s.arrayFrom(first, read)
			// Some servers return null for an empty list.
			if isList || first == nil {
				lists++
			}
			return err
		}
		return s.skipValue()
	})
	switch {
	case errors.Is(err, errPageFull):
		result.partial = true
	case err != nil:
		return pageOf[T]{}, err
	case lists != 1:
		return pageOf[T]{}, errors.New("it contains no list of files")
	}
	finished := hasMore.valid && !hasMore.value
	result.last = !result.partial && (finished || len(result.items) == 0)
	return result, nil
}

// numberOf returns the value of a number; 0 if it is missing or null. It returns false if the value is
// invalid or has no float64.
func numberOf(number field[json.Number]) (float64, bool) {
	if !number.valid {
		return 0, number.empty()
	}
	value, err := number.value.Float64()
	return value, err == nil
}

// timeOf returns the time of a Unix timestamp. It returns the zero time if the timestamp is missing or
// out of range.
func timeOf(seconds field[json.Number]) time.Time {
	value, ok := numberOf(seconds)
	if !ok || value < 1 || value >= maxTime+1 {
		return time.Time{}
	}
	return time.Unix(int64(value), 0).UTC()
}
