// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed" // for promise
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// outcome is the part of the object's final state that no fault may change.
type outcome struct {
	Gone       bool
	Conditions []string
	Reason     string
	Status     string
	FileCounts *v1alpha1.FileCounts
	Failed     []string
	Finalizers []string
	// Annotations are the names of the remaining annotations.
	Annotations []string
}

// evidence is the input of the validators.
type evidence struct {
	scenario *scenario
	faults   int
	outcome  outcome
	// object is the object at the end; nil if it is gone.
	object   *v1alpha1.VectorStoreFileBatch
	files    []string
	entries  []entry
	killedAt []int
	// lastLife are the entries since the running managers were started.
	lastLife    []entry
	untriggered []string
	batches     []emulator.Batch
	attached    []emulator.AttachedFile
	events      []eventsv1.Event
	// texts must not contain the API key. The keys of the map name their source.
	texts   map[string]string
	key     string
	settled error
	// adopted is the number of batches that existed before the run, without the neighbor's.
	adopted int
	// neighbor is the batch of another client, and neighborFile is true if its file is still attached.
	neighbor     emulator.Batch
	neighborFile bool
}

// gather collects the evidence of a finished run.
func (r *run) gather(ctx context.Context, faults int, settled error) (evidence, error) {
	e := evidence{
		scenario: r.scenario, faults: faults, files: r.files, key: r.key, settled: settled, untriggered: r.history.untriggered(),
		batches: r.openai.Batches(), attached: r.openai.AttachedFiles(r.store), texts: map[string]string{},
	}
	e.neighbor, _ = r.openai.Batch(r.neighbor)
	e.batches = slices.DeleteFunc(e.batches, func(b emulator.Batch) bool { return b.ID == r.neighbor })
	e.attached = slices.DeleteFunc(e.attached, func(a emulator.AttachedFile) bool {
		e.neighborFile = e.neighborFile || a.ID == neighborFiles[0]
		unprocessed := a.Status != string(upstream.Completed) && a.Status != string(upstream.Failed)
		return slices.Contains(neighborFiles, a.ID) || r.scenario.unattached && unprocessed
	})
	if r.scenario.adopts {
		e.adopted = 1
	}
	e.entries, e.killedAt = r.history.all()
	e.lastLife = r.history.lastLife()
	var err error
	if e.texts["the metrics"], err = r.managers.scrape(ctx); err != nil && settled == nil {
		return e, err
	}
	if e.object, err = r.get(ctx); err != nil {
		return e, err
	}
	e.outcome = outcomeOf(e.object)
	var events eventsv1.EventList
	if err := r.fixture.Client.List(ctx, &events, client.InNamespace(r.namespace)); err != nil {
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
		Reason: framework.ReadyReason(b), Status: b.Status.Status, FileCounts: b.Status.FileCounts, Finalizers: b.Finalizers,
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

// validator checks one guarantee after every run.
type validator struct {
	name string
	// description is the guarantee.
	description string
	check       func(e evidence, reference outcome) error
}

var validators = []validator{
	{"outcome", "the object ends as in the reference run, or is deleted as there", checkOutcome},
	{"creates", "one batch is created; a second one only if a response was lost, with an Event about it", checkCreations},
	{"counted", "a batch that is created again is counted by the process that creates it", checkCounted},
	{"stalled", "without a fault, an object is stalled only if that is how the scenario ends", checkStalled},
	{"files", "every batch attaches every file once, and the files that no other object attaches are detached if the policy requires it", checkFiles},
	{"cancels", "every batch that should be cancelled is cancelled once; a cancel is repeated only if a fault hid its response", checkCancels},
	{"succeeded", "an object has succeeded only if the vector store holds its files", checkSucceeded},
	{"neighbor", "the batch of another client in the same vector store is neither cancelled, nor are its files detached", checkNeighbor},
	{"writes", "the number of status writes is bounded, and each write changes something", checkWrites},
	{"settled", "the run reaches a state in which nothing changes", checkSettled},
	{"secret", "no log, object, Event or metric contains the API key", checkSecret},
	{"triggered", "a request triggered the fault", checkTriggered},
}

func checkOutcome(e evidence, reference outcome) error {
	if e.scenario.batchOptional && len(e.batches) == 0 {
		reference.FileCounts, reference.Annotations = nil, nil
	}
	if e.scenario.reason == v1alpha1.ReasonDeadlineExceeded && e.outcome.Status == "" && len(e.lost()) == len(e.batches) {
		// After the deadline, no batch is created, also if there is none or its ID is lost.
		reference.Status, reference.FileCounts, reference.Annotations = "", nil, e.outcome.Annotations
	}
	if diff := cmp.Diff(reference, e.outcome); diff != "" {
		return fmt.Errorf("the outcome differs (-reference +run):\n%s", diff)
	}
	if e.outcome.Reason != e.scenario.reason {
		return fmt.Errorf("the final reason is %q, want %q", e.outcome.Reason, e.scenario.reason)
	}
	return nil
}

// lost returns the batches whose ID the manager did not receive, or could not record before it was
// killed or another manager considered it dead. Only those may be created again.
func (e evidence) lost() map[string]bool {
	lost := map[string]bool{}
	for i, created := range e.entries {
		if created.Op != "openai.create-batch" || !created.Effect {
			continue
		}
		kept := slices.IndexFunc(e.entries, func(other entry) bool {
			return other.Op == "kube.record-batch-id" && other.Effect && other.BatchID == created.BatchID
		})
		killed := slices.ContainsFunc(e.killedAt, func(at int) bool { return at > i && (kept < 0 || at <= kept) })
		overtaken := kept < 0 && e.scenario.managers > 1 && e.apiServerUnavailable()
		if !created.Delivered || killed || overtaken || e.scenario.untracked {
			lost[created.BatchID] = kept < 0
		}
	}
	return lost
}

// apiServerUnavailable reports whether the API server was unavailable, or delayed a response for
// longer than another manager waits: it may have rejected the write of an ID that no manager retries.
func (e evidence) apiServerUnavailable() bool {
	return slices.ContainsFunc(e.entries, func(other entry) bool {
		return (other.Fault == "outage" || other.Fault == "timeout") && strings.HasPrefix(other.Op, "kube.")
	})
}

// repeats returns how often a cancel may be repeated: once for each fault that hid the response or
// ended the process that remembered it. An unavailable API server is no reason.
func (e evidence) repeats() int {
	repeats := 0
	for _, one := range e.entries {
		if one.Fault != "" && (one.Op == "openai.cancel-batch" || one.Fault == "terminate" || strings.HasPrefix(one.Fault, "kill-")) {
			repeats++
		}
	}
	return repeats
}

// promise is what the project promises about creates, and what checkCreations and checkFiles check. The
// README has the same text.
//
//go:embed promise.txt
var promise string

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
	created := len(e.batches) - e.adopted
	if want := e.scenario.batches; want > 0 && e.faults == 0 && created != want {
		return fmt.Errorf("%d batches were created, want %d", created, want)
	}
	if created > allowed {
		return fmt.Errorf("%d batches were created, %d are allowed", created, allowed)
	}
	// A manager that is killed just after a create has not recorded its Event yet; the next one reports the
	// lost batch.
	want := min(created-1, max(1, created-1-len(e.killedAt)))
	if reported := e.eventCount(v1alpha1.ReasonBatchRecreated); reported < want {
		return fmt.Errorf("%d batches were created, and %d Events report lost responses, want %d", created, reported, want)
	}
	if e.object != nil && e.object.Status.BatchID != "" && lost[e.object.Status.BatchID] {
		return fmt.Errorf("the object refers to batch %s, whose ID was lost", e.object.Status.BatchID)
	}
	return nil
}

// checkStalled requires that what can pass, such as a refusal just after a change, does not stall an object:
// GitOps tools would report a failure.
func checkStalled(e evidence, reference outcome) error {
	if e.faults > 0 || e.scenario.mayStall || slices.Contains(reference.Conditions, v1alpha1.ConditionStalled+"=True") {
		return nil
	}
	for _, w := range e.entries {
		if w.Stalled {
			return fmt.Errorf("%s stalled the object", w.Failpoint)
		}
	}
	return nil
}

// eventCount returns how often Events report a reason.
func (e evidence) eventCount(reason string) int {
	count := 0
	for _, event := range e.events {
		switch {
		case event.Reason != reason:
		case event.Series != nil:
			count += int(event.Series.Count)
		default:
			count++
		}
	}
	return count
}

func checkFiles(e evidence, _ outcome) error {
	got := map[string]int{}
	for _, file := range e.attached {
		got[file.ID] += file.Attaches
	}
	want := map[string]int{}
	for _, file := range e.files {
		detached := e.scenario.spec.DeletionPolicy == v1alpha1.DeletionPolicyDetachFiles && !slices.Contains(e.scenario.spared, file)
		if n := len(e.batches); n > 0 && !detached {
			want[file] = n
		}
	}
	if e.scenario.unattached {
		// A file that was in the store already is not processed again, and one of a cancelled batch is not.
		for file, most := range want {
			if completed := e.outcome.Reason == v1alpha1.ReasonCompleted; got[file] > 0 || !completed {
				want[file] = min(most, got[file])
			}
			if want[file] == 0 {
				delete(want, file)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("number of attachments per file (-want +got):\n%s", diff)
	}
	return nil
}

// checkSucceeded requires that the store holds the files of a batch that succeeded, except for those that
// failed. It does not trust what the server reports about the batch.
func checkSucceeded(e evidence, _ outcome) error {
	if !slices.Contains(e.outcome.Conditions, v1alpha1.ConditionSucceeded+"=True") {
		return nil
	}
	for _, file := range e.files {
		held := slices.ContainsFunc(e.attached, func(a emulator.AttachedFile) bool { return a.ID == file })
		failed := slices.ContainsFunc(e.outcome.Failed, func(text string) bool { return strings.HasPrefix(text, file+" ") })
		if !held && !failed {
			return fmt.Errorf("the object has succeeded, and %s is not in the vector store", file)
		}
	}
	return nil
}

// checkNeighbor requires that nothing of another client was touched.
func checkNeighbor(e evidence, _ outcome) error {
	if e.neighbor.Cancels != 0 || e.neighbor.Status != string(upstream.InProgress) {
		return fmt.Errorf("the neighbor's batch %s is %s, and received %d cancels", e.neighbor.ID, e.neighbor.Status, e.neighbor.Cancels)
	}
	if !e.neighborFile {
		return fmt.Errorf("%s of the neighbor is not in the vector store", neighborFiles[0])
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

// writeAllowance is how many status writes a fault may cause: one that reports it, one that clears
// it, and one retry.
const writeAllowance = 3

func checkWrites(e evidence, _ outcome) error {
	writes := 0
	for _, w := range e.entries {
		if w.Op != "kube.update-status" {
			continue
		}
		writes++
		if w.Unchanged {
			return fmt.Errorf("%s changed nothing", w.Failpoint)
		}
	}
	if limit := e.scenario.statusWrites + writeAllowance*e.faults; writes > limit {
		return fmt.Errorf("the status was written %d times, %d are allowed", writes, limit)
	}
	return nil
}

func checkSettled(e evidence, _ outcome) error { return e.settled }

func checkSecret(e evidence, _ outcome) error {
	for what, text := range e.texts {
		if strings.Contains(text, e.key) {
			return fmt.Errorf("%s contains the API key", what)
		}
	}
	return nil
}

func checkTriggered(e evidence, _ outcome) error {
	if len(e.untriggered) > 0 {
		return fmt.Errorf("no request triggered %s", strings.Join(e.untriggered, ", "))
	}
	return nil
}
