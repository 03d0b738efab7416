// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vector-store-operator/vector-store-operator/internal/emulator"
	"github.com/vector-store-operator/vector-store-operator/test/framework"
	"github.com/vector-store-operator/vector-store-operator/test/framework/proxy"
)

const (
	// timeout bounds the wait for a state.
	timeout = 10 * time.Minute
	// idle is how long a program has no object before its memory is read.
	idle = 10 * time.Second
	// inProgress is how long the batches stay in progress after the last of them exists. Both programs
	// poll each batch in that time.
	inProgress = 65 * time.Second
	// settled is the time for the writes that follow the completion.
	settled = 5 * time.Second
	// observed is how long the completed objects are watched: longer than the interval in which
	// provider-http polls.
	observed = 65 * time.Second
	// recovery is how long the object of a lost response is watched after the restart.
	recovery = 100 * time.Second
)

// figures are what is measured of one tool.
type figures struct {
	tool
	idleMemory, peakMemory int64
	// calls and writes are those from the creation of the objects until all show the completion, and
	// callsAfter and writesAfter those in the time observed after it.
	calls, writes, callsAfter, writesAfter int
	// batches is the number of batches of all objects.
	batches int
	// inProgress, atEnd and afterLoss are the conditions of an object.
	inProgress, atEnd, afterLoss string
	// batchesAfterLoss is the number of batches after the response to the create was lost.
	batchesAfterLoss int
}

// measure measures a tool, twice from an empty cluster: with many objects, and with one whose create
// gets no response.
func measure(ctx context.Context, t tool, objects int, progress io.Writer) (figures, error) {
	f := figures{tool: t}
	for _, step := range []struct {
		name string
		run  func(ctx context.Context, w *world, f *figures) error
	}{
		{"many objects", func(ctx context.Context, w *world, f *figures) error { return w.load(ctx, objects, f) }},
		{"a lost response", func(ctx context.Context, w *world, f *figures) error { return w.loseResponse(ctx, f) }},
	} {
		_, _ = fmt.Fprintf(progress, "%s: %s\n", t.name, step.name)
		if err := inWorld(ctx, t, func(w *world) error { return step.run(ctx, w, &f) }); err != nil {
			return f, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return f, nil
}

// world is a cluster and an emulator for one tool.
type world struct {
	tool
	env     *framework.Env
	openai  *emulator.Server
	url     string
	process *framework.Process
}

// inWorld sets up a world, calls a function, and tears the world down.
func inWorld(ctx context.Context, t tool, do func(w *world) error) (err error) {
	w := &world{tool: t, openai: emulator.New(emulator.Options{VectorStores: []string{store}, Settings: emulator.Settings{Parallel: filesPerBatch}})}
	if w.env, err = framework.Start(ctx, framework.Options{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.env.Stop()) }()
	openai, err := proxy.Serve(w.openai)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, openai.Close()) }()
	w.url = openai.URL + "/v1"
	if err := errors.Join(t.install(ctx, w.env, w.url), w.env.Client.Create(ctx, secret(w.url))); err != nil {
		return fmt.Errorf("installing: %w", err)
	}
	defer func() { w.process.Kill() }()
	return do(w)
}

// start starts the tool, and waits until it reconciles.
func (w *world) start(ctx context.Context) error {
	args, env, err := w.command(w.env.Kubeconfig)
	if err != nil {
		return err
	}
	w.process, err = framework.Run(framework.Command{Name: w.name, Path: w.program, Args: args, Env: env, Log: filepath.Join(w.env.Dir, "tool.log")})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return w.process.WaitForOutput(ctx, framework.Working)
}

// load measures many objects.
func (w *world) load(ctx context.Context, objects int, f *figures) error {
	w.openai.Configure(func(s *emulator.Settings) { s.Pace = time.Hour })
	if err := errors.Join(w.start(ctx), framework.Pause(ctx, idle)); err != nil {
		return err
	}
	var err error
	if f.idleMemory, err = w.peakMemory(); err != nil {
		return err
	}
	writes, err := w.writes(ctx)
	if err != nil {
		return err
	}
	calls := w.calls()
	for i := range objects {
		if err := w.create(ctx, i); err != nil {
			return err
		}
	}
	if err := errors.Join(w.waitForAll(ctx, objects, "the batches to exist", w.knows), framework.Pause(ctx, inProgress)); err != nil {
		return err
	}
	if f.peakMemory, err = w.peakMemory(); err != nil {
		return err
	}
	if f.inProgress, err = w.conditions(ctx); err != nil {
		return err
	}
	w.openai.Configure(func(s *emulator.Settings) { s.Pace = 0 })
	if err := errors.Join(w.waitForAll(ctx, objects, "the objects to show the completion", w.completed), framework.Pause(ctx, settled)); err != nil {
		return err
	}
	now, err := w.writes(ctx)
	if err != nil {
		return err
	}
	// The creation of the objects counts as well.
	f.writes, f.calls, f.batches = now-writes-objects, w.calls()-calls, len(w.openai.Batches())
	if f.atEnd, err = w.conditions(ctx); err != nil {
		return err
	}
	if err := framework.Pause(ctx, observed); err != nil {
		return err
	}
	end, err := w.writes(ctx)
	f.writesAfter, f.callsAfter = end-now, w.calls()-calls-f.calls
	return errors.Join(err, w.process.Err())
}

