// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package misoperation_test applies specs over one another as users do who do not know better:
// valid ones and spoilt ones, generated from the CRD's schema. Each is refused with a message
// that names the field, or the object ends where a fresh one with the same spec ends.
package misoperation_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/races/stage"
	seeds "github.com/vector-store-operator/vector-store-operator/test/seed"
)

// How many objects there are, and how many specs are applied to each.
const sequences, steps = 120, 8

var (
	seed   = flag.Uint64("seed", seeds.OfCommit(), "The seed of the specs; by default, one that follows from the commit.")
	shared *stage.Stage
)

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Fprintln(os.Stderr, "skipped: it runs a real process for minutes")
		return
	}
	os.Exit(stage.Main(m, &shared))
}

// sequence is what becomes of one object, and what its twin is to be made of.
type sequence struct {
	author
	// accepted is the spec that is in force; nil as long as there is no object.
	accepted map[string]any
	// cancelled says that a spec with cancel was in force, which nothing takes back.
	cancelled bool
}

// tally counts what was applied.
type tally struct{ accepted, refused atomic.Int64 }

func TestSpecsAppliedOverOneAnother(t *testing.T) {
	t.Logf("to replay: -seed=%d", *seed)
	spec := specSchema(t)
	// Batches go on until all specs are applied. With one seed, the two have the same IDs.
	options := emulator.Options{Seed: "misoperation", Settings: emulator.Settings{Pace: time.Hour}}
	n, fresh := shared.NewTenant(t, options), shared.NewTenant(t, options)
	all := make([]*sequence, sequences)
	for i := range all {
		g := generator{rand.New(rand.NewPCG(*seed, uint64(i)))}
		object := fmt.Sprintf("s%d", i)
		all[i] = &sequence{author: author{generator: g, schema: spec, object: object, stuck: g.chance(10)}}
		all[i].adoptable = adoptable(t, n, object)
		if twin := adoptable(t, fresh, object); twin != all[i].adoptable {
			t.Fatalf("the batches to be adopted are %s and %s, want the same ID", all[i].adoptable, twin)
		}
	}
	n.AddSecret(t, otherSecret)
	fresh.AddSecret(t, otherSecret)
	n.Start(t, "m", stage.Setup{Flags: []string{"--watch-namespaces=" + fresh.Namespace, "--finalize-timeout=3s"}})

	var counts tally
	t.Run("apply", func(t *testing.T) {
		for _, s := range all {
			t.Run(s.object, func(t *testing.T) {
				t.Parallel()
				s.play(t, n, &counts)
				s.makeTwin(t, fresh)
			})
		}
	})
	t.Logf("%d specs were taken, %d refused", counts.accepted.Load(), counts.refused.Load())
	for _, tenant := range []*stage.Tenant{n, fresh} {
		tenant.Emulator.Configure(func(s *emulator.Settings) { s.Pace = 0 })
	}
	t.Run("compare", func(t *testing.T) {
		for _, s := range all {
			t.Run(s.object, func(t *testing.T) {
				t.Parallel()
				s.compare(t, n, fresh)
			})
		}
	})
	reasons := map[string]int{}
	for _, s := range all {
		reasons[s.ending(t, n).Reason]++
	}
	t.Logf("the objects ended in %v", reasons)
	for _, set := range slices.Concat(n.Emulator.FileSets(), fresh.Emulator.FileSets()) {
		if len(set.BatchIDs) > 1 {
			t.Errorf("there are the batches %v of the same files %v", set.BatchIDs, set.FileIDs)
		}
	}
}

// adoptable makes a batch of an object's own that the object may adopt.
func adoptable(t *testing.T, n *stage.Tenant, object string) string {
	t.Helper()
	body := fmt.Sprintf(`{"file_ids":[%q,%q]}`, "file-adopted-"+object, "file-fail-adopted-"+object)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/vector_stores/"+stage.Store+"/file_batches", strings.NewReader(body))
	request.Header.Set("Authorization", "Bearer sk-test")
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	n.Emulator.ServeHTTP(recorder, request)
	var batch struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &batch); err != nil || batch.ID == "" {
		t.Fatalf("making a batch to adopt: HTTP %d, %v: %s", recorder.Code, err, recorder.Body)
	}
	return batch.ID
}

