// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package emulator

import "time"

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

// chunking reads back as static even if the request had auto.
type chunking struct {
	Type   string         `json:"type"`
	Static staticChunking `json:"static"`
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

func (v *store) object(now time.Time) storeObject {
	o := storeObject{
		ID: v.id, Object: "vector_store", CreatedAt: v.createdAt.Unix(), Name: v.name,
		UsageBytes: v.usage, FileCounts: v.counts, Status: v.status(now),
		ExpiresAt: unixOrNil(v.expiresAt()), LastActiveAt: v.lastActiveAt.Unix(), Metadata: v.metadata,
	}
	if v.expiryDays > 0 {
		o.ExpiresAfter = &expiry{Anchor: "last_active_at", Days: v.expiryDays}
	}
	return o
}

func (b *batch) object(s Settings) batchObject {
	return batchObject{
		ID: b.id, Object: s.BatchObject, CreatedAt: b.createdAt.Unix(),
		VectorStoreID: b.store.id, Status: b.status(s), FileCounts: b.counts,
	}
}

func (a *attachment) object() storeFileObject {
	return storeFileObject{
		ID: a.file.id, Object: "vector_store.file", UsageBytes: a.usage(), CreatedAt: a.createdAt.Unix(),
		VectorStoreID: a.batch.store.id, Status: a.status, LastError: a.lastError,
		Chunking: a.chunking, Attributes: a.attributes,
	}
}
