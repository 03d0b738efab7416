// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package misoperation_test applies sequences of specs to objects, as users by mistake do: valid and
// invalid ones, generated from the schema of the CRD. The API server rejects a spec with a message that
// names the field, or the object reaches the same final state as a fresh object with the same spec.
package misoperation_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// The number of objects, and of the specs that are applied to each.
const sequences, steps = 120, 8

var (
	seed = flag.Uint64("seed", framework.CommitSeed(), "Seed of the specs; derived from the commit by default.")
	env  *framework.Env
)

func TestMain(m *testing.M) {
	os.Exit(framework.Suite{
		Options:   framework.Options{Install: []string{"crd", "policy"}, Build: []string{"manager"}},
		SkipShort: true,
	}.Run(m, &env))
}

// sequence is the sequence of specs of one object. A fresh twin gets the last one.
type sequence struct {
	author
	// accepted is the spec in effect; nil before the object exists.
	accepted map[string]any
	// cancelled means that a spec with cancel was in effect, which cannot be undone.
	cancelled bool
}

// tally counts the applied specs.
type tally struct{ accepted, rejected atomic.Int64 }

func TestSpecs_AppliedInSequence(t *testing.T) {
	t.Logf("reproduce with -seed=%d", *seed)
	spec := specSchema(t)
	// Batches make no progress until all specs are applied. The same seed yields the same batch IDs.
	options := emulator.Options{Seed: "misoperation", Settings: emulator.Settings{Pace: time.Hour}}
	f, fresh := env.NewFixture(t, options), env.NewFixture(t, options)
	all := make([]*sequence, sequences)
	for i := range all {
		g := generator{rand.New(rand.NewPCG(*seed, uint64(i)))}
		object := fmt.Sprintf("s%d", i)
		all[i] = &sequence{author: author{generator: g, schema: spec, object: object, stuck: g.chance(10)}}
		all[i].adoptable = adoptable(t, f, object)
		if twin := adoptable(t, fresh, object); twin != all[i].adoptable {
			t.Fatalf("the batches to adopt are %s and %s, want the same ID", all[i].adoptable, twin)
		}
	}
	f.CreateSecret(t, otherSecret)
	fresh.CreateSecret(t, otherSecret)
	f.StartManager(t, "m", framework.Setup{Flags: []string{"--watch-namespaces=" + fresh.Namespace, "--finalize-timeout=3s"}})

	var counts tally
	t.Run("apply", func(t *testing.T) {
		for _, s := range all {
			t.Run(s.object, func(t *testing.T) {
				t.Parallel()
				s.applyAll(t, f, &counts)
				s.createTwin(t, fresh)
			})
		}
	})
	t.Logf("%d specs accepted, %d rejected", counts.accepted.Load(), counts.rejected.Load())
	for _, fixture := range []*framework.Fixture{f, fresh} {
		fixture.Emulator.Configure(func(s *emulator.Settings) { s.Pace = 0 })
	}
	t.Run("compare", func(t *testing.T) {
		for _, s := range all {
			t.Run(s.object, func(t *testing.T) {
				t.Parallel()
				s.compare(t, f, fresh)
			})
		}
	})
	reasons := map[string]int{}
	for _, s := range all {
		reasons[s.ending(t, f).Reason]++
	}
	t.Logf("final reasons: %v", reasons)
	for _, set := range slices.Concat(f.Emulator.FileSets(), fresh.Emulator.FileSets()) {
		if len(set.BatchIDs) > 1 {
			t.Errorf("the files %[2]v have the batches %[1]v, want one", set.BatchIDs, set.FileIDs)
		}
	}
}

// adoptable creates a batch that an object may adopt.
func adoptable(t *testing.T, f *framework.Fixture, object string) string {
	t.Helper()
	id, err := f.EmulatorClient().CreateBatch(t.Context(), framework.VectorStore, "file-adopted-"+object, "file-fail-adopted-"+object)
	if err != nil {
		t.Fatalf("creating a batch to adopt: %v", err)
	}
	return id
}

