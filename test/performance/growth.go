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
	"github.com/vector-store-operator/vector-store-operator/test/framework"
)

// growthTolerance is the accepted ratio between the cost at the largest number of objects and that at
// the smallest.
const growthTolerance = 1.25

// cost is the CPU time of a poll and of a reconciliation at a number of objects, in microseconds.
type cost struct {
	objects         int
	poll, reconcile float64
	rate            float64
}

func (c cost) String() string {
	return fmt.Sprintf("%.0f µs per poll, %.0f µs per reconciliation, %.0f polls per second", c.poll, c.reconcile, c.rate)
}

// growth measures whether the work for one object grows with the number of all objects. All objects
// exist from the beginning, and a label selector limits those that the manager processes, so that the
// other work of the machine and of the API server is the same for every number.
func (b *bench) growth(ctx context.Context) error {
	s, err := b.newFixture(ctx, loadStores)
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
			b.logf("  round %d: %s", round+1, c)
			if round == 0 || c.poll < costs[i].poll {
				costs[i] = c
			}
		}
	}
	for _, c := range costs {
		b.report.add(figure{what: thousands(c.objects) + " objects", value: c.String()})
	}
	first, last := costs[0], costs[len(costs)-1]
	var objects, polls, reconciles []float64
	for _, c := range costs {
		objects, polls, reconciles = append(objects, float64(c.objects)), append(polls, c.poll), append(reconciles, c.reconcile)
	}
	between := fmt.Sprintf(", %s objects / %s objects", thousands(last.objects), thousands(first.objects))
	b.report.add(growthFigure("CPU time per poll"+between, objects, polls))
	b.report.add(growthFigure("CPU time per reconciliation"+between, objects, reconciles))
	b.report.note("Each number of objects has %d rounds of %s, and the cheapest one counts, because interference only adds to a round. The exponent is the best fit for the number of objects: 0 means no growth, 1 means linear growth.", b.scale.growthRounds, b.scale.window)
	path := filepath.Join(b.folder, "growth.svg")
	if err := os.WriteFile(path, []byte(growthPlot(costs).svg()), 0o600); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	b.logf("  wrote the plot to %s", path)
	return nil
}

// growthFigure returns the growth of a cost. It has no target with few objects.
func growthFigure(what string, objects, costs []float64) figure {
	last := len(costs) - 1
	times := costs[last] / costs[0]
	f := figure{what: what, value: fmt.Sprintf("%.2f (exponent %.3f)", times, slope(objects, costs))}
	if objects[last] >= enough {
		f.target, f.met = fmt.Sprintf("≤ %.2f", growthTolerance), ptr.To(times <= growthTolerance)
	}
	return f
}

// tierLabel is the smallest tier of objects that includes an object.
const tierLabel = "bench.vector-store-operator.dev/tier"

// upToTier returns a selector for the objects of a tier and of all lower tiers.
func upToTier(tier int) string {
	tiers := make([]string, tier+1)
	for i := range tiers {
		tiers[i] = strconv.Itoa(i)
	}
	return tierLabel + " in (" + strings.Join(tiers, ",") + ")"
}

// manyInProgress creates as many objects as the largest tier has, for batches in progress. The operator
// adopts one, and the others get the same status.
func (s *fixture) manyInProgress(ctx context.Context, numbers []int) error {
	most := numbers[len(numbers)-1]
	s.logf("  creating %s batches and objects", thousands(most))
	object := func(ctx context.Context, i int) (*v1alpha1.VectorStoreFileBatch, error) {
		name := fmt.Sprintf("growth-%05d", i)
		object := s.object(name, i, v1alpha1.VectorStoreFileBatchSpec{})
		tier, _ := slices.BinarySearch(numbers, i+1)
		object.Labels = map[string]string{tierLabel: strconv.Itoa(tier)}
		var err error
		object.Spec.BatchID, err = s.openai.CreateBatch(ctx, object.Spec.VectorStoreID, stuck+name)
		return object, err
	}
	first, err := object(ctx, 0)
	if err != nil {
		return err
	}
	template, err := s.createAndWait(ctx, first, "in_progress", noPolling()...)
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

// burst is how long a manager may exceed its rate limit after its start, because the token bucket is
// full.
const burst = 2 * time.Second

// cost measures the CPU time of a poll and of a reconciliation. All n objects of a tier are always due,
// with the same rate limit at every tier.
func (s *fixture) cost(ctx context.Context, tier, n int) (cost, error) {
	flags := append(polling(100*time.Millisecond), "--watch-label-selector="+upToTier(tier))
	if err := s.startAndWait(ctx, append(flags, rateLimit(s.scale.growthRate)...)...); err != nil {
		return cost{}, err
	}
	defer s.stop()
	// The first reconciliation of each object belongs to the start.
	if err := s.manager.waitReconciled(ctx, n); err != nil {
		return cost{}, err
	}
	if err := framework.Pause(ctx, burst); err != nil {
		return cost{}, err
	}
	interval, err := s.watch(ctx, fmt.Sprintf("%d-objects", n), s.scale.window)
	if err != nil {
		return cost{}, err
	}
	polls := interval.calls.of(emulator.Retrieve)
	if polls == 0 || interval.reconciles == 0 {
		return cost{}, fmt.Errorf("%w: %d polls and %d reconciliations", errNothing, polls, interval.reconciles)
	}
	return cost{n, microseconds(interval.cpu, polls), microseconds(interval.cpu, interval.reconciles), interval.perSecond(polls)}, nil
}
