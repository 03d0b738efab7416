// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// Op is what a request does.
type Op string

// What a manager asks of the API server about objects of our kind.
const (
	Intent  Op = "intent"  // says that a create is about to start
	Keep    Op = "keep"    // stores the batch's ID
	Forget  Op = "forget"  // removes the intent
	Hold    Op = "hold"    // adds the finalizer
	Release Op = "release" // removes the finalizer
	Status  Op = "status"  // writes the status
	Delete  Op = "delete"  // deletes the object
	List    Op = "list"    // reads all objects
	Lease   Op = "lease"   // writes the lease of the leader
	Other   Op = "other"   // anything else
)

// What a manager asks of the upstream.
const (
	Create       Op = "create" // of a batch
	OtherCall    Op = "call"   // anything else
	createSuffix    = "/file_batches"
)

// Request is one request of a manager.
type Request struct {
	// Op is what it does.
	Op Op
	// Object is the name of the object that it is about; for a create, the name that Files put
	// into the file's ID. Empty where it is about none.
	Object string
	// Manager is the name of the manager; empty for calls to the upstream.
	Manager string
	// Body is what it sends.
	Body []byte
	// Status is what the server answered; 0 before it did, and where it was not asked.
	Status int
}

// Refused reports whether the server, or a Step in its place, turned the request down.
func (r Request) Refused() bool { return r.Status >= http.StatusBadRequest }

// Step is called for each request before the server has it, and again, with a Status, after it
// took effect and before the manager has the answer. It may take its time. A status other than
// 0 that it gives beforehand is the answer, in place of the server's.
type Step func(r Request) (answer int)

// Gate holds the first request up that comes to it.
type Gate struct {
	reached, opened  chan struct{}
	reaching, opener sync.Once
}

// NewGate makes a gate that is shut. It opens with the end of the test.
func NewGate(t *testing.T) *Gate {
	g := &Gate{reached: make(chan struct{}), opened: make(chan struct{})}
	t.Cleanup(g.Open)
	return g
}

// Wait holds its caller up until the gate is opened; all but the first pass at once.
func (g *Gate) Wait() {
	first := false
	g.reaching.Do(func() { first = true; close(g.reached) })
	if first {
		<-g.opened
	}
}

// Open lets the request go on.
func (g *Gate) Open() { g.opener.Do(func() { close(g.opened) }) }

// WaitReached waits until a request is held up.
func (g *Gate) WaitReached(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	select {
	case <-g.reached:
	case <-ctx.Done():
		t.Fatal("no request came to the gate")
	}
}

// classify says what a request to the API server is for.
func classify(r *http.Request, body []byte) (op Op, object string) {
	if strings.Contains(r.URL.Path, "/leases") && r.Method != http.MethodGet {
		return Lease, ""
	}
	_, name, ours := strings.Cut(r.URL.Path, "/vectorstorefilebatches")
	if !ours {
		return Other, ""
	}
	name = strings.TrimPrefix(name, "/")
	if r.Method == http.MethodGet {
		if name == "" {
			return List, ""
		}
		return Other, name
	}
	if object, status := strings.CutSuffix(name, "/status"); status {
		return Status, object
	}
	if r.Method == http.MethodDelete {
		return Delete, name
	}
	return classifyPatch(body), name
}

// classifyPatch says what a patch of an object's metadata is for.
func classifyPatch(body []byte) Op {
	var patch struct {
		Metadata struct {
			Finalizers  *[]string          `json:"finalizers"`
			Annotations map[string]*string `json:"annotations"`
		} `json:"metadata"`
	}
	if json.Unmarshal(body, &patch) != nil {
		return Other
	}
	startedAt, intent := patch.Metadata.Annotations[v1alpha1.AnnotationCreateStartedAt]
	finalizers := patch.Metadata.Finalizers
	switch {
	case patch.Metadata.Annotations[v1alpha1.AnnotationBatchID] != nil:
		return Keep
	case intent && startedAt != nil:
		return Intent
	case intent:
		return Forget
	case finalizers != nil && slices.Contains(*finalizers, v1alpha1.Finalizer):
		return Hold
	case finalizers != nil:
		return Release
	}
	return Other
}

// File is the ID of an object's file, from which the object can be told. A suffix is part of
// it, and what goes before it decides what the emulator makes of the file.
func File(object string, number int) string { return fmt.Sprintf("file-%s-%d", object, number) }

// StuckFile is a File that is never done.
func StuckFile(object string, number int) string {
	return fmt.Sprintf("file-stuck-%s-%d", object, number)
}

// classifyCall says what a call to the upstream is for.
func classifyCall(r *http.Request, body []byte) (op Op, object string) {
	if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, createSuffix) {
		return OtherCall, ""
	}
	var create struct {
		FileIDs []string `json:"file_ids"`
	}
	if json.Unmarshal(body, &create) != nil || len(create.FileIDs) == 0 {
		return Create, ""
	}
	name := strings.TrimPrefix(strings.TrimPrefix(create.FileIDs[0], "file-"), "stuck-")
	if last := strings.LastIndex(name, "-"); last >= 0 {
		name = name[:last]
	}
	return Create, name
}