// play applies one spec after the other.
func (s *sequence) play(t *testing.T, n *stage.Tenant, counts *tally) {
	t.Helper()
	for range steps {
		s.step(t, n, counts)
	}
	for s.accepted == nil {
		s.step(t, n, counts)
	}
	s.accept(t, n, s.last(s.accepted), counts)
	s.waitSeen(t, n, s.accepted)
}

func (s *sequence) step(t *testing.T, n *stage.Tenant, counts *tally) {
	t.Helper()
	spec := s.spec()
	if s.accepted != nil && s.chance(75) {
		spec = s.mutable(s.accepted)
	}
	if s.chance(45) {
		spoilt, path := s.spoilt(spec)
		names := []string{strings.Join(path, " ")}
		if s.accepted != nil { // the refusal may name something else that is wrong with it
			for _, changed := range append(s.changed(spec), path[0]) {
				names = append(names, changed+" is immutable")
			}
		}
		s.refuse(t, n, spoilt, names, counts)
		return
	}
	if changed := s.changed(spec); len(changed) > 0 {
		s.refuse(t, n, spec, changed, counts)
		return
	}
	s.accept(t, n, spec, counts)
}

// changed are the immutable fields in which a spec differs from the one in force.
func (s *sequence) changed(spec map[string]any) []string {
	var names []string
	for _, name := range immutable {
		if s.accepted != nil && !cmp.Equal(s.accepted[name], spec[name]) {
			names = append(names, name)
		}
	}
	return names
}

// apply does what kubectl apply --server-side --force-conflicts does.
func (s *sequence) apply(t *testing.T, n *stage.Tenant, spec any) error {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "VectorStoreFileBatch",
		"metadata": map[string]any{"name": s.object, "namespace": n.Namespace}, "spec": spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	var object unstructured.Unstructured
	if err := object.UnmarshalJSON(text); err != nil {
		t.Fatal(err)
	}
	return n.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(&object), client.ForceOwnership, client.FieldOwner("user"))
}

// refuse demands that a spec is refused, with a message that has all the words of one of these
// texts.
func (s *sequence) refuse(t *testing.T, n *stage.Tenant, spec any, names []string, counts *tally) {
	t.Helper()
	err := s.apply(t, n, spec)
	if err == nil {
		t.Fatalf("%s: a spec was taken, in spite of %q: %.2000s", s.object, names, show(spec))
	}
	named := slices.ContainsFunc(names, func(name string) bool {
		return strings.Contains(err.Error(), "spec") && !slices.ContainsFunc(strings.Fields(name), func(word string) bool {
			return !strings.Contains(err.Error(), word)
		})
	})
	if !named {
		t.Errorf("%s: the refusal does not name %q: %.1000s\n%.1000s", s.object, names, err, show(spec))
	}
	counts.refused.Add(1)
}

// accept demands that a spec is taken. Often it waits until it has been seen, and always after a
// cancel, which is over once it is seen.
func (s *sequence) accept(t *testing.T, n *stage.Tenant, spec map[string]any, counts *tally) {
	t.Helper()
	if err := s.apply(t, n, spec); err != nil {
		t.Fatalf("%s: a valid spec was refused: %.2000v\n%.2000s", s.object, err, show(spec))
	}
	counts.accepted.Add(1)
	s.accepted = spec
	if spec["cancel"] == true && (s.exists() || spec["batchID"] == nil) {
		s.cancelled = true
	}
	if spec["cancel"] == true || s.chance(50) {
		s.waitSeen(t, n, spec)
	}
}

// waitSeen waits until the operator has seen a spec, and carried out its cancel.
func (s *sequence) waitSeen(t *testing.T, n *stage.Tenant, spec map[string]any) {
	t.Helper()
	stage.Eventually(t, s.object+" to be looked at", func() bool {
		b := n.Read(t, s.object)
		seen := b == nil || b.Status.ObservedGeneration == b.Generation
		return seen && (b == nil || spec["cancel"] != true || !s.exists() || b.Status.FinishedAt != nil)
	})
}

