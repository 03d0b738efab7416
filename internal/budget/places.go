// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import "sync"

// places are how many calls of a class may be under way at a time, over all connections: each
// of them keeps a worker. Budgets that find no place wait in a line of their own.
type places struct {
	mu      sync.Mutex
	free    int
	waiting []func()
}

// take takes a place. Where there is none, again is called once one is free.
func (p *places) take(again func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free > 0 {
		p.free--
		return true
	}
	p.waiting = append(p.waiting, again)
	return false
}

// giveBack frees a place, and calls those who wait for it, until one has taken it. No lock of
// a budget may be held.
func (p *places) giveBack() {
	p.mu.Lock()
	p.free++
	p.mu.Unlock()
	for {
		again := p.next()
		if again == nil {
			return
		}
		again()
	}
}

// next is who may try to take a place.
func (p *places) next() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 || len(p.waiting) == 0 {
		return nil
	}
	again := p.waiting[0]
	p.waiting = p.waiting[1:]
	return again
}
