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

// race measures the operator against the yardstick.
type race struct {
	// object makes the spec of an object, whose files have the object's name in their IDs.
	object func(name string) v1alpha1.VectorStoreFileBatchSpec
	rounds int
	// each is how many objects a round has.
	each int
	// target is what part of the yardstick's rate the operator's is to be; 0 for none.
	target float64
}

// runner is one who takes part in a race.
type runner struct {
	name  string
	stand *stand
	// yardstick is nil for the operator.
	yardstick *yardstick
	took      []time.Duration
	processor time.Duration
	writes    writes
	peak      int64
}

// rate is how many objects it brought to their end a second, over all rounds.
func (r *runner) rate(each int) float64 {
	total := time.Duration(0)
	for _, d := range r.took {
		total += d
	}
	return float64(each*len(r.took)) / total.Seconds()
}

func (b *bench) throughput(ctx context.Context) error {
	return b.race(ctx, race{object: threeFiles, rounds: b.scale.rounds, each: b.scale.short, target: 0.7})
}

func (b *bench) large(ctx context.Context) error {
	return b.race(ctx, race{object: twoThousandFiles, rounds: max(1, b.scale.rounds-1), each: b.scale.large})
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

// race lets the operator, the yardstick, and the yardstick with the calls to the upstream take
// turns, so that all of them have the machine's good and bad moments. All rounds count from the
// first create of the load generator, which is the same for all, to the last object's end.
func (b *bench) race(ctx context.Context, r race) error {
	runners, l, err := b.runners(ctx, r)
	if err != nil {
		return err
	}
	defer func() {
		for _, runner := range runners {
			runner.stand.end()
		}
	}()
	for round := range r.rounds + 1 {
		for turn := range runners {
			runner := runners[(turn+round)%len(runners)] // each of them is the first nowAndThen
			each := r.each
			if round == 0 {
				each = max(1, r.each/10) // opens connections, fills caches, and counts for nothing
			}
			if err := runner.round(ctx, r, round, each); err != nil {
				return fmt.Errorf("%s: %w", runner.name, err)
			}
		}
	}
	return b.reportRace(r, l, runners)
}

// runners record what the operator does for an object, and set up all that take part.
func (b *bench) runners(ctx context.Context, r race) ([]*runner, life, error) {
	recording, err := b.newStand(ctx, 1)
	if err != nil {
		return nil, life{}, err
	}
	defer recording.end()
	l, err := recording.record(ctx, recording.object(name(0, 0), 0, r.object(name(0, 0))))
	if err != nil {
		return nil, l, fmt.Errorf("recording what the manager does: %w", err)
	}
	runners := []*runner{{name: "operator"}, {name: "yardstick"}, {name: "yardstick with calls"}}
	for i, runner := range runners {
		if runner.stand, err = b.newStand(ctx, 1); err != nil {
			return nil, l, err
		}
		runner.writes = writes{}
		if i == 0 {
			err = runner.stand.startAndWait(ctx, fast()...)
		} else {
			runner.yardstick, err = runner.stand.yardstick(l, runner.name != "yardstick")
		}
		if err != nil {
			return nil, l, err
		}
	}
	return runners, l, nil
}

// name is that of an object. All have the same length.
func name(round, i int) string { return fmt.Sprintf("object-%d-%05d", round, i+1) }

// round brings so many objects to their end. Round 0 is not counted.
func (r *runner) round(ctx context.Context, of race, round, each int) error {
	done, err := r.stand.arrivals(ctx, "completed")
	if err != nil {
		return err
	}
	defer done.stop()
	already := 0
	if round > 0 {
		already = max(1, of.each/10) + (round-1)*of.each
	}
	before, err := r.stand.writes(ctx)
	if err != nil {
		return err
	}
	processor := time.Duration(0)
	if r.yardstick == nil {
		used, err := r.stand.manager.usage()
		if err != nil {
			return err
		}
		processor = used.processor
	}
	if _, err := done.await(ctx, already); err != nil {
		return err
	}
	profiled := func() error { return nil }
	if r.yardstick == nil && round > 0 {
		profiled = r.stand.keepProfile(ctx, fmt.Sprintf("round-%d", round), profileTime)
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
	r.stand.say("  round %d of the %s: %d objects in %s", round, r.name, each, seconds(ended.Sub(began)))
	return r.account(ctx, before, processor, each)
}

// account adds up what a round has cost.
func (r *runner) account(ctx context.Context, before writes, processor time.Duration, each int) error {
	after, err := r.stand.writesSettle(ctx)
	if err != nil {
		return err
	}
	for what, n := range after.since(before) {
		r.writes[what] += n
	}
	r.writes["POST vectorstorefilebatches"] -= each // the load generator's
	if r.yardstick != nil {
		return nil
	}
	used, err := r.stand.manager.usage()
	r.processor += used.processor - processor
	r.peak = used.peak
	return err
}

// writesSettle waits until no more writes come, as Events are written in the background, and
// gives the writes so far.
func (b *bench) writesSettle(ctx context.Context) (last writes, err error) {
	err = eventuallyEvery(ctx, time.Second/2, "writes to settle", func() (bool, error) {
		now, err := b.writes(ctx)
		same := now.total() == last.total()
		last = now
		return same, err
	})
	return last, err
}

// work creates the objects, and has the yardstick follow them where that is to be measured.
func (r *runner) work(ctx context.Context, of race, round, each int) error {
	create := func(ctx context.Context, made func(*v1alpha1.VectorStoreFileBatch)) error {
		return inParallel(ctx, each, creators, func(ctx context.Context, i int) error {
			object := r.stand.object(name(round, i), 0, of.object(name(round, i)))
			if err := r.stand.client.Create(ctx, object); err != nil {
				return fmt.Errorf("making object %s: %w", object.Name, err)
			}
			made(object)
			return nil
		})
	}
	if r.yardstick == nil {
		return create(ctx, func(*v1alpha1.VectorStoreFileBatch) {})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	objects := make(chan *v1alpha1.VectorStoreFileBatch, each)
	followed := make(chan error, 1)
	go func() { followed <- r.yardstick.follow(ctx, each, objects) }()
	err := create(ctx, func(object *v1alpha1.VectorStoreFileBatch) { objects <- object })
	if err != nil {
		cancel()
	}
	return errors.Join(err, <-followed)
}

func (b *bench) reportRace(r race, l life, runners []*runner) error {
	operator, yardstick, calling := runners[0], runners[1], runners[2]
	made := r.each * r.rounds
	b.report.note("The yardstick writes for each object: %s. The second yardstick also makes the %d calls to the upstream. The load generator creates the objects, %d at a time, for all three, and the time of that is in all three.", l.sizes(), l.calls(), creators)
	for _, runner := range runners {
		b.report.add(figure{what: "objects a second, " + runner.name, value: fmt.Sprintf("%.1f (rounds: %s)", runner.rate(r.each), rounds(runner.took, r.each))})
	}
	ratio := operator.rate(r.each) / yardstick.rate(r.each)
	f := figure{what: "operator / yardstick", value: fmt.Sprintf("%.2f", ratio)}
	if r.target > 0 {
		f.target, f.met = fmt.Sprintf("≥ %.1f", r.target), ptr.To(ratio >= r.target)
	}
	b.report.add(f)
	b.report.add(figure{what: "operator / yardstick with calls", value: fmt.Sprintf("%.2f", operator.rate(r.each)/calling.rate(r.each))})
	b.report.add(figure{what: "writes an object, operator", value: operator.writes.each(made)})
	b.report.add(figure{what: "writes an object, yardstick", value: yardstick.writes.each(made)})
	same := float64(yardstick.writes.total()) / float64(max(operator.writes.total(), 1))
	b.report.target("writes, yardstick / operator", fmt.Sprintf("%.2f", same), "0.9 to 1.1, or the race is uneven", same >= 0.9 && same <= 1.1)
	b.report.add(figure{what: "the manager's processor time an object", value: fmt.Sprintf("%.2f ms", microseconds(operator.processor, made)/1000)})
	b.report.add(figure{what: "the manager's memory at its peak", value: mebibytes(operator.peak)})
	return nil
}

// rounds are the rates of the rounds.
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
