// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
)

// growthTolerance is by what part the cost at the largest number of objects may exceed that at
// the smallest, and still count as the same.
const growthTolerance = 1.25

// cost is what a look and a pass cost with so many objects, in microseconds of processor time.
type cost struct {
	objects    int
	look, pass float64
	rate       float64
}

func (c cost) String() string {
	return fmt.Sprintf("%.0f µs a look, %.0f µs a pass, %.0f looks a second", c.look, c.pass, c.rate)
}

// growth measures whether the work for one object grows with the number of the others. All
// objects are there from the beginning, and the manager sees a part of them, by a label: so what
// else the machine and the API server have to do is the same for every number.
func (b *bench) growth(ctx context.Context) error {
	s, err := b.newStand(ctx, crowdStores)
	if err != nil {
		return err
	}
	defer s.end()
	if err := s.manyInProgress(ctx, b.scale.growth); err != nil {
		return err
	}
	costs := make([]cost, len(b.scale.growth))
	for round := range b.scale.growthRounds {
		for i, n := range b.scale.growth {
			c, err := s.cost(ctx, i, n)
			if err != nil {
				return err
			}
			b.say("  round %d: %s", round+1, c)
			if round == 0 || c.look < costs[i].look {
				costs[i] = c
			}
		}
	}
	for _, c := range costs {
		b.report.add(figure{what: thousands(c.objects) + " objects", value: c.String()})
	}
	first, last := costs[0], costs[len(costs)-1]
	var objects, looks, passes []float64
	for _, c := range costs {
		objects, looks, passes = append(objects, float64(c.objects)), append(looks, c.look), append(passes, c.pass)
	}
	between := fmt.Sprintf(", at %s to at %s objects", thousands(last.objects), thousands(first.objects))
	b.report.add(grown("a look"+between, objects, looks))
	b.report.add(grown("a pass"+between, objects, passes))
	b.report.note("Each number of objects has %d turns of %s, the numbers one after the other, and the one that took the least counts, as what disturbs a turn only adds to it. The exponent is that of the number of objects which fits best: 0 says that nothing grows, 1 that it grows as the number does.", b.scale.growthRounds, b.scale.window)
	path := filepath.Join(b.folder, "growth.svg")
	if err := os.WriteFile(path, []byte(growthPlot(costs).svg()), 0o600); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	b.say("  the plot is in %s", path)
	return nil
}

// grown is by how much a cost has grown. With few objects that says little, and is not judged.
func grown(what string, objects, costs []float64) figure {
	last := len(costs) - 1
	times := costs[last] / costs[0]
	f := figure{what: what, value: fmt.Sprintf("%.2f (exponent %.3f)", times, slope(objects, costs))}
	if objects[last] >= enough {
		f.target, f.met = fmt.Sprintf("≤ %.2f", growthTolerance), ptr.To(times <= growthTolerance)
	}
	return f
}

// tierLabel says which number of objects is the first that includes an object.
const tierLabel = "bench.vector-store-operator.dev/tier"

// upToTier selects the objects of a tier and of those below.
func upToTier(tier int) string {
	tiers := make([]string, tier+1)
	for i := range tiers {
		tiers[i] = strconv.Itoa(i)
	}
	return tierLabel + " in (" + strings.Join(tiers, ",") + ")"
}

// manyInProgress makes as many objects as the last of the numbers says, for batches that are in
// progress. The operator adopts one, and the others are written like it.
func (s *stand) manyInProgress(ctx context.Context, numbers []int) error {
	most := numbers[len(numbers)-1]
	s.say("  making %s batches and objects", thousands(most))
	object := func(ctx context.Context, i int) (*v1alpha1.VectorStoreFileBatch, error) {
		name := fmt.Sprintf("growth-%05d", i)
		object := s.object(name, i, v1alpha1.VectorStoreFileBatchSpec{})
		tier, _ := slices.BinarySearch(numbers, i+1)
		object.Labels = map[string]string{tierLabel: strconv.Itoa(tier)}
		var err error
		object.Spec.BatchID, err = s.upstream.create(ctx, object.Spec.VectorStoreID, stuck+name)
		return object, err
	}
	first, err := object(ctx, 0)
	if err != nil {
		return err
	}
	template, err := s.brought(ctx, first, "in_progress", still()...)
	if err != nil {
		return err
	}
	return inParallel(ctx, most-1, workers, func(ctx context.Context, i int) error {
		next, err := object(ctx, i+1)
		if err != nil {
			return err
		}
		return s.writeLike(ctx, template, next, next.Spec.BatchID)
	})
}

// burst is for how long a manager that was started may make more requests than its budget gives a
// second, as it had not made any before.
const burst = 2 * time.Second

// cost measures what a look and a pass cost, with all n objects up to a tier due as soon as they
// may be, and the same budget whatever their number.
func (s *stand) cost(ctx context.Context, tier, n int) (cost, error) {
	flags := append(polling(100*time.Millisecond), "--watch-label-selector="+upToTier(tier))
	if err := s.startAndWait(ctx, append(flags, atRate(s.scale.growthRate)...)...); err != nil {
		return cost{}, err
	}
	defer s.stop()
	// The first pass over each object is the start's, of which there are more with more objects.
	if err := s.manager.seesAll(ctx, n); err != nil {
		return cost{}, err
	}
	if err := pause(ctx, burst); err != nil {
		return cost{}, err
	}
	spell, err := s.watch(ctx, fmt.Sprintf("%d-objects", n), s.scale.window)
	if err != nil {
		return cost{}, err
	}
	looks := spell.calls.of(emulator.Retrieve)
	if looks == 0 || spell.passes == 0 {
		return cost{}, fmt.Errorf("%w: %d looks and %d passes", errNothing, looks, spell.passes)
	}
	return cost{n, microseconds(spell.processor, looks), microseconds(spell.processor, spell.passes), spell.perSecond(looks)}, nil
}
