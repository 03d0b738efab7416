// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// outcome is what a run leaves of its object, as far as it must be the same whatever went wrong.
type outcome struct {
	Gone       bool
	Conditions []string
	Reason     string
	Status     string
	FileCounts *v1alpha1.FileCounts
	Failed     []string
	Finalizers []string
	// Annotations are the names of those that are left.
	Annotations []string
}

// evidence is all that the oracles look at.
type evidence struct {
	scenario *scenario
	faults   int
	outcome  outcome
	// object is the object in the end; nil where it is gone.
	object   *v1alpha1.VectorStoreFileBatch
	files    []string
	entries  []entry
	killedAt []int
	// lastLife are the entries since the managers that work now were started.
	lastLife []entry
	unmet    []string
	batches  []emulator.Batch
	attached []emulator.AttachedFile
	events   []eventsv1.Event
	// texts are what must not hold the key, by what they are.
	texts   map[string]string
	key     string
	settled error
	// adopted is how many batches there were before.
	adopted int
}

// gather collects the evidence of a run that is over.
func (r *run) gather(ctx context.Context, faults int, settled error) (evidence, error) {
	e := evidence{
		scenario: r.scenario, faults: faults, files: r.files, key: r.key, settled: settled, unmet: r.journal.unmet(),
		batches: r.upstream.Batches(), attached: r.upstream.AttachedFiles(r.store), texts: map[string]string{},
	}
	if r.scenario.adopts {
		e.adopted = 1
	}
	e.entries, e.killedAt = r.journal.all()
	e.lastLife = r.journal.lastLife()
	var err error
	if e.texts["the metrics"], err = r.managers.scrape(ctx); err != nil && settled == nil {
		return e, err
	}
	if e.object, err = r.get(ctx); err != nil {
		return e, err
	}
	e.outcome = outcomeOf(e.object)
	var events eventsv1.EventList
	if err := r.world.client.List(ctx, &events, client.InNamespace(r.namespace)); err != nil {
		return e, fmt.Errorf("listing Events: %w", err)
	}
	e.events = events.Items
	for what, thing := range map[string]any{"the object": e.object, "the Events": e.events} {
		text, err := json.Marshal(thing)
		if err != nil {
			return e, fmt.Errorf("encoding %s: %w", what, err)
		}
		e.texts[what] = string(text)
	}
	e.texts["the managers' log"], err = r.managers.output()
	return e, err
}

func outcomeOf(b *v1alpha1.VectorStoreFileBatch) outcome {
	if b == nil {
		return outcome{Gone: true}
	}
	o := outcome{
		Reason: readyReason(b), Status: b.Status.Status, FileCounts: b.Status.FileCounts, Finalizers: b.Finalizers,
	}
	for _, condition := range b.Status.Conditions {
		o.Conditions = append(o.Conditions, fmt.Sprintf("%s=%s", condition.Type, condition.Status))
	}
	for _, file := range b.Status.FailedFiles {
		o.Failed = append(o.Failed, file.FileID+" "+file.Code)
	}
	for name := range b.Annotations {
		o.Annotations = append(o.Annotations, name)
	}
	slices.Sort(o.Annotations)
	return o
}

// oracle is one thing that must hold after every run.
type oracle struct {
	name string
	// says what it demands.
	says  string
	check func(e evidence, reference outcome) error
}

var oracles = []oracle{
	{"end", "the object ends as in the reference run, or is gone as there", checkEnd},
	{"creates", "one batch is made; a second one only where the answer was lost, and an Event says so", checkCreations},
	{"told", "a batch that is made again is counted by the process that does so", checkTold},
	{"files", "every file is attached once by every batch, or detached where the policy says so", checkFiles},
	{"cancels", "every batch that should be is cancelled, once, and repeated only where a fault hid that it was", checkCancels},
	{"writes", "status writes are bounded, and each changes something", checkWrites},
	{"quiet", "in the end nothing moves", checkQuiet},
	{"secret", "the key stands in no log, object or Event", checkSecret},
	{"met", "the fault met what it was meant for", checkMet},
}

func checkEnd(e evidence, reference outcome) error {
	if e.scenario.mayBeUnborn && len(e.batches) == 0 {
		reference.FileCounts, reference.Annotations = nil, nil
	}
	if diff := cmp.Diff(reference, e.outcome); diff != "" {
		return fmt.Errorf("the end differs (-reference +run):\n%s", diff)
	}
	if e.outcome.Reason != e.scenario.reason {
		return fmt.Errorf("it ends as %q, want %q", e.outcome.Reason, e.scenario.reason)
	}
	return nil
}

