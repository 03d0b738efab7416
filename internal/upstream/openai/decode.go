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
	// maxStatus bounds a status, in bytes. The documented ones have at most 11.
	maxStatus = 64
	// maxTime is the last second of the year 9999, the last that Kubernetes can store.
	maxTime = 253402300799
)

// decodeBatch reads a batch. An empty ref.BatchID is that of a batch which was just created and
// may have any ID; its other fields may then be missing, since nothing must make us lose the ID.
func decodeBatch(body []byte, ref upstream.BatchRef) (upstream.Batch, error) {
	var answer sdk.VectorStoreFileBatch
	if err := decode(body, &answer); err != nil {
		return upstream.Batch{}, err
	}
	if err := checkIdentity(answer, ref); err != nil {
		return upstream.Batch{}, err
	}
	batch := upstream.Batch{
		ID:         answer.ID,
		CreatedAt:  timeOf(answer.CreatedAt),
		Status:     upstream.Status(answer.Status),
		FileCounts: countsOf(answer.FileCounts),
	}
	if err := checkState(answer); err != nil {
		if ref.BatchID != "" {
			return upstream.Batch{}, err
		}
		return upstream.Batch{ID: batch.ID, CreatedAt: batch.CreatedAt, Status: upstream.InProgress}, nil
	}
	return batch, nil
}

// checkIdentity keeps answers about another object away. A known fault of the upstream is to
// answer with the vector store in place of the batch.
func checkIdentity(answer sdk.VectorStoreFileBatch, ref upstream.BatchRef) error {
	switch {
	case answer.ID == "":
		return errors.New("it has no ID")
	case answer.ID == ref.VectorStoreID:
		return errors.New("it has the ID of the vector store")
	case ref.BatchID != "" && answer.ID != ref.BatchID:
		return errors.New("it has another ID than the batch asked for")
	case answer.VectorStoreID != "" && answer.VectorStoreID != ref.VectorStoreID:
		return errors.New("it is about another vector store")
	}
	return checkObjectID("batch", answer.ID)
}

// checkState finds values that must not be mirrored: the SDK makes zeros of what it can't read.
func checkState(answer sdk.VectorStoreFileBatch) error {
	if !answer.JSON.FileCounts.Valid() {
		return errors.New("it has no file_counts")
	}
	counts := countsOf(answer.FileCounts)
	for _, count := range []int64{counts.InProgress, counts.Completed, counts.Failed, counts.Cancelled, counts.Total} {
		if count < 0 || count > math.MaxInt32 {
			return errors.New("its file_counts are out of range")
		}
	}
	return checkStatus(string(answer.Status))
}

// checkStatus leaves the set of values open.
func checkStatus(status string) error {
	unfit := func(r rune) bool { return !unicode.IsPrint(r) }
	if status == "" || len(status) > maxStatus || !utf8.ValidString(status) || strings.ContainsFunc(status, unfit) {
		return fmt.Errorf("its status is not a word of 1 to %d bytes", maxStatus)
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
	var answer sdk.VectorStoreFile
	if err := decode(body, &answer); err != nil {
		return upstream.File{}, err
	}
	if answer.ID != fileID {
		return upstream.File{}, errors.New("it has another ID than the file asked for")
	}
	if answer.VectorStoreID != "" && answer.VectorStoreID != vectorStoreID {
		return upstream.File{}, errors.New("it is about another vector store")
	}
	if err := checkStatus(string(answer.Status)); err != nil {
		return upstream.File{}, err
	}
	return upstream.File{ID: answer.ID, CreatedAt: timeOf(answer.CreatedAt), Status: upstream.Status(answer.Status)}, nil
}

// filePage is a part of a list; last says that nothing follows it.
type filePage struct {
	files []sdk.VectorStoreFile
	last  bool
}

func decodePage(body []byte) (filePage, error) {
	var answer pagination.CursorPage[sdk.VectorStoreFile]
	if err := decode(body, &answer); err != nil {
		return filePage{}, err
	}
	// A list that the SDK can't read looks like an empty one, and null is what some servers make
	// of an empty one.
	if !answer.JSON.Data.Valid() && answer.JSON.Data.Raw() != "null" {
		return filePage{}, errors.New("it has no list of files")
	}
	for _, file := range answer.Data {
		if err := checkObjectID("file", file.ID); err != nil {
			return filePage{}, err
		}
	}
	finished := answer.JSON.HasMore.Valid() && !answer.HasMore
	return filePage{files: answer.Data, last: finished || len(answer.Data) == 0}, nil
}

// decode demands that the whole body is one JSON object.
func decode(body []byte, answer any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return errors.New("it is not a JSON object")
	}
	return json.Unmarshal(body, answer)
}

// timeOf gives the zero time for a timestamp that is missing or absurd.
func timeOf(seconds int64) time.Time {
	if seconds <= 0 || seconds > maxTime {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
