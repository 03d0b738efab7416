// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

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

// growth measures whether the work for one object grows with the number of the others.
func (b *bench) growth(ctx context.Context) error {
	s, err := b.newStand(ctx, crowdStores)
	if err != nil {
		return err
	}
	defer s.end()
	var costs []cost
	made := 0
	for _, n := range b.scale.growth {
		if err := s.adopt(ctx, made, n); err != nil {
			return err
		}
		made = n
		c, err := s.cost(ctx, n)
		if err != nil {
			return err
		}
		costs = append(costs, c)
		b.report.add(figure{what: thousands(n) + " objects", value: fmt.Sprintf("%.0f µs a look, %.0f µs a pass, %.0f looks a second", c.look, c.pass, c.rate)})
	}
	first, last := costs[0], costs[len(costs)-1]
	var objects, looks, passes []float64
	for _, c := range costs {
		objects, looks, passes = append(objects, float64(c.objects)), append(looks, c.look), append(passes, c.pass)
	}
	target := fmt.Sprintf("≤ %.2f", growthTolerance)
	between := fmt.Sprintf(", at %s to at %s objects", thousands(last.objects), thousands(first.objects))
	b.report.target("a look"+between, fmt.Sprintf("%.2f (exponent %.3f)", last.look/first.look, slope(objects, looks)), target, last.look/first.look <= growthTolerance)
	b.report.target("a pass"+between, fmt.Sprintf("%.2f (exponent %.3f)", last.pass/first.pass, slope(objects, passes)), target, last.pass/first.pass <= growthTolerance)
	b.report.note("The objects stand for batches that were made before, so that only looks are made. The exponent is that of the number of objects which fits best: 0 says that nothing grows, 1 that it grows as the number does.")
	path := filepath.Join(b.folder, "growth.svg")
	if err := os.WriteFile(path, []byte(growthPlot(costs).svg()), 0o600); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	b.say("  the plot is in %s", path)
	return nil
}

// adopt makes objects for batches that the bench makes itself, and waits until they have a status.
func (s *stand) adopt(ctx context.Context, from, upTo int) error {
	s.say("  making batches and objects up to %s", thousands(upTo))
	if err := s.startAndWait(ctx, still()...); err != nil {
		return err
	}
	defer s.stop()
	going, err := s.arrivals(ctx, "in_progress")
	if err != nil {
		return err
	}
	defer going.stop()
	err = inParallel(ctx, upTo-from, creators, func(ctx context.Context, i int) error {
		name := fmt.Sprintf("growth-%05d", from+i)
		object := s.object(name, i, v1alpha1.VectorStoreFileBatchSpec{})
		id, err := s.upstream.create(ctx, object.Spec.VectorStoreID, stuck+name)
		if err != nil {
			return err
		}
		object.Spec.BatchID = id
		if err := s.client.Create(ctx, object); err != nil {
			return fmt.Errorf("making object %s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = going.await(ctx, upTo)
	return err
}

// burst is for how long a manager that was started may make more requests than its budget gives a
// second, as it had not made any before.
const burst = 2 * time.Second

// cost measures what a look and a pass cost, with all objects due as soon as they may be, and
// the same budget whatever their number.
func (s *stand) cost(ctx context.Context, n int) (cost, error) {
	enough := min(n, s.scale.growth[0])
	if err := s.startLooked(ctx, enough, append(polling(100*time.Millisecond), atRate(s.scale.growthRate)...)...); err != nil {
		return cost{}, err
	}
	defer s.stop()
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