// loseResponse kills the tool after its create took effect and before it has the response, and starts
// it again.
func (w *world) loseResponse(ctx context.Context, f *figures) error {
	dead := make(chan struct{})
	w.openai.AddFault(emulator.Fault{Operation: emulator.Create, AfterEffect: true, Until: dead, Times: 1})
	err := errors.Join(w.start(ctx), w.create(ctx, 0))
	if err == nil {
		err = w.poll(ctx, "the create", func() (bool, error) { return len(w.openai.Batches()) > 0, w.process.Err() })
	}
	w.process.Kill()
	close(dead)
	if err != nil {
		return err
	}
	if err := errors.Join(w.start(ctx), framework.Pause(ctx, recovery)); err != nil {
		return err
	}
	f.batchesAfterLoss = len(w.openai.Batches())
	if f.afterLoss, err = w.conditions(ctx); err != nil {
		return err
	}
	return w.process.Err()
}

func objectName(i int) string { return fmt.Sprintf("batch-%03d", i) }

// create creates an object.
func (w *world) create(ctx context.Context, i int) error {
	var files []any
	for n := range filesPerBatch {
		files = append(files, framework.File(objectName(i), n))
	}
	if err := w.env.Client.Create(ctx, newObject(w.kind, objectName(i), w.spec(w.url, files))); err != nil {
		return fmt.Errorf("creating an object: %w", err)
	}
	return nil
}

// conditions returns the conditions of the first object.
func (w *world) conditions(ctx context.Context) (string, error) {
	o := newObject(w.kind, objectName(0), nil)
	if err := w.env.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return "", fmt.Errorf("reading an object: %w", err)
	}
	return conditions(o), nil
}

// waitForAll waits until a number of objects match.
func (w *world) waitForAll(ctx context.Context, objects int, what string, matches func(o *unstructured.Unstructured) bool) error {
	return w.poll(ctx, what, func() (bool, error) {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(w.kind)
		if err := errors.Join(w.process.Err(), w.env.Client.List(ctx, &list)); err != nil {
			return false, err
		}
		found := 0
		for i := range list.Items {
			if matches(&list.Items[i]) {
				found++
			}
		}
		return found == objects, nil
	})
}

func (w *world) poll(ctx context.Context, what string, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return framework.PollEvery(ctx, time.Second, what, condition)
}

// calls returns the number of calls to the OpenAI API so far.
func (w *world) calls() (n int) {
	for _, byStatus := range w.openai.CallCounts() {
		for _, count := range byStatus {
			n += count
		}
	}
	return n
}

// writes returns the number of requests so far that write objects of the tool's API group, or Events.
func (w *world) writes(ctx context.Context) (n int, err error) {
	code, text, err := framework.Fetch(ctx, w.env.HTTPClient, strings.TrimSuffix(w.env.Config.Host, "/")+"/metrics", "")
	if err != nil {
		return 0, fmt.Errorf("reading the metrics of the API server: %w", err)
	}
	if code != http.StatusOK {
		return 0, fmt.Errorf("reading the metrics of the API server: HTTP %d", code)
	}
	for line := range strings.Lines(text) {
		labels, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		ours := strings.Contains(labels, `group="`+w.kind.Group+`"`) || strings.Contains(labels, `resource="events"`)
		if !strings.HasPrefix(labels, "apiserver_request_total{") || !ours || !writeVerb.MatchString(labels) {
			continue
		}
		count, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("reading apiserver_request_total: %w", err)
		}
		n += int(count)
	}
	return n, nil
}

var writeVerb = regexp.MustCompile(`verb="(POST|PUT|PATCH|APPLY|DELETE)"`)

// peakMemory returns the peak resident memory of the tool so far, in bytes.
func (w *world) peakMemory() (int64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(w.process.ID()), "status"))
	if err != nil {
		return 0, fmt.Errorf("reading the memory, which requires Linux: %w", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading VmHWM: %w", err)
	}
	return kib << 10, nil
}
