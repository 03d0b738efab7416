// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// comparison compares the operator with the baseline.
type comparison struct {
	// object returns the spec of an object, whose file IDs contain the object's name.
	object func(name string) v1alpha1.VectorStoreFileBatchSpec
	rounds int
	// each is the number of objects in a round.
	each int
	// target is the wanted ratio of the operator's rate to the baseline's; 0 for none.
	target float64
}

// runner is one of the programs that a comparison measures.
type runner struct {
	name    string
	fixture *fixture
	// baseline is nil for the operator.
	baseline *baseline
	took     []time.Duration
	cpu      time.Duration
	writes   writes
	peak     int64
}

// rate returns the number of finished objects per second, over all rounds.
func (r *runner) rate(each int) float64 {
	total := time.Duration(0)
	for _, d := range r.took {
		total += d
	}
	return float64(each*len(r.took)) / total.Seconds()
}

func (b *bench) throughput(ctx context.Context) error {
	return b.comparison(ctx, comparison{object: threeFiles, rounds: b.scale.rounds, each: b.scale.short, target: 0.85})
}

func (b *bench) large(ctx context.Context) error {
	return b.comparison(ctx, comparison{object: twoThousandFiles, rounds: max(1, b.scale.rounds-1), each: b.scale.large})
}

func threeFiles(name string) v1alpha1.VectorStoreFileBatchSpec {
	return v1alpha1.VectorStoreFileBatchSpec{FileIDs: fileIDs("file-"+name, 3)}
}

func twoThousandFiles(name string) v1alpha1.VectorStoreFileBatchSpec {
	files := make([]v1alpha1.File, 0, 2000)
	for i, id := range fileIDs("file-"+name, cap(files)) {
		files = append(files, v1alpha1.File{FileID: id, Attributes: v1alpha1.Attributes{
			"customer": {Raw: json.RawMessage(fmt.Sprintf(`"customer-%04d"`, i))},
			"pages":    {Raw: json.RawMessage(strconv.Itoa(i))},
			"signed":   {Raw: json.RawMessage(strconv.FormatBool(i%2 == 0))},
		}})
	}
	return v1alpha1.VectorStoreFileBatchSpec{Files: files}
}

func fileIDs(prefix string, n int) []string {
	ids := make([]string, 0, n)
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%04d", prefix, i))
	}
	return ids
}

// comparison runs the operator, the baseline, and the baseline with calls to the OpenAI API in alternating
// rounds, so that fluctuations of the machine affect all of them. Each round lasts from the first create
// of the load generator, which is the same for all, to the finish of the last object.
func (b *bench) comparison(ctx context.Context, r comparison) error {
	runners, l, err := b.runners(ctx, r)
	if err != nil {
		return err
	}
	defer func() {
		for _, runner := range runners {
			runner.fixture.end()
		}
	}()
	for round := range r.rounds + 1 {
		for first := range runners {
			runner := runners[(first+round)%len(runners)] // each of them is first in some rounds
			each := r.each
			if round == 0 {
				each = max(1, r.each/10) // a warm-up, which does not count
			}
			if err := runner.round(ctx, r, round, each); err != nil {
				return fmt.Errorf("%s: %w", runner.name, err)
			}
		}
	}
	return b.reportComparison(r, l, runners)
}

// runners records the manager's requests for an object, and sets up all runners.
func (b *bench) runners(ctx context.Context, r comparison) ([]*runner, recording, error) {
	f, err := b.newFixture(ctx, 1)
	if err != nil {
		return nil, recording{}, err
	}
	defer f.end()
	l, err := f.record(ctx, f.object(name(0, 0), 0, r.object(name(0, 0))))
	if err != nil {
		return nil, l, fmt.Errorf("recording the manager: %w", err)
	}
	runners := []*runner{{name: "operator"}, {name: "baseline"}, {name: "baseline with calls"}}
	for i, runner := range runners {
		if runner.fixture, err = b.newFixture(ctx, 1); err != nil {
			return nil, l, err
		}
		runner.writes = writes{}
		if i == 0 {
			err = runner.fixture.startAndWait(ctx, fastPolling()...)
		} else {
			runner.baseline, err = runner.fixture.baseline(l, runner.name != "baseline")
		}
		if err != nil {
			return nil, l, err
		}
	}
	return runners, l, nil
}

// name returns the name of an object. All names have the same length.
func name(round, i int) string { return fmt.Sprintf("object-%d-%05d", round, i+1) }

