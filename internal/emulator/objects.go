// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
)

// The objects of the API in their JSON form.

type fileObject struct {
	ID        string `json:"id"`
	Object    string `json:"object"`
	Bytes     int    `json:"bytes"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt *int64 `json:"expires_at,omitempty"`
	Filename  string `json:"filename"`
	Purpose   string `json:"purpose"`
	Status    string `json:"status"`
}

type storeObject struct {
	ID           string         `json:"id"`
	Object       string         `json:"object"`
	CreatedAt    int64          `json:"created_at"`
	Name         string         `json:"name"`
	UsageBytes   int            `json:"usage_bytes"`
	FileCounts   FileCounts     `json:"file_counts"`
	Status       string         `json:"status"`
	ExpiresAfter *expiry        `json:"expires_after,omitempty"`
	ExpiresAt    *int64         `json:"expires_at"`
	LastActiveAt int64          `json:"last_active_at"`
	Metadata     map[string]any `json:"metadata"`
}

type expiry struct {
	Anchor string `json:"anchor"`
	Days   int    `json:"days"`
}

type batchObject struct {
	ID            string     `json:"id"`
	Object        string     `json:"object"`
	CreatedAt     int64      `json:"created_at"`
	VectorStoreID string     `json:"vector_store_id"`
	Status        string     `json:"status"`
	FileCounts    FileCounts `json:"file_counts"`
}

type storeFileObject struct {
	ID            string         `json:"id"`
	Object        string         `json:"object"`
	UsageBytes    int            `json:"usage_bytes"`
	CreatedAt     int64          `json:"created_at"`
	VectorStoreID string         `json:"vector_store_id"`
	Status        string         `json:"status"`
	LastError     *fileError     `json:"last_error"`
	Chunking      chunking       `json:"chunking_strategy"`
	Attributes    map[string]any `json:"attributes"`
}

type fileError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// chunking reads back as static even if the request had auto, unless Behaviors.AutoReadBack is set.
type chunking struct {
	Type   string          `json:"type"`
	Static *staticChunking `json:"static,omitempty"`
	auto   bool
}

type staticChunking struct {
	MaxTokens     int `json:"max_chunk_size_tokens"`
	OverlapTokens int `json:"chunk_overlap_tokens"`
}

type listObject struct {
	Object  string `json:"object"`
	Data    []any  `json:"data"`
	FirstID string `json:"first_id"`
	LastID  string `json:"last_id"`
	HasMore bool   `json:"has_more"`
}

type deletedObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

type contentPage struct {
	Object   string        `json:"object"`
	Data     []contentText `json:"data"`
	HasMore  bool          `json:"has_more"`
	NextPage *string       `json:"next_page"`
}

type contentText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func unixOrNil(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	u := t.Unix()
	return &u
}

func (f *file) object() fileObject {
	return fileObject{
		ID: f.id, Object: "file", Bytes: f.size, CreatedAt: f.createdAt.Unix(),
		ExpiresAt: unixOrNil(f.expiresAt), Filename: f.name, Purpose: f.purpose, Status: "processed",
	}
}

func (s *Server) storeObject(v *store) storeObject {
	o := storeObject{
		ID: v.id, Object: "vector_store", CreatedAt: s.unix(v.createdAt), Name: v.name,
		UsageBytes: v.usage, FileCounts: v.counts, Status: v.status(s.now()),
		ExpiresAt: unixOrNil(v.expiresAt()), LastActiveAt: s.unix(v.lastActiveAt), Metadata: v.metadata,
	}
	if s.settings.AttachedWhenProcessed {
		o.FileCounts.Total -= o.FileCounts.InProgress + o.FileCounts.Cancelled
		o.FileCounts.InProgress, o.FileCounts.Cancelled = 0, 0
	}
	if v.expiryDays > 0 {
		o.ExpiresAfter = &expiry{Anchor: "last_active_at", Days: v.expiryDays}
	}
	return o
}

func (s *Server) batchObject(b *batch) batchObject {
	return batchObject{
		ID: b.id, Object: s.settings.BatchObject, CreatedAt: s.unix(b.createdAt),
		VectorStoreID: s.storeIDInResponse(b.store), Status: b.status(s.settings), FileCounts: b.reportedCounts(s.settings),
	}
}

func (s *Server) storeFileObject(a *attachment) storeFileObject {
	o := storeFileObject{
		ID: a.file.id, Object: "vector_store.file", UsageBytes: a.usage(), CreatedAt: s.unix(a.createdAt),
		VectorStoreID: s.storeIDInResponse(a.batch.store), Status: a.status, LastError: a.lastError,
		Chunking: a.chunking, Attributes: a.attributes,
	}
	if o.LastError != nil && s.settings.FailureCode != "" {
		o.LastError = &fileError{Code: s.settings.FailureCode, Message: o.LastError.Message}
	}
	if o.Chunking.auto && s.settings.AutoReadBack {
		o.Chunking = chunking{Type: "auto"}
	}
	if s.settings.AttributesDropped {
		o.Attributes = map[string]any{}
	}
	if s.settings.AttributesLowered {
		o.Attributes = withLowerCase(o.Attributes)
	}
	if s.settings.FloatNumbers {
		o.Attributes = withFloats(o.Attributes)
	}
	return o
}

// storeIDInResponse returns the ID of a vector store as responses have it.
func (s *Server) storeIDInResponse(v *store) string {
	if !s.settings.OriginStoreIDs {
		return v.id
	}
	sum := sha256.Sum256([]byte("origin " + v.id))
	return storePrefix + hex.EncodeToString(sum[:16])
}

// unix returns a time of the emulator in the server's clock.
func (s *Server) unix(t time.Time) int64 {
	return t.Add(time.Duration(s.settings.CreatedAtSkew)).Unix()
}

// withLowerCase returns the attributes with every text in lower case.
func withLowerCase(attributes map[string]any) map[string]any {
	changed := make(map[string]any, len(attributes))
	for name, value := range attributes {
		if text, ok := value.(string); ok {
			value = strings.ToLower(text)
		}
		changed[name] = value
	}
	return changed
}

// withFloats returns the attributes with a decimal point in every number.
func withFloats(attributes map[string]any) map[string]any {
	changed := make(map[string]any, len(attributes))
	for name, value := range attributes {
		if n, ok := value.(json.Number); ok && !strings.ContainsAny(n.String(), ".eE") {
			value = json.Number(n.String() + ".0")
		}
		changed[name] = value
	}
	return changed
}
