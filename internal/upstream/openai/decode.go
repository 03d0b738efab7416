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

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/pagination"

	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// maxStatus is the maximum length of a status, in bytes. The documented ones have at most 11.
	maxStatus = 64
	// maxTime is the last second of the year 9999, the latest time that Kubernetes can store.
	maxTime = 253402300799
)

// decodeBatch decodes a batch. If ref.BatchID is empty, the batch is new: decodeBatch accepts any ID,
// and ignores invalid values of other fields, so that the ID is not lost.
func decodeBatch(body []byte, ref upstream.BatchRef) (upstream.Batch, error) {
	var response sdk.VectorStoreFileBatch
	if err := decode(body, &response); err != nil {
		return upstream.Batch{}, err
	}
	if err := validateIdentity(response, ref); err != nil {
		return upstream.Batch{}, err
	}
	batch := upstream.Batch{
		ID:         response.ID,
		CreatedAt:  timeOf(response.CreatedAt),
		Status:     upstream.Status(response.Status),
		FileCounts: countsOf(response.FileCounts),
	}
	if err := validateState(response); err != nil {
		if ref.BatchID != "" {
			return upstream.Batch{}, err
		}
		return upstream.Batch{ID: batch.ID, CreatedAt: batch.CreatedAt, Status: upstream.InProgress}, nil
	}
	return batch, nil
}

// validateIdentity returns an error if the response is another object. OpenAI has returned the vector
// store in place of the batch.
func validateIdentity(response sdk.VectorStoreFileBatch, ref upstream.BatchRef) error {
	switch {
	case response.ID == "":
		return errors.New("it has no ID")
	case response.ID == ref.VectorStoreID:
		return errors.New("its ID is that of the vector store")
	case ref.BatchID != "" && response.ID != ref.BatchID:
		return errors.New("its ID is not that of the requested batch")
	case response.VectorStoreID != "" && response.VectorStoreID != ref.VectorStoreID:
		return errors.New("it belongs to another vector store")
	}
	return validateObjectID("batch", response.ID)
}

// validateState returns an error if the values must not be copied to the status. The SDK decodes an
// invalid value as zero.
func validateState(response sdk.VectorStoreFileBatch) error {
	if !response.JSON.FileCounts.Valid() {
		return errors.New("it has no file_counts")
	}
	counts := countsOf(response.FileCounts)
	for _, count := range []int64{counts.InProgress, counts.Completed, counts.Failed, counts.Cancelled, counts.Total} {
		if count < 0 || count > math.MaxInt32 {
			return errors.New("its file_counts are out of range")
		}
	}
	return validateStatus(string(response.Status))
}

// validateStatus accepts every printable status, because servers can add values.
func validateStatus(status string) error {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if status == "" || len(status) > maxStatus || !utf8.ValidString(status) || strings.ContainsFunc(status, unprintable) {
		return fmt.Errorf("its status is not a printable string of 1 to %d bytes", maxStatus)
	}
	return nil
}

func countsOf(counts sdk.VectorStoreFileBatchFileCounts) upstream.FileCounts {
	return upstream.FileCounts{
		InProgress: counts.InProgress,
		Completed:  counts.Completed,
		Failed:     counts.Failed,
		Cancelled:  counts.Cancelled,
		Total:      counts.Total,
	}
}

func decodeFile(body []byte, vectorStoreID, fileID string) (upstream.File, error) {
	var response sdk.VectorStoreFile
	if err := decode(body, &response); err != nil {
		return upstream.File{}, err
	}
	if response.ID != fileID {
		return upstream.File{}, errors.New("its ID is not that of the requested file")
	}
	if response.VectorStoreID != "" && response.VectorStoreID != vectorStoreID {
		return upstream.File{}, errors.New("it belongs to another vector store")
	}
	if err := validateStatus(string(response.Status)); err != nil {
		return upstream.File{}, err
	}
	return upstream.File{ID: response.ID, CreatedAt: timeOf(response.CreatedAt), Status: upstream.Status(response.Status)}, nil
}

// filePage is a page of a list of files.
type filePage struct {
	files []sdk.VectorStoreFile
	last  bool
}

func decodePage(body []byte) (filePage, error) {
	var response pagination.CursorPage[sdk.VectorStoreFile]
	if err := decode(body, &response); err != nil {
		return filePage{}, err
	}
	// The SDK decodes an invalid list as an empty one. Some servers return null for an empty list.
	if !response.JSON.Data.Valid() && response.JSON.Data.Raw() != "null" {
		return filePage{}, errors.New("it contains no list of files")
	}
	for _, file := range response.Data {
		if err := validateObjectID("file", file.ID); err != nil {
			return filePage{}, err
		}
	}
	finished := response.JSON.HasMore.Valid() && !response.HasMore
	return filePage{files: response.Data, last: finished || len(response.Data) == 0}, nil
}

// decode decodes a body, which must be a single JSON object.
func decode(body []byte, into any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return errors.New("it is not a JSON object")
	}
	return json.Unmarshal(body, into)
}

// timeOf returns the time of a Unix timestamp. It returns the zero time if the timestamp is missing or
// out of range.
func timeOf(seconds int64) time.Time {
	if seconds <= 0 || seconds > maxTime {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