// round finishes a number of objects. Round 0 does not count.
func (r *runner) round(ctx context.Context, of comparison, round, each int) error {
	done, err := r.fixture.arrivals(ctx, "completed")
	if err != nil {
		return err
	}
	defer done.stop()
	already := 0
	if round > 0 {
		already = max(1, of.each/10) + (round-1)*of.each
	}
	before, err := r.fixture.writes(ctx)
	if err != nil {
		return err
	}
	cpu := time.Duration(0)
	if r.baseline == nil {
		used, err := r.fixture.manager.usage()
		if err != nil {
			return err
		}
		cpu = used.cpu
	}
	if _, err := done.await(ctx, already); err != nil {
		return err
	}
	profiled := func() error { return nil }
	if r.baseline == nil && round > 0 {
		profiled = r.fixture.keepProfile(ctx, fmt.Sprintf("round-%d", round), profileTime)
	}
	began := time.Now()
	if err := r.work(ctx, of, round, each); err != nil {
		return err
	}
	ended, err := done.await(ctx, already+each)
	if err = errors.Join(err, profiled()); err != nil || round == 0 {
		return err
	}
	r.took = append(r.took, ended.Sub(began))
	r.fixture.logf("  round %d of the %s: %d objects in %s", round, r.name, each, seconds(ended.Sub(began)))
	return r.account(ctx, before, cpu, each)
}

// account adds the cost of a round.
func (r *runner) account(ctx context.Context, before writes, cpu time.Duration, each int) error {
	after, err := r.fixture.writesSettle(ctx)
	if err != nil {
		return err
	}
	for what, n := range after.since(before) {
		r.writes[what] += n
	}
	r.writes["POST vectorstorefilebatches"] -= each // the load generator's
	if r.baseline != nil {
		return nil
	}
	used, err := r.fixture.manager.usage()
	r.cpu += used.cpu - cpu
	r.peak = used.peak
	return err
}

// writesSettle waits until no more writes arrive, because Events are written in the background, and
// returns the writes so far.
func (b *bench) writesSettle(ctx context.Context) (last writes, err error) {
	err = poll(ctx, time.Second/2, "writes to settle", func() (bool, error) {
		now, err := b.writes(ctx)
		same := now.total() == last.total()
		last = now
		return same, err
	})
	return last, err
}

// work creates the objects, and runs the baseline on them if that is measured.
func (r *runner) work(ctx context.Context, of comparison, round, each int) error {
	create := func(ctx context.Context, created func(*v1alpha1.VectorStoreFileBatch)) error {
		return inParallel(ctx, each, creators, func(ctx context.Context, i int) error {
			object := r.fixture.object(name(round, i), 0, of.object(name(round, i)))
			if err := r.fixture.client.Create(ctx, object); err != nil {
				return fmt.Errorf("creating object %s: %w", object.Name, err)
			}
			created(object)
			return nil
		})
	}
	if r.baseline == nil {
		return create(ctx, func(*v1alpha1.VectorStoreFileBatch) {})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	objects := make(chan *v1alpha1.VectorStoreFileBatch, each)
	inProgressIDs := make(chan error, 1)
	go func() { inProgressIDs <- r.baseline.follow(ctx, each, objects) }()
	err := create(ctx, func(object *v1alpha1.VectorStoreFileBatch) { objects <- object })
	if err != nil {
		cancel()
	}
	return errors.Join(err, <-inProgressIDs)
}

func (b *bench) reportComparison(r comparison, l recording, runners []*runner) error {
	operator, baseline, withCalls := runners[0], runners[1], runners[2]
	created := r.each * r.rounds
	b.report.note("The baseline writes for each object: %s. The second baseline also makes the %d calls to the OpenAI API. The load generator creates the objects for all three, %d at a time, and that time is included in all three.", l.sizes(), l.calls(), creators)
	for _, runner := range runners {
		b.report.add(figure{what: "objects per second, " + runner.name, value: fmt.Sprintf("%.1f (rounds: %s)", runner.rate(r.each), rounds(runner.took, r.each))})
	}
	ratio := operator.rate(r.each) / baseline.rate(r.each)
	f := figure{what: "operator / baseline", value: fmt.Sprintf("%.2f", ratio)}
	if r.target > 0 {
		f.target, f.met = fmt.Sprintf("≥ %.2f", r.target), ptr.To(ratio >= r.target)
	}
	b.report.add(f)
	b.report.add(figure{what: "operator / baseline with calls", value: fmt.Sprintf("%.2f", operator.rate(r.each)/withCalls.rate(r.each))})
	b.report.add(figure{what: "writes per object, operator", value: operator.writes.each(created)})
	b.report.add(figure{what: "writes per object, baseline", value: baseline.writes.each(created)})
	same := float64(baseline.writes.total()) / float64(max(operator.writes.total(), 1))
	b.report.target("writes, baseline / operator", fmt.Sprintf("%.2f", same), "0.9 to 1.1, or the comparison is unfair", same >= 0.9 && same <= 1.1)
	b.report.add(figure{what: "CPU time of the manager per object", value: fmt.Sprintf("%.2f ms", microseconds(operator.cpu, created)/1000)})
	b.report.add(figure{what: "peak memory of the manager", value: mebibytes(operator.peak)})
	return nil
}

// rounds formats the rates of the rounds.
func rounds(took []time.Duration, each int) string {
	text := ""
	for i, d := range took {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%.1f", float64(each)/d.Seconds())
	}
	return text
}
