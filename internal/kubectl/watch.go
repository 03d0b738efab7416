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
	// tick is how often a terminal is drawn anew without a change, for the ages.
	tick = time.Second
	// shortest is how long it stays as it is at least, however much changes.
	shortest = 50 * time.Millisecond
)

// follow shows the batches as they change, until the context ends.
func (l *list) follow(ctx context.Context, client batches, namespace string, printer printers.ResourcePrinter) error {
	// What cannot be listed now is an error; what breaks later is tried again.
	found, err := l.find(ctx, client, namespace)
	if err != nil {
		return err
	}
	f := &follower{list: l, changes: make(chan change, 1), troubles: make(chan error, 1)}
	go f.informer(client, namespace).RunWithContext(ctx)
	if printer != nil {
		return f.lines(ctx, func(b *v1alpha1.VectorStoreFileBatch) error { return printer.PrintObj(b, l.Streams.Out) })
	}
	if out, isTerminal := terminal.Of(l.Streams.Out, l.Env("TERM")); isTerminal {
		return f.draw(ctx, out, nothing(namespace))
	}
	return f.lines(ctx, f.printer(found.Items))
}

// follower hears of changes.
type follower struct {
	*list
	changes  chan change
	troubles chan error
}

// change is a batch as it is now, or as it last was.
type change struct {
	batch *v1alpha1.VectorStoreFileBatch
	gone  bool
}

func (f *follower) informer(client batches, namespace string) cache.SharedIndexInformer {
	source := cache.NewFilteredListWatchFromClient(client.rest, resource, namespace, func(options *metav1.ListOptions) {
		options.LabelSelector, options.FieldSelector = f.labels, f.fields
	})
	informer := cache.NewSharedIndexInformer(source, &v1alpha1.VectorStoreFileBatch{}, 0, nil)
	tell := func(object any, gone bool) {
		if last, isLast := object.(cache.DeletedFinalStateUnknown); isLast {
			object = last.Obj
		}
		b, isBatch := object.(*v1alpha1.VectorStoreFileBatch)
		if !isBatch || len(f.names) > 0 && !slices.Contains(f.names, b.Name) {
			return
		}
		b = b.DeepCopy()
		b.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(v1alpha1.Kind))
		f.changes <- change{b, gone}
	}
	// Errors are of an informer that runs already.
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { tell(object, false) },
		UpdateFunc: func(_, object any) { tell(object, false) },
		DeleteFunc: func(object any) { tell(object, true) },
	})
	_ = informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		if errors.Is(err, io.EOF) {
			return // watches end now and then
		}
		select {
		case f.troubles <- err:
		default: // the one before is not shown yet
		}
	})
	return informer
}

// lines prints what changes, one after the other.
func (f *follower) lines(ctx context.Context, show func(*v1alpha1.VectorStoreFileBatch) error) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-f.troubles:
			_, _ = fmt.Fprintln(f.Streams.ErrOut, trouble(err))
		case c := <-f.changes:
			if c.gone {
				c.batch.Status.Status = "deleted"
			}
			if err := show(c.batch); err != nil {
				return err
			}
		}
	}
}

func trouble(err error) string { return fmt.Sprintf("The watch broke, and is tried again: %v", err) }

// printer gives a function that prints a line of a table, unless it would be the same as the last one
// about the batch. The columns are as wide as what is there already needs.
func (f *follower) printer(there []v1alpha1.VectorStoreFileBatch) func(*v1alpha1.VectorStoreFileBatch) error {
	t := f.table(false)
	header := t.header()
	widths := make([]int, len(header))
	for i, name := range header {
		widths[i] = len(name)
	}
	for i := range there {
		for column, cell := range t.row(&there[i], time.Now()) {
			widths[column] = max(widths[column], terminal.Width(cell))
		}
	}
	last := map[string]string{}
	begun := f.noHeaders
	return func(b *v1alpha1.VectorStoreFileBatch) error {
		cells := t.row(b, time.Now())
		key := b.Namespace + "/" + b.Name
		said := strings.Join(t.row(b, b.CreationTimestamp.Time), gap)
		if said == last[key] {
			return nil
		}
		last[key] = said
		for i, cell := range cells {
			widths[i] = max(widths[i], terminal.Width(cell))
		}
		text := line(cells, widths) + "\n"
		if !begun {
			begun, text = true, line(header, widths)+"\n"+text
		}
		_, err := io.WriteString(f.Streams.Out, text)
		return err
	}
}

// draw shows the batches on a terminal.
func (f *follower) draw(ctx context.Context, out *os.File, empty string) (err error) {
	screen, err := terminal.NewScreen(out, f.Streams.In)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screen.Close()) }()
	v := view{follower: f, empty: empty, batches: map[string]v1alpha1.VectorStoreFileBatch{}}
	resized := terminal.Resized(ctx)
	ticker := time.NewTicker(tick)
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
		case err := <-f.troubles:
			v.trouble = trouble(err)
		case c := <-f.changes:
			v.take(ctx, c)
		}
	}
}

// view is what stands on the terminal.
type view struct {
	*follower
	empty   string
	batches map[string]v1alpha1.VectorStoreFileBatch
	trouble string
}

// take takes in a change, and the others that come with it, so that a crowd of them is drawn once.
func (v *view) take(ctx context.Context, c change) {
	enough := time.NewTimer(shortest)
	defer enough.Stop()
	for {
		key := c.batch.Namespace + "/" + c.batch.Name
		v.batches[key] = *c.batch
		if c.gone {
			delete(v.batches, key)
		}
		v.trouble = ""
		select {
		case <-ctx.Done():
			return
		case <-enough.C:
			return
		case c = <-v.changes:
		}
	}
}

// lines are what fits on a terminal of that size. Where not all batches do, those that are over
// are left out first.
func (v *view) lines(width, height int) []string {
	items := make([]v1alpha1.VectorStoreFileBatch, 0, len(v.batches))
	for _, b := range v.batches {
		items = append(items, b)
	}
	room := height
	for _, reserved := range []bool{!v.noHeaders, v.trouble != ""} {
		if reserved {
			room--
		}
	}
	left := 0
	if len(items) > room {
		room = max(room-1, 0)
		slices.SortFunc(items, unfinishedFirst)
		left = len(items) - room
		items = items[:room]
	}
	slices.SortFunc(items, byName)
	t := v.table(true)
	t.barWidth = barWidth(width)
	lines := v.list.lines(t, items)
	switch {
	case left > 0:
		lines = append(lines, t.paint(terminal.Dim, fmt.Sprintf("and %d more", left)))
	case len(items) == 0:
		lines = []string{v.empty}
	}
	if v.trouble != "" {
		lines = append(lines, t.paint(terminal.Red, v.trouble))
	}
	return lines
}

func unfinishedFirst(a, b v1alpha1.VectorStoreFileBatch) int {
	if finished(&a) != finished(&b) {
		if finished(&a) {
			return 1
		}
		return -1
	}
	return byName(a, b)
}