// exists reports whether there is something to cancel upstream, or will be.
func (s *sequence) exists() bool {
	batchID := s.accepted["batchID"]
	return s.accepted["vectorStoreID"] == stage.Store && (batchID == nil || batchID == s.adoptable)
}

// makeTwin makes a fresh object with the spec in which the other one is to end.
func (s *sequence) makeTwin(t *testing.T, fresh *stage.Tenant) {
	t.Helper()
	spec := s.accepted
	if s.cancelled { // when its Secret was there
		spec = with(with(spec, "cancel", true), "credentialsRef", nil)
	}
	if err := s.apply(t, fresh, spec); err != nil {
		t.Fatalf("%s: its spec is refused for a fresh object: %v", s.object, err)
	}
	s.waitSeen(t, fresh, spec)
}

// ending is where an object ends.
type ending struct {
	Reason     string
	Conditions []string
	// Unheld says that the operator's finalizer is missing, though deleting the object has
	// something to do upstream. Where it has not, one from an earlier deletionPolicy does no harm.
	Unheld bool
	Status string
	Counts *v1alpha1.FileCounts
	Failed []v1alpha1.FailedFile
}

// open are the reasons in which nothing has ended.
var open = []string{
	"", v1alpha1.ReasonCreating, v1alpha1.ReasonInProgress, v1alpha1.ReasonCancelling, v1alpha1.ReasonCreateOutcomeUnknown,
	v1alpha1.ReasonRateLimited, v1alpha1.ReasonUpstreamUnavailable, v1alpha1.ReasonDeleting,
}

// needsFinalizer reports whether there is something left to do upstream when the object is deleted.
func needsFinalizer(b *v1alpha1.VectorStoreFileBatch) bool {
	switch b.Spec.DeletionPolicy {
	case v1alpha1.DeletionPolicyDetachFiles:
		return b.Status.BatchID != ""
	case v1alpha1.DeletionPolicyCancel:
		return b.Status.BatchID != "" && b.Status.FinishedAt == nil
	case v1alpha1.DeletionPolicyOrphan:
		return false
	}
	created := b.Spec.BatchID == ""
	return created && b.Status.BatchID != "" && b.Status.FinishedAt == nil
}

func (s *sequence) ending(t *testing.T, n *stage.Tenant) ending {
	t.Helper()
	b := n.Read(t, s.object)
	e := ending{Reason: stage.Reason(b)}
	if b == nil {
		return e
	}
	e.Unheld = needsFinalizer(b) && !slices.Contains(b.Finalizers, v1alpha1.Finalizer)
	for _, c := range b.Status.Conditions {
		e.Conditions = append(e.Conditions, fmt.Sprintf("%s=%s: %s", c.Type, c.Status, c.Reason))
	}
	slices.Sort(e.Conditions)
	switch e.Reason {
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonCredentialsNotFound, v1alpha1.ReasonCancelled:
		// How far the batch got, if there is one, depends on when it was stopped.
	default:
		e.Status, e.Counts, e.Failed = b.Status.Status, b.Status.FileCounts, b.Status.FailedFiles
	}
	return e
}

// compare waits until the object and its twin have ended, and demands that they have in the same
// state.
func (s *sequence) compare(t *testing.T, n, fresh *stage.Tenant) {
	t.Helper()
	var got, want ending
	equal := false
	t.Cleanup(func() {
		if !equal {
			t.Errorf("%s: where it ended (-fresh object, +this one):\n%s\nspec: %.3000s", s.object, cmp.Diff(want, got), show(s.accepted))
		}
	})
	stage.Eventually(t, s.object+" to end where a fresh object ends", func() bool {
		got, want = s.ending(t, n), s.ending(t, fresh)
		equal = cmp.Equal(want, got) && !got.Unheld && !slices.Contains(open, got.Reason)
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