// applyAll applies the specs of the sequence.
func (s *sequence) applyAll(t *testing.T, f *framework.Fixture, counts *tally) {
	t.Helper()
	for range steps {
		s.step(t, f, counts)
	}
	for s.accepted == nil {
		s.step(t, f, counts)
	}
	s.accept(t, f, s.last(s.accepted), counts)
	s.waitObserved(t, f, s.accepted)
}

func (s *sequence) step(t *testing.T, f *framework.Fixture, counts *tally) {
	t.Helper()
	spec := s.spec()
	if s.accepted != nil && s.chance(75) {
		spec = s.mutable(s.accepted)
	}
	if s.chance(45) {
		spoilt, path := s.spoilt(spec)
		names := []string{strings.Join(path, " ")}
		if s.accepted != nil { // the message may name another invalid field
			for _, changed := range append(s.changed(spec), path[0]) {
				names = append(names, changed+" is immutable")
			}
		}
		s.refuse(t, f, spoilt, names, counts)
		return
	}
	if changed := s.changed(spec); len(changed) > 0 {
		s.refuse(t, f, spec, changed, counts)
		return
	}
	s.accept(t, f, spec, counts)
}

// changed returns the immutable fields in which a spec differs from the one in effect.
func (s *sequence) changed(spec map[string]any) []string {
	var names []string
	for _, name := range immutable {
		if s.accepted != nil && !cmp.Equal(s.accepted[name], spec[name]) {
			names = append(names, name)
		}
	}
	return names
}

// apply does the same as kubectl apply --server-side --force-conflicts.
func (s *sequence) apply(t *testing.T, f *framework.Fixture, spec any) error {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VectorStoreFileBatch",
		"metadata": map[string]any{"name": s.object, "namespace": f.Namespace}, "spec": spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	return f.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(&object), client.ForceOwnership, client.FieldOwner("user"))
}

// refuse requires that the API server rejects a spec with a message that contains all words of one
// of the names.
func (s *sequence) refuse(t *testing.T, f *framework.Fixture, spec any, names []string, counts *tally) {
	t.Helper()
	err := s.apply(t, f, spec)
	if err == nil {
		t.Fatalf("%s: a spec was accepted, want an error about %q: %.2000s", s.object, names, show(spec))
	}
	named := slices.ContainsFunc(names, func(name string) bool {
		return strings.Contains(err.Error(), "spec") && !slices.ContainsFunc(strings.Fields(name), func(word string) bool {
			return !strings.Contains(err.Error(), word)
		})
	})
	if !named {
		t.Errorf("%s: the error does not name %q: %.1000s\n%.1000s", s.object, names, err, show(spec))
	}
	counts.rejected.Add(1)
}

// accept requires that the API server accepts a spec. It often waits for the operator to observe it,
// and always after a cancel, which takes effect only then.
func (s *sequence) accept(t *testing.T, f *framework.Fixture, spec map[string]any, counts *tally) {
	t.Helper()
	if err := s.apply(t, f, spec); err != nil {
		t.Fatalf("%s: a valid spec was rejected: %.2000v\n%.2000s", s.object, err, show(spec))
	}
	counts.accepted.Add(1)
	s.accepted = spec
	if spec["cancel"] == true && (s.exists() || spec["batchID"] == nil) {
		s.cancelled = true
	}
	if spec["cancel"] == true || s.chance(50) {
		s.waitObserved(t, f, spec)
	}
}

// waitObserved waits until the operator has observed a spec and completed its cancel.
func (s *sequence) waitObserved(t *testing.T, f *framework.Fixture, spec map[string]any) {
	t.Helper()
	framework.Eventually(t, s.object+" to be reconciled", func() bool {
		b := f.Get(t, s.object)
		seen := b == nil || b.Status.ObservedGeneration == b.Generation
		return seen && (b == nil || spec["cancel"] != true || !s.exists() || b.Status.CompletionTime != nil)
	})
}

