// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// errOvertaken ends a pass whose look at the batch was cut off, since the object became urgent.
var errOvertaken = errors.New("overtaken by a cancel or a deletion")

// reads are the looks at batches that are under way. A pass has the object to itself, so
// without this a cancel would wait for an upstream that is slow to answer a look. The zero
// value is ready to use.
type reads struct {
	mu    sync.Mutex
	byUID map[types.UID]context.CancelCauseFunc
}

// begin makes the context of a look at an object's batch. The function that it gives must be
// called when the look is over.
func (r *reads) begin(ctx context.Context, uid types.UID) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byUID == nil {
		r.byUID = make(map[types.UID]context.CancelCauseFunc)
	}
	r.byUID[uid] = cancel
	return ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.byUID, uid)
		cancel(nil)
	}
}

// overtake cuts off the look at an object's batch, if there is one.
func (r *reads) overtake(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.byUID[uid]; cancel != nil {
		cancel(errOvertaken)
	}
}
