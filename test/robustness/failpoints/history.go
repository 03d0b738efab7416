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

// entry is one request that a proxy received: a request to the API server, or a call to the OpenAI API.
type entry struct {
	// Failpoint identifies it: the server, the operation, and its number among the requests of
	// that operation, as in kube.update-status.2 or openai.create-batch.1.
	Failpoint string
	// Op is the failpoint without its number.
	Op string
	At time.Time
	// Fault is the fault that was injected; empty if none was.
	Fault string
	// Status is the server's HTTP status; 0 if the request was not forwarded.
	Status int
	// Effect means that the server accepted it, Delivered that the manager received the server's
	// own response in time.
	Effect, Delivered bool
	// Stalled means that it was a write that stalled the object.
	Stalled bool
	// Unchanged means that it was a write that changed nothing.
	Unchanged bool
	// BatchID is the batch that a create created, or whose ID a write records.
	BatchID string
}

// history numbers the requests that the proxies of one run receive, and selects the fault for each.
type history struct {
	mu       sync.Mutex
	started  time.Time
	entries  []*entry
	counts   map[string]int
	faults   map[string]fault
	inFlight int
	// killedAt are the lengths of entries at which the managers were killed.
	killedAt []int
	// restartedAt is the length of entries at which the running managers were started.
	restartedAt int
	// since is the API server's resourceVersion before the object existed.
	since      string
	lastChange time.Time
	changed    chan struct{}
}

func newHistory(faults []injection) *history {
	j := &history{counts: map[string]int{}, faults: map[string]fault{}, started: time.Now(), lastChange: time.Now(), changed: make(chan struct{})}
	for _, injected := range faults {
		j.faults[injected.failpoint] = injected.fault
	}
	return j
}

// receive records a request, and returns the fault to inject.
func (j *history) receive(op, batchID string) (*entry, fault) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.counts[op]++
	e := &entry{Op: op, Failpoint: fmt.Sprintf("%s.%d", op, j.counts[op]), At: time.Now(), BatchID: batchID}
	f := j.faults[e.Failpoint]
	delete(j.faults, e.Failpoint)
	e.Fault = f.name
	j.entries = append(j.entries, e)
	j.inFlight++
	j.notify()
	return e, f
}

// update changes an entry.
func (j *history) update(change func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
	j.notify()
}

// finish records that a request is finished.
func (j *history) finish() { j.update(func() { j.inFlight-- }) }

// killed records that the managers were killed.
func (j *history) killed() { j.update(func() { j.killedAt = append(j.killedAt, len(j.entries)) }) }

// restarted records that new managers are running.
func (j *history) restarted() { j.update(func() { j.restartedAt = len(j.entries) }) }

// initialVersion returns the API server's resourceVersion before the object existed.
func (j *history) initialVersion() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.since
}

// lastLife returns copies of the entries since the running managers were started.
func (j *history) lastLife() []entry {
	entries, _ := j.all()
	j.mu.Lock()
	defer j.mu.Unlock()
	return entries[j.restartedAt:]
}

// notify wakes the waiters. The caller holds the lock.
func (j *history) notify() {
	j.lastChange = time.Now()
	close(j.changed)
	j.changed = make(chan struct{})
}

// count returns the number of requests of an operation, and a channel that is closed at the next change.
func (j *history) count(op string) (int, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts[op], j.changed
}

// quietFor returns how long nothing has changed; zero while a request is in flight.
func (j *history) quietFor() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.inFlight > 0 {
		return 0
	}
	return time.Since(j.lastChange)
}

// untriggered returns the failpoints whose faults no request triggered.
func (j *history) untriggered() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	failpoints := make([]string, 0, len(j.faults))
	for failpoint := range j.faults {
		failpoints = append(failpoints, failpoint)
	}
	slices.Sort(failpoints)
	return failpoints
}

// all returns copies of the entries, oldest first, and the positions at which managers were killed.
func (j *history) all() (entries []entry, killedAt []int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries {
		entries = append(entries, *e)
	}
	return entries, slices.Clone(j.killedAt)
}

// String formats the history, one line per request.
func (j *history) String() string {
	entries, killedAt := j.all()
	var s strings.Builder
	for i, e := range entries {
		if slices.Contains(killedAt, i) {
			s.WriteString("        -- the manager was killed\n")
		}
		fmt.Fprintf(&s, "%7.3fs  %-22s HTTP %-3d effect=%-5t delivered=%-5t idle=%-5t %s %s\n",
			e.At.Sub(j.started).Seconds(), e.Failpoint, e.Status, e.Effect, e.Delivered, e.Unchanged, e.BatchID, e.Fault)
	}
	if slices.Contains(killedAt, len(entries)) {
		s.WriteString("        -- the manager was killed\n")
	}
	return s.String()
}