// lost are the batches whose ID the manager was never told, or could not store before it was
// killed, or before another manager took it for dead. Only those may be made again.
func (e evidence) lost() map[string]bool {
	lost := map[string]bool{}
	for i, made := range e.entries {
		if made.Op != "up.create" || !made.Effect {
			continue
		}
		kept := slices.IndexFunc(e.entries, func(other entry) bool {
			return other.Op == "api.keep" && other.Effect && other.BatchID == made.BatchID
		})
		killed := slices.ContainsFunc(e.killedAt, func(at int) bool { return at > i && (kept < 0 || at <= kept) })
		overtaken := kept < 0 && e.scenario.managers > 1 && e.away()
		if !made.Delivered || killed || overtaken {
			lost[made.BatchID] = kept < 0
		}
	}
	return lost
}

// away reports whether the API server was away, or kept an answer back for longer than another
// manager waits: the write of an ID may have been refused by it, and nobody told to repeat it.
func (e evidence) away() bool {
	return slices.ContainsFunc(e.entries, func(other entry) bool {
		return (other.Fault == "outage" || other.Fault == "timeout") && strings.HasPrefix(other.Op, "api.")
	})
}

// repeats is how often a cancel may be repeated: once for each fault that hid the answer, or ended
// the process that remembered it. An API server that is away is no reason.
func (e evidence) repeats() int {
	repeats := 0
	for _, one := range e.entries {
		if one.Fault != "" && (one.Op == "up.cancel" || one.Fault == "terminate" || strings.HasPrefix(one.Fault, "kill-")) {
			repeats++
		}
	}
	return repeats
}

func checkCreations(e evidence, _ outcome) error {
	allowed := 0
	lost := e.lost()
	for _, unknown := range lost {
		if unknown {
			allowed++
		}
	}
	if e.scenario.spec.Cancel == nil && !e.scenario.adopts {
		allowed++
	}
	made := len(e.batches) - e.adopted
	if made > allowed {
		return fmt.Errorf("%d batches were made, and %d are allowed", made, allowed)
	}
	told := slices.ContainsFunc(e.events, func(event eventsv1.Event) bool { return event.Reason == v1alpha1.ReasonCreateOutcomeUnknown })
	if made > 1 && !told {
		return fmt.Errorf("%d batches were made, and no Event says that an answer was lost", made)
	}
	if e.object != nil && e.object.Status.BatchID != "" && lost[e.object.Status.BatchID] {
		return fmt.Errorf("the object names batch %s, whose ID was lost", e.object.Status.BatchID)
	}
	return nil
}

func checkFiles(e evidence, _ outcome) error {
	got := map[string]int{}
	for _, file := range e.attached {
		got[file.ID] += file.Attaches
	}
	want := map[string]int{}
	for _, file := range e.files {
		if n := len(e.batches); n > 0 && e.scenario.spec.DeletionPolicy != v1alpha1.DeletionPolicyDetachFiles {
			want[file] = n
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("how often files were attached (-want +got):\n%s", diff)
	}
	return nil
}

func checkCancels(e evidence, _ outcome) error {
	lost := e.lost()
	for _, b := range e.batches {
		if lost[b.ID] {
			continue
		}
		want := 0
		if e.scenario.cancels {
			want = 1
		}
		if b.Cancels < want || b.Cancels > want*(1+e.repeats()) {
			return fmt.Errorf("batch %s received %d cancels, want %d to %d", b.ID, b.Cancels, want, want*(1+e.repeats()))
		}
		if e.scenario.cancels && b.Status == "in_progress" {
			return fmt.Errorf("batch %s is left in progress", b.ID)
		}
	}
	return nil
}

// writeAllowance is how many status writes a fault may cost: the write that tells of it, the
// one that takes it back, and one that has to be repeated.
const writeAllowance = 3

func checkWrites(e evidence, _ outcome) error {
	writes := 0
	for _, w := range e.entries {
		if w.Op != "api.status" {
			continue
		}
		writes++
		if w.Idle {
			return fmt.Errorf("%s changed nothing", w.Point)
		}
	}
	if limit := e.scenario.statusWrites + writeAllowance*e.faults; writes > limit {
		return fmt.Errorf("the status was written %d times, and %d are allowed", writes, limit)
	}
	return nil
}

func checkQuiet(e evidence, _ outcome) error { return e.settled }

func checkSecret(e evidence, _ outcome) error {
	for what, text := range e.texts {
		if strings.Contains(text, e.key) {
			return fmt.Errorf("the key stands in %s", what)
		}
	}
	return nil
}

func checkMet(e evidence, _ outcome) error {
	if len(e.unmet) > 0 {
		return fmt.Errorf("no request came to %s", strings.Join(e.unmet, ", "))
	}
	return nil
}
