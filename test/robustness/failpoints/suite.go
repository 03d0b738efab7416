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

// gatherTimeout bounds the collection of the evidence.
const gatherTimeout = 20 * time.Second

// options are the suite's flags.
type options struct {
	// only selects the runs by their names: scenario/failpoint/fault.
	only *regexp.Regexp
	// sample is the number of runs, chosen by seed; 0 for all.
	sample int
	seed   uint64
	// parallel is the number of concurrent runs.
	parallel int
	// folder holds the logs of failed runs.
	folder string
	// keep retains the logs of all runs.
	keep bool
	// markdown writes the table as Markdown.
	markdown bool
	mutation *mutation
	out      io.Writer
}

// testCase is a run to execute.
type testCase struct {
	scenario  *scenario
	failpoint string
	fault     fault
}

func (p testCase) name() string { return p.scenario.name + "/" + p.failpoint + "/" + p.fault.name }

// result is the result of a run.
type result struct {
	testCase
	// failures are the errors by validator; "run" is the run itself.
	failures map[string]string
	created  int
}

// reference is the result of a scenario without faults.
type reference struct {
	outcome    outcome
	failpoints []string
	result     result
}

// suite executes the runs.
type suite struct {
	options
	fixture *fixture

	mu   sync.Mutex
	done int
}

