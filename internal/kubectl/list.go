// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

// list implements the command list.
type list struct {
	*plugin
	printFlags    *genericclioptions.PrintFlags
	allNamespaces bool
	labels        string
	fields        string
	reasons       []string
	watch         bool
	noHeaders     bool
	names         []string
}

// wide is the output format of a table with additional columns.
const wide = "wide"

const listExample = `  # List the batches in the current namespace and their progress
  kubectl vsfb list

  # List the batches in all namespaces with their vector stores and batch IDs
  kubectl vsfb list -A -o wide

  # Watch the batches with a label until Ctrl-C
  kubectl vsfb list -l team=docs --watch

  # List the batches that wait for a Secret, or whose key is rejected
  kubectl vsfb list -A --reason CredentialsNotFound,CredentialsRejected

  # Print the names of the batches in progress
  kubectl vsfb list --field-selector status.status=in_progress -o name`

func (p *plugin) newList(use string) *cobra.Command {
	l := &list{plugin: p, printFlags: genericclioptions.NewPrintFlags("").WithTypeSetter(scheme)}
	command := &cobra.Command{
		Use:   use,
		Short: "List batches and their progress",
		Long: `List batches and their progress.

The progress bar shows the completed, failed and cancelled files of a batch. REASON is the reason
and message of the condition Ready, unless the batch is in progress or completed. With --watch, a
terminal shows the batches as they change, until Ctrl-C; other outputs get a line for each change.`,
		Example:           listExample,
		ValidArgsFunction: p.completeNames(true),
		RunE: func(command *cobra.Command, args []string) error {
			l.names = args
			return l.run(command.Context())
		},
	}
	l.printFlags.AddFlags(command)
	flags := command.Flags()
	flags.BoolVarP(&l.allNamespaces, "all-namespaces", "A", false, "List the batches in all namespaces.")
	flags.StringVarP(&l.labels, "selector", "l", "", "List the batches that match this label selector, such as team=docs.")
	flags.StringVar(&l.fields, "field-selector", "", "List the batches that match this field selector, such as status.status=in_progress or spec.vectorStoreID=vs_abc123.")
	flags.StringSliceVar(&l.reasons, "reason", nil, "List the batches whose condition Ready has one of these reasons, such as FilesFailed.")
	completeFlag(command, "reason", l.completeReasons)
	flags.BoolVarP(&l.watch, "watch", "w", false, "After listing the batches, watch for changes.")
	flags.BoolVar(&l.noHeaders, "no-headers", false, "Do not print the column headers.")
	flags.Lookup("output").Usage = strings.Replace(flags.Lookup("output").Usage, "One of: (", "One of: (wide, ", 1)
	completeFlag(command, "output", fixedCompletions(append(l.printFlags.AllowedFormats(), wide)...))
	return command
}

func (l *list) run(ctx context.Context) error {
	if err := l.validate(); err != nil {
		return err
	}
	printer, err := l.printer()
	if err != nil {
		return err
	}
	client, err := l.newBatchClient()
	if err != nil {
		return err
	}
	if l.allNamespaces {
		client.namespace = metav1.NamespaceAll
	}
	found, err := client.find(ctx, l.names, metav1.ListOptions{LabelSelector: l.labels, FieldSelector: l.fields})
	if err != nil {
		return err
	}
	found.Items = slices.DeleteFunc(found.Items, func(b v1alpha1.VectorStoreFileBatch) bool { return !l.selects(&b) })
	switch {
	case l.watch:
		return l.watchBatches(ctx, client, found, printer)
	case printer != nil:
		return l.print(found, printer)
	case len(found.Items) == 0:
		_, err := fmt.Fprintln(l.Streams.ErrOut, noBatches(client.namespace))
		return err
	}
	return l.printTable(found.Items)
}

func (l *list) validate() error {
	switch {
	case l.allNamespaces && len(l.names) > 0:
		return errors.New("NAME cannot be used with --all-namespaces: set the namespace with -n")
	case len(l.names) > 0 && (l.labels != "" || l.fields != "" || len(l.reasons) > 0):
		return errors.New("NAME cannot be used with -l, --field-selector or --reason")
	case l.watch && len(l.reasons) > 0:
		return errors.New("--reason cannot be used with --watch: the reason of a batch changes")
	}
	return nil
}

// selects reports whether a batch has one of the reasons.
func (l *list) selects(b *v1alpha1.VectorStoreFileBatch) bool {
	ready := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady)
	return len(l.reasons) == 0 || ready != nil && slices.Contains(l.reasons, ready.Reason)
}

// print prints batches with a printer. Like kubectl, it prints a single named batch without a list, and names
// one by one.
func (l *list) print(found *v1alpha1.VectorStoreFileBatchList, printer printers.ResourcePrinter) error {
	if *l.printFlags.OutputFormat != "name" && len(l.names) != 1 {
		return printer.PrintObj(found, l.Streams.Out)
	}
	for i := range found.Items {
		if err := printer.PrintObj(&found.Items[i], l.Streams.Out); err != nil {
			return fmt.Errorf("printing %s: %w", found.Items[i].Name, err)
		}
	}
	return nil
}

// printer returns the printer of the output format, or nil for a table.
func (l *list) printer() (printers.ResourcePrinter, error) {
	if format := *l.printFlags.OutputFormat; format == "" || format == wide {
		return nil, nil
	}
	return l.printFlags.ToPrinter()
}

func noBatches(namespace string) string {
	if namespace == metav1.NamespaceAll {
		return "No batches found."
	}
	return fmt.Sprintf("No batches found in namespace %s.", namespace)
}

func (l *list) printTable(items []v1alpha1.VectorStoreFileBatch) error {
	slices.SortStableFunc(items, byName)
	t, screen := l.newTable()
	width := 0
	if screen != nil {
		width, _ = terminal.Size(screen)
		t.barWidth = barWidth(width)
	}
	for _, line := range l.lines(t, items) {
		if screen != nil {
			line = terminal.Truncate(line, width)
		}
		if _, err := io.WriteString(l.Streams.Out, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

func (l *list) lines(t table, items []v1alpha1.VectorStoreFileBatch) []string {
	var rows [][]string
	if !l.noHeaders {
		rows = append(rows, t.header())
	}
	now := time.Now()
	for i := range items {
		rows = append(rows, t.row(&items[i], now))
	}
	lines := align(rows)
	if !l.noHeaders {
		lines[0] = t.paint(terminal.Bold, lines[0])
	}
	return lines
}