// exists reports whether the OpenAI API has, or will have, a batch to cancel.
func (s *sequence) exists() bool {
	batchID := s.accepted["batchID"]
	return s.accepted["vectorStoreID"] == framework.VectorStore && (batchID == nil || batchID == s.adoptable)
}

// createTwin creates a fresh object with the final spec.
func (s *sequence) createTwin(t *testing.T, fresh *framework.Fixture) {
	t.Helper()
	spec := s.accepted
	if s.cancelled { // while its Secret existed
		spec = with(with(spec, "cancel", true), "credentialsRef", nil)
	}
	if err := s.apply(t, fresh, spec); err != nil {
		t.Fatalf("%s: its spec is rejected for a fresh object: %v", s.object, err)
	}
	s.waitObserved(t, fresh, spec)
}

// ending is the final state of an object.
type ending struct {
	Reason     string
	Conditions []string
	// FinalizerMissing means that the operator's finalizer is missing although the deletion requires
	// a call. A finalizer that an earlier deletionPolicy required does no harm.
	FinalizerMissing bool
	Status           string
	Counts           *v1alpha1.FileCounts
	Failed           []v1alpha1.FailedFile
}

// open are the reasons that are not final.
var open = []string{
	"", v1alpha1.ReasonCreating, v1alpha1.ReasonInProgress, v1alpha1.ReasonCancelling, v1alpha1.ReasonCreateOutcomeUnknown,
	v1alpha1.ReasonRateLimited, v1alpha1.ReasonUpstreamUnavailable, v1alpha1.ReasonDeleting,
}

// needsFinalizer reports whether the deletion of the object requires calls.
func needsFinalizer(b *v1alpha1.VectorStoreFileBatch) bool {
	switch b.Spec.DeletionPolicy {
	case v1alpha1.DeletionPolicyDetachFiles:
		return b.Status.BatchID != ""
	case v1alpha1.DeletionPolicyCancel:
		return b.Status.BatchID != "" && b.Status.CompletionTime == nil
	case v1alpha1.DeletionPolicyOrphan:
		return false
	}
	created := b.Spec.BatchID == ""
	return created && b.Status.BatchID != "" && b.Status.CompletionTime == nil
}

func (s *sequence) ending(t *testing.T, f *framework.Fixture) ending {
	t.Helper()
	b := f.Get(t, s.object)
	e := ending{Reason: framework.ReadyReason(b)}
	if b == nil {
		return e
	}
	e.FinalizerMissing = needsFinalizer(b) && !slices.Contains(b.Finalizers, v1alpha1.Finalizer)
	for _, c := range b.Status.Conditions {
		if c.Type == v1alpha1.ConditionSuspended && (c.Status == metav1.ConditionFalse || b.Status.CompletionTime != nil) {
			continue // it depends on whether the object was suspended before
		}
		e.Conditions = append(e.Conditions, fmt.Sprintf("%s=%s: %s", c.Type, c.Status, c.Reason))
	}
	slices.Sort(e.Conditions)
	switch e.Reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonCredentialsNotFound, v1alpha1.ReasonCancelled:
		// The progress of the batch depends on when it was stopped.
	default:
		e.Status, e.Counts, e.Failed = b.Status.Status, b.Status.FileCounts, b.Status.FailedFiles
	}
	return e
}

// compare waits until the object and its twin are in a final state, and requires that it is the same.
func (s *sequence) compare(t *testing.T, f, fresh *framework.Fixture) {
	t.Helper()
	var got, want ending
	equal := false
	t.Cleanup(func() {
		if !equal {
			t.Errorf("%s: final state (-fresh object, +this one):\n%s\nspec: %.3000s", s.object, cmp.Diff(want, got), show(s.accepted))
		}
	})
	framework.Eventually(t, s.object+" to reach the same state as a fresh object", func() bool {
		got, want = s.ending(t, f), s.ending(t, fresh)
		equal = cmp.Equal(want, got) && !got.FinalizerMissing && !slices.Contains(open, got.Reason)
		return equal
	})
}

func show(spec any) string {
	text, err := json.Marshal(spec)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