// run executes the reference runs, and then the cases that it plans from them.
func (s *suite) run(ctx context.Context) (report, error) {
	chosen := s.chosenScenarios()
	references := make([]reference, len(chosen))
	forEach(len(chosen), (s.parallel+1)/2, func(i int) { references[i] = s.reference(ctx, chosen[i]) })
	out := report{seed: s.seed, references: len(chosen)}
	outcomes := map[string]outcome{}
	var plan []testCase
	for i, scenario := range chosen {
		out.add(references[i].result)
		outcomes[scenario.name] = references[i].outcome
		plan = append(plan, s.plan(scenario, references[i].failpoints)...)
	}
	out.possible = len(plan)
	plan = s.choose(plan)
	if len(plan) == 0 && len(out.results) == 0 {
		return out, fmt.Errorf("no run matches %s", s.only)
	}
	results := make([]result, len(plan))
	forEach(len(plan), s.parallel, func(i int) {
		p := plan[i]
		if ctx.Err() == nil {
			results[i] = s.execute(ctx, p, outcomes[p.scenario.name])
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

// chosenScenarios returns the scenarios that have a selected run.
func (s *suite) chosenScenarios() []*scenario {
	var chosen []*scenario
	for i := range scenarios {
		wanted := s.only == nil
		for _, failpoint := range everyFailpoint() {
			for _, f := range faults {
				wanted = wanted || f.appliesTo(failpoint) && s.only.MatchString(testCase{&scenarios[i], failpoint, f}.name())
			}
		}
		if wanted || s.only.MatchString(scenarios[i].name+"/reference") {
			chosen = append(chosen, &scenarios[i])
		}
	}
	return chosen
}

// maxNumber bounds the numbers of the failpoints that a name is matched with.
const maxNumber = 9

// everyFailpoint returns all possible failpoints.
func everyFailpoint() []string {
	var failpoints []string
	for _, op := range []string{
		"kube.read-secret", "kube.list-objects", "kube.watch-objects", "kube.set-create-pending", "kube.record-batch-id", "kube.clear-create-pending", "kube.add-finalizer", "kube.remove-finalizer", "kube.patch-metadata", "kube.update-status", "kube.delete-object",
		"openai.create-batch", "openai.retrieve-batch", "openai.cancel-batch", "openai.list-batch-files", "openai.list-store-files", "openai.detach-file",
	} {
		for n := range maxNumber {
			failpoints = append(failpoints, fmt.Sprintf("%s.%d", op, n+1))
		}
	}
	return failpoints
}

// repeated are failpoints of operations whose number depends on timing; these always occur.
var repeated = []string{"openai.retrieve-batch.1", "openai.retrieve-batch.2", "kube.read-secret.1", "kube.list-objects.1", "kube.watch-objects.1"}

// dependsOnTiming reports whether a failpoint occurs only with some timings.
func dependsOnTiming(failpoint string) bool {
	op := failpoint[:strings.LastIndex(failpoint, ".")]
	return (op == "openai.retrieve-batch" || slices.Contains(reads, op)) && !slices.Contains(repeated, failpoint)
}

// plan returns a case for every fault at every failpoint of the reference run.
func (s *suite) plan(of *scenario, failpoints []string) []testCase {
	var plan []testCase
	for _, failpoint := range failpoints {
		if dependsOnTiming(failpoint) || of.reason == "" && failpoint == "openai.retrieve-batch.2" {
			continue // the deletion of an object can come before its second poll
		}
		if len(of.failpoints) > 0 && !slices.Contains(of.failpoints, failpoint) {
			continue
		}
		if slices.ContainsFunc(of.faults, func(i injection) bool { return i.failpoint == failpoint }) {
			continue
		}
		for _, f := range faults {
			p := testCase{of, failpoint, f}
			if f.appliesTo(failpoint) && !of.excludes(failpoint, f) && (s.only == nil || s.only.MatchString(p.name())) {
				plan = append(plan, p)
			}
		}
	}
	return plan
}

// choose draws the sample and shuffles it, so that slow faults do not cluster.
func (s *suite) choose(plan []testCase) []testCase {
	random := rand.New(rand.NewPCG(s.seed, 0)) //nolint:gosec // a reproducible sample
	random.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	if s.sample > 0 {
		plan = plan[:min(s.sample, len(plan))]
	}
	return plan
}

// forEach calls do n times, with bounded concurrency.
func forEach(n, parallel int, do func(i int)) {
	var group sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i := range n {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	group.Wait()
}

// reference executes a scenario twice at the same time without a fault, and validates both runs. It keeps only the
// failpoints of both: one that occurs in a single run depends on timing.
func (s *suite) reference(ctx context.Context, of *scenario) reference {
	var again, e evidence
	var r, r2 *run
	var err, err2 error
	var both sync.WaitGroup
	both.Go(func() { again, r, err = s.fixture.perform(ctx, of, of.name+"/again", nil) })
	both.Go(func() { e, r2, err2 = s.fixture.perform(ctx, of, of.name+"/reference", nil) })
	both.Wait()
	ref := reference{outcome: e.outcome}
	for _, one := range e.entries {
		if slices.ContainsFunc(again.entries, func(other entry) bool { return other.Failpoint == one.Failpoint }) {
			ref.failpoints = append(ref.failpoints, one.Failpoint)
		}
	}
	p := testCase{scenario: of, failpoint: "reference"}
	ref.result = s.validate(p, e, r2, again.outcome, err2)
	for name, why := range s.validate(p, again, r, again.outcome, err).failures {
		ref.result.failures[name] = why
	}
	return ref
}

// execute runs a case, and runs it again if nothing triggered the fault.
func (s *suite) execute(ctx context.Context, p testCase, want outcome) result {
	injected := []injection{{p.failpoint, p.fault}}
	e, r, err := s.fixture.perform(ctx, p.scenario, p.name(), injected)
	if err == nil && len(e.untriggered) > 0 && e.settled == nil {
		e, r, err = s.fixture.perform(ctx, p.scenario, p.name(), injected)
	}
	return s.validate(p, e, r, want, err)
}

// validate applies the validators to a run.
func (s *suite) validate(p testCase, e evidence, r *run, want outcome, err error) result {
	res := result{testCase: p, failures: map[string]string{}, created: len(e.batches) - e.adopted}
	if err != nil {
		res.failures["run"] = err.Error()
	} else {
		for _, o := range validators {
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

// progress prints the progress from time to time.
func (s *suite) progress(all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	if s.done%25 == 0 || s.done == all {
		fmt.Fprintf(s.out, "%d of %d runs\n", s.done, all) //nolint:errcheck // progress output only
	}
}
