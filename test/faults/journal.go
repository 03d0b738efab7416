// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// entry is one request that a proxy received: a write to the API server, or a call to the upstream.
type entry struct {
	// Point names it: the side, what it does, and the how-manieth of those it is, as in
	// api.status.2 or up.create.1.
	Point string
	// Op is the point without its number.
	Op string
	At time.Time
	// Fault is the fault that met it; empty where none did.
	Fault string
	// Status is what the server answered; 0 where the request was not forwarded.
	Status int
	// Effect says that the server took it, Delivered that the manager was given the
	// server's own answer in time.
	Effect, Delivered bool
	// Idle says that it was a write that changed nothing.
	Idle bool
	// BatchID is the batch that a create made, or whose ID a write stores.
	BatchID string
}

// journal numbers what passes the proxies of one run, and says which fault meets it.
type journal struct {
	mu       sync.Mutex
	started  time.Time
	entries  []*entry
	counts   map[string]int
	faults   map[string]fault
	inFlight int
	// killedAt are the lengths of entries at which the managers were killed.
	killedAt []int
	// restartedAt is the length of entries at which the managers that work now were started.
	restartedAt int
	// since is the resourceVersion that the API server had before there was the object.
	since   string
	moved   time.Time
	changed chan struct{}
}

func newJournal(faults []injection) *journal {
	j := &journal{counts: map[string]int{}, faults: map[string]fault{}, started: time.Now(), moved: time.Now(), changed: make(chan struct{})}
	for _, injected := range faults {
		j.faults[injected.point] = injected.fault
	}
	return j
}

// receive writes a request down, and gives the fault that is meant for it.
func (j *journal) receive(op, batchID string) (*entry, fault) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[op]++
	e := &entry{Op: op, Point: fmt.Sprintf("%s.%d", op, j.counts[op]), At: time.Now(), BatchID: batchID}
	f := j.faults[e.Point]
	delete(j.faults, e.Point)
	e.Fault = f.name
	j.entries = append(j.entries, e)
	j.inFlight++
	j.stir()
	return e, f
}

// note changes an entry.
func (j *journal) note(change func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
	j.stir()
}

// conclude says that a request is over.
func (j *journal) conclude() { j.note(func() { j.inFlight-- }) }

// killed says that the managers were killed.
func (j *journal) killed() { j.note(func() { j.killedAt = append(j.killedAt, len(j.entries)) }) }

// restarted says that other managers are at work from now on.
func (j *journal) restarted() { j.note(func() { j.restartedAt = len(j.entries) }) }

// begunAt is the resourceVersion that the API server had before there was the object.
func (j *journal) begunAt() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.since
}

// lastLife are copies of the entries since the managers that work now were started.
func (j *journal) lastLife() []entry {
	entries, _ := j.all()
	j.mu.Lock()
	defer j.mu.Unlock()
	return entries[j.restartedAt:]
}

// stir wakes those who wait for something to happen. It needs the lock.
func (j *journal) stir() {
	j.moved = time.Now()
	close(j.changed)
	j.changed = make(chan struct{})
}

// count is how many requests of a kind were received, and the channel is closed at the next change.
func (j *journal) count(op string) (int, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts[op], j.changed
}

// quietFor is for how long nothing has moved; zero while a request is being answered.
func (j *journal) quietFor() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inFlight > 0 {
		return 0
	}
	return time.Since(j.moved)
}

// unmet are the points whose faults met nothing.
func (j *journal) unmet() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	points := make([]string, 0, len(j.faults))
	for point := range j.faults {
		points = append(points, point)
	}
	slices.Sort(points)
	return points
}

// all are copies of the entries, oldest first, and the places at which managers were killed.
func (j *journal) all() (entries []entry, killedAt []int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries {
		entries = append(entries, *e)
	}
	return entries, slices.Clone(j.killedAt)
}

// String shows what happened, a line for each request.
func (j *journal) String() string {
	entries, killedAt := j.all()
	var s strings.Builder
	for i, e := range entries {
		if slices.Contains(killedAt, i) {
			s.WriteString("        -- the manager was killed\n")
		}
		fmt.Fprintf(&s, "%7.3fs  %-22s HTTP %-3d effect=%-5t delivered=%-5t idle=%-5t %s %s\n",
			e.At.Sub(j.started).Seconds(), e.Point, e.Status, e.Effect, e.Delivered, e.Idle, e.BatchID, e.Fault)
	}
	if slices.Contains(killedAt, len(entries)) {
		s.WriteString("        -- the manager was killed\n")
	}
	return s.String()
}
