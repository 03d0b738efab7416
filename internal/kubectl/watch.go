// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/tools/cache"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

const (
	// redrawInterval is the time between two redraws without events, which update the ages.
	redrawInterval = time.Second
	// minRedrawInterval is the minimum time between two redraws after events.
	minRedrawInterval = 50 * time.Millisecond
)

// watchBatches shows the batches and their changes until ctx is done. found is the initial list: if it
// cannot be read, the command fails, but later errors are retried.
func (l *list) watchBatches(ctx context.Context, client batchClient, found *v1alpha1.VectorStoreFileBatchList, printer printers.ResourcePrinter) error {
	w := &watcher{list: l, events: make(chan event, 1), errs: make(chan error, 1)}
	go w.newInformer(client).RunWithContext(ctx)
	if printer != nil {
		return w.printEvents(ctx, func(b *v1alpha1.VectorStoreFileBatch) error { return printer.PrintObj(b, l.Streams.Out) })
	}
	t, out := l.newTable()
	if out != nil {
		return w.drawEvents(ctx, view{list: l, table: t, empty: noBatches(client.namespace)}, out)
	}
	return w.printEvents(ctx, w.rowPrinter(t, found.Items))
}

// watcher receives the events and errors of a watch.
type watcher struct {
	*list
	events chan event
	errs   chan error
}

// event is the new state of a batch, or the last state of a deleted batch.
type event struct {
	batch   *v1alpha1.VectorStoreFileBatch
	deleted bool
}

func (w *watcher) newInformer(client batchClient) cache.SharedIndexInformer {
	source := cache.NewFilteredListWatchFromClient(client.rest, resource, client.namespace, func(options *metav1.ListOptions) {
		options.LabelSelector, options.FieldSelector = w.labels, w.fields
	})
	informer := cache.NewSharedIndexInformer(source, &v1alpha1.VectorStoreFileBatch{}, 0, nil)
	send := func(object any, deleted bool) {
		if unknown, isUnknown := object.(cache.DeletedFinalStateUnknown); isUnknown {
			object = unknown.Obj
		}
		b, isBatch := object.(*v1alpha1.VectorStoreFileBatch)
		if !isBatch || len(w.names) > 0 && !slices.Contains(w.names, b.Name) {
			return
		}
		b = b.DeepCopy()
		b.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
		w.events <- event{b, deleted}
	}
	// These methods fail only if the informer is running already.
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { send(object, false) },
		UpdateFunc: func(_, object any) { send(object, false) },
		DeleteFunc: func(object any) { send(object, true) },
	})
	_ = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		if errors.Is(err, io.EOF) {
			return // the API server closes watches regularly
		}
		select {
		case w.errs <- err:
		default: // the previous error is not shown yet
		}
	})
	return informer
}

// printEvents prints a batch for each event.
func (w *watcher) printEvents(ctx context.Context, printBatch func(*v1alpha1.VectorStoreFileBatch) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.errs:
			_, _ = fmt.Fprintln(w.Streams.ErrOut, watchError(err))
		case e := <-w.events:
			if e.deleted {
				e.batch.Status.Status = "deleted"
			}
			if err := printBatch(e.batch); err != nil {
				return err
			}
		}
	}
}

func watchError(err error) string {
	return terminal.Escape(fmt.Sprintf("Watch failed, retrying: %v", err))
}

// rowPrinter returns a function that prints a row of a table, unless only the age differs from the
// last row of the batch. The initial widths of the columns fit the existing batches.
func (w *watcher) rowPrinter(t table, existing []v1alpha1.VectorStoreFileBatch) func(*v1alpha1.VectorStoreFileBatch) error {
	header := t.header()
	widths := widen(nil, header)
	for i := range existing {
		widths = widen(widths, t.row(&existing[i], time.Now()))
	}
	last := map[string]string{}
	headerPrinted := w.noHeaders
	return func(b *v1alpha1.VectorStoreFileBatch) error {
		key := b.Namespace + "/" + b.Name
		withoutAge := strings.Join(t.row(b, b.CreationTimestamp.Time), gap)
		if withoutAge == last[key] {
			return nil
		}
		last[key] = withoutAge
		cells := t.row(b, time.Now())
		widths = widen(widths, cells)
		text := pad(cells, widths) + "\n"
		if !headerPrinted {
			headerPrinted, text = true, pad(header, widths)+"\n"+text
		}
		_, err := io.WriteString(w.Streams.Out, text)
		return err
	}
}

// drawEvents redraws a view on a terminal after events.
func (w *watcher) drawEvents(ctx context.Context, v view, out *os.File) (err error) {
	screen, err := terminal.NewScreen(out, w.Streams.In)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.Close()) }()
	v.batches = map[string]v1alpha1.VectorStoreFileBatch{}
	resized := terminal.Resized(ctx)
	ticker := time.NewTicker(redrawInterval)
	defer ticker.Stop()
	for {
		if err := screen.Draw(v.lines(screen.Size())); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case <-ticker.C:
		case err := <-w.errs:
			v.err = watchError(err)
		case e := <-w.events:
			v.update(ctx, e, w.events)
		}
	}
}

// view is the content of the terminal during a watch.
type view struct {
	*list
	table table
	// empty is the text without batches.
	empty   string
	batches map[string]v1alpha1.VectorStoreFileBatch
	err     string
}

// update applies an event and those that follow within minRedrawInterval, so that many events cause
// one redraw.
func (v *view) update(ctx context.Context, e event, events <-chan event) {
	timer := time.NewTimer(minRedrawInterval)
	defer timer.Stop()
	for {
		key := e.batch.Namespace + "/" + e.batch.Name
		v.batches[key] = *e.batch
		if e.deleted {
			delete(v.batches, key)
		}
		v.err = ""
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case e = <-events:
		}
	}
}

// lines returns the lines for the size of the terminal. If there is no room for all batches, it omits
// finished ones first.
func (v *view) lines(width, height int) []string {
	items := make([]v1alpha1.VectorStoreFileBatch, 0, len(v.batches))
	for _, b := range v.batches {
		items = append(items, b)
	}
	rows := height
	for _, reserved := range []bool{!v.noHeaders, v.err != ""} {
		if reserved {
			rows--
		}
	}
	omitted := 0
	if len(items) > rows {
		rows = max(rows-1, 0)
		slices.SortFunc(items, unfinishedFirst)
		omitted = len(items) - rows
		items = items[:rows]
	}
	slices.SortFunc(items, byName)
	v.table.barWidth = barWidth(width)
	lines := v.list.lines(v.table, items)
	switch {
	case omitted > 0:
		lines = append(lines, v.table.paint(terminal.Dim, fmt.Sprintf("and %d more", omitted)))
	case len(items) == 0:
		lines = []string{v.empty}
	}
	if v.err != "" {
		lines = append(lines, v.table.paint(terminal.Red, v.err))
	}
	return lines
}

func unfinishedFirst(a, b v1alpha1.VectorStoreFileBatch) int {
	if isFinished(&a) != isFinished(&b) {
		if isFinished(&a) {
			return 1
		}
		return -1
	}
	return byName(a, b)
}
