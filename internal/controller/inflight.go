// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// errPreempted ends a reconciliation whose poll was cut off because the object became urgent.
var errPreempted = errors.New("preempted by a cancel or a deletion")

// inflightPolls are the reads of batches that are in flight. One object is reconciled by one worker
// at a time, so without preemption a cancel would wait for a slow answer.
type inflightPolls struct {
	mu    sync.Mutex
	byUID map[types.UID]context.CancelCauseFunc
}

func newInflightPolls() *inflightPolls {
	return &inflightPolls{byUID: make(map[types.UID]context.CancelCauseFunc)}
}

// begin returns the context of a read for an object, and the function to call when it has ended.
func (p *inflightPolls) begin(ctx context.Context, uid types.UID) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.byUID[uid] = cancel
	return ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.byUID, uid)
		cancel(nil)
	}
}

// preempt cuts off the read for an object, if there is one.
func (p *inflightPolls) preempt(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cancel := p.byUID[uid]; cancel != nil {
		cancel(errPreempted)
	}
}
