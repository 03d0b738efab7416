// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// lookTime bounds the look at what a run has left.
const lookTime = 20 * time.Second

// options are the suite's flags.
type options struct {
	// only says which runs are made, by their names: scenario/point/fault.
	only *regexp.Regexp
	// sample is how many of them are made, chosen by seed; 0 for all.
	sample int
	seed   uint64
	// parallel is how many go on at a time.
	parallel int
	// folder holds the logs of runs in which an oracle did not hold.
	folder string
	// keep leaves the logs of all runs.
	keep bool
	// markdown writes the table as a document has it.
	markdown bool
	mutation *mutation
	out      io.Writer
}

// planned is a run to be made.
type planned struct {
	scenario *scenario
	point    string
	fault    fault
}

func (p planned) name() string { return p.scenario.name + "/" + p.point + "/" + p.fault.name }

// result is what came of a run.
type result struct {
	planned
	// failures are the oracles that did not hold, and why; "run" stands for the run itself.
	failures map[string]string
	made     int
}

// reference is what a scenario comes to without faults.
type reference struct {
	outcome outcome
	points  []string
	result  result
}

// suite makes the runs.
type suite struct {
	options
	world *world

	mu   sync.Mutex
	done int
}

// run makes the reference runs, and then all that was planned from them.
func (s *suite) run(ctx context.Context) (report, error) {
	chosen := s.chosenScenarios()
	references := make([]reference, len(chosen))
	s.each(len(chosen), func(i int) { references[i] = s.reference(ctx, chosen[i]) })
	out := report{seed: s.seed, references: len(chosen)}
	outcomes := map[string]outcome{}
	var plan []planned
	for i, scenario := range chosen {
		out.add(references[i].result)
		outcomes[scenario.name] = references[i].outcome
		plan = append(plan, s.plan(scenario, references[i].points)...)
	}
	out.possible = len(plan)
	plan = s.choose(plan)
	if len(plan) == 0 && len(out.results) == 0 {
		return out, fmt.Errorf("no run is named %s", s.only)
	}
	results := make([]result, len(plan))
	s.each(len(plan), func(i int) {
		p := plan[i]
		if ctx.Err() == nil {
			results[i] = s.one(ctx, p, outcomes[p.scenario.name])
		}
		s.progress(len(plan))
	})
	for _, r := range results {
		if r.scenario != nil {
			out.add(r)
		}
	}
	return out, ctx.Err()
}

// chosenScenarios are those of which some run may be wanted.
func (s *suite) chosenScenarios() []*scenario {
	var chosen []*scenario
	for i := range scenarios {
		wanted := s.only == nil
		for _, point := range everyPoint() {
			for _, f := range faults {
				wanted = wanted || f.meets(point) && s.only.MatchString(planned{&scenarios[i], point, f}.name())
			}
		}
		if wanted || s.only.MatchString(scenarios[i].name+"/reference") {
			chosen = append(chosen, &scenarios[i])
		}
	}
	return chosen
}

// maxNumber bounds the numbers of points that names are looked for in.
const maxNumber = 9

// everyPoint are all points that there may be.
func everyPoint() []string {
	var points []string
	for _, op := range []string{
		"api.secret", "api.list", "api.watch", "api.intent", "api.keep", "api.forget", "api.hold", "api.release", "api.metadata", "api.status", "api.delete",
		"up.create", "up.retrieve", "up.cancel", "up.list", "up.probe", "up.detach",
	} {
		for n := range maxNumber {
			points = append(points, fmt.Sprintf("%s.%d", op, n+1))
		}
	}
	return points
}

// repeated are requests whose number depends on time; only the first ones come for sure.
var repeated = []string{"up.retrieve.1", "up.retrieve.2", "api.secret.1", "api.list.1", "api.watch.1"}

// comesByTime reports whether the number of a point depends on time, too much to be relied on.
func comesByTime(point string) bool {
	op := point[:strings.LastIndex(point, ".")]
	return (op == "up.retrieve" || slices.Contains(reads, op)) && !slices.Contains(repeated, point)
}

// plan is every fault at every point that the reference run came to.
func (s *suite) plan(of *scenario, points []string) []planned {
	var plan []planned
	for _, point := range points {
		if comesByTime(point) {
			continue
		}
		if len(of.points) > 0 && !slices.Contains(of.points, point) {
			continue
		}
		if slices.ContainsFunc(of.faults, func(i injection) bool { return i.point == point }) {
			continue
		}
		for _, f := range faults {
			p := planned{of, point, f}
			if f.meets(point) && (s.only == nil || s.only.MatchString(p.name())) {
				plan = append(plan, p)
			}
		}
	}
	return plan
}

// choose draws the sample. The order is drawn too, so that slow faults do not come together.
func (s *suite) choose(plan []planned) []planned {
	random := rand.New(rand.NewPCG(s.seed, 0)) //nolint:gosec // a sample that can be drawn again
	random.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	if s.sample > 0 {
		plan = plan[:min(s.sample, len(plan))]
	}
	return plan
}

// each does n things, so many at a time.
func (s *suite) each(n int, do func(i int)) {
	var group sync.WaitGroup
	places := make(chan struct{}, s.parallel)
	for i := range n {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			do(i)
		})
	}
	group.Wait()
}

// reference makes a scenario's run without a fault, which has to pass the oracles as well. It
// does so twice: a point that only one of them comes to is a matter of chance.
func (s *suite) reference(ctx context.Context, of *scenario) reference {
	again, r, err := s.world.perform(ctx, of, of.name+"/again", nil)
	e, r2, err2 := s.world.perform(ctx, of, of.name+"/reference", nil)
	ref := reference{outcome: e.outcome}
	for _, one := range e.entries {
		if slices.ContainsFunc(again.entries, func(other entry) bool { return other.Point == one.Point }) {
			ref.points = append(ref.points, one.Point)
		}
	}
	p := planned{scenario: of, point: "reference"}
	ref.result = s.judge(p, e, r2, again.outcome, err2)
	for name, why := range s.judge(p, again, r, again.outcome, err).failures {
		ref.result.failures[name] = why
	}
	return ref
}

// one makes a run with a fault, and another one where it met nothing.
func (s *suite) one(ctx context.Context, p planned, want outcome) result {
	injected := []injection{{p.point, p.fault}}
	e, r, err := s.world.perform(ctx, p.scenario, p.name(), injected)
	if err == nil && len(e.unmet) > 0 && e.settled == nil {
		e, r, err = s.world.perform(ctx, p.scenario, p.name(), injected)
	}
	return s.judge(p, e, r, want, err)
}

// judge asks the oracles about a run.
func (s *suite) judge(p planned, e evidence, r *run, want outcome, err error) result {
	res := result{planned: p, failures: map[string]string{}, made: len(e.batches) - e.adopted}
	if err != nil {
		res.failures["run"] = err.Error()
	} else {
		for _, o := range oracles {
			if err := o.check(e, want); err != nil {
				res.failures[o.name] = err.Error()
			}
		}
	}
	var failures []string
	for name, why := range res.failures {
		failures = append(failures, name+": "+why)
	}
	slices.Sort(failures)
	if len(failures) == 0 && !s.keep {
		err = os.RemoveAll(r.folder)
	} else {
		err = r.keep(failures)
	}
	if err != nil {
		res.failures["run"] = errors.Join(errors.New(res.failures["run"]), err).Error()
	}
	return res
}

// progress says from time to time how far it has come.
func (s *suite) progress(all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	if s.done%25 == 0 || s.done == all {
		fmt.Fprintf(s.out, "%d of %d runs\n", s.done, all) //nolint:errcheck // a word to whoever watches
	}
}
