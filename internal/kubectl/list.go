// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
)

// list is the command that shows batches.
type list struct {
	*plugin
	format        *genericclioptions.PrintFlags
	allNamespaces bool
	labels        string
	fields        string
	watch         bool
	noHeaders     bool
	names         []string
}

// wide is the output that shows more columns.
const wide = "wide"

const listExample = `  # The batches of the namespace, with their progress
  kubectl vsfb list

  # Those of all namespaces, with their stores and the upstream's IDs
  kubectl vsfb list -A -o wide

  # Those with a label, until Ctrl-C
  kubectl vsfb list -l team=docs --watch

  # Those that are running, by their names
  kubectl vsfb list --field-selector status.status=in_progress -o name`

func (p *plugin) newList(use string) *cobra.Command {
	l := &list{plugin: p, format: genericclioptions.NewPrintFlags("").WithTypeSetter(scheme)}
	command := &cobra.Command{
		Use:   use,
		Short: "Show batches with their progress, and why they wait",
		Long: `Show batches with their progress, and why they wait.

The bar shows files that are in the store, that failed, and that were cancelled, of all files of
the batch. With --watch, a terminal shows the batches as they change, until Ctrl-C; elsewhere a
line is printed for each change.`,
		Example:           listExample,
		ValidArgsFunction: p.completeNames(true),
		RunE: func(command *cobra.Command, args []string) error {
			l.names = args
			return l.run(command.Context())
		},
	}
	l.format.AddFlags(command)
	flags := command.Flags()
	flags.BoolVarP(&l.allNamespaces, "all-namespaces", "A", false, "Show the batches of all namespaces.")
	flags.StringVarP(&l.labels, "selector", "l", "", "Show batches with these labels only, such as team=docs.")
	flags.StringVar(&l.fields, "field-selector", "", "Show batches with these fields only, such as status.status=in_progress or spec.vectorStoreID=vs_abc123.")
	flags.BoolVarP(&l.watch, "watch", "w", false, "Go on showing the batches as they change.")
	flags.BoolVar(&l.noHeaders, "no-headers", false, "Leave out the line with the names of the columns.")
	flags.Lookup("output").Usage = strings.Replace(flags.Lookup("output").Usage, "One of: (", "One of: (wide, ", 1)
	complete(command, "output", fixed(append(l.format.AllowedFormats(), wide)...))
	return command
}

func (l *list) run(ctx context.Context) error {
	if l.allNamespaces && len(l.names) > 0 {
		return fmt.Errorf("a batch cannot be named together with --all-namespaces: name its namespace with -n")
	}
	namespace := ""
	if !l.allNamespaces {
		var err error
		if namespace, err = l.namespace(); err != nil {
			return err
		}
	}
	printer, err := l.printer()
	if err != nil {
		return err
	}
	client, err := l.batches()
	if err != nil {
		return err
	}
	if l.watch {
		return l.follow(ctx, client, namespace, printer)
	}
	found, err := l.find(ctx, client, namespace)
	if err != nil {
		return err
	}
	if printer != nil {
		return printer.PrintObj(l.asked(found), l.Streams.Out)
	}
	if len(found.Items) == 0 {
		_, err := fmt.Fprintln(l.Streams.ErrOut, nothing(namespace))
		return err
	}
	return l.printTable(found.Items)
}

// asked is what a printer is given: as with kubectl, a batch that was named comes without a list
// around it.
func (l *list) asked(found *v1alpha1.VectorStoreFileBatchList) runtime.Object {
	if len(l.names) == 1 {
		return &found.Items[0]
	}
	return found
}

// printer is what -o asks for; nil for the table.
func (l *list) printer() (printers.ResourcePrinter, error) {
	if format := *l.format.OutputFormat; format == "" || format == wide {
		return nil, nil
	}
	return l.format.ToPrinter()
}

func (l *list) options() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: l.labels, FieldSelector: l.fields}
}

func (l *list) find(ctx context.Context, client batches, namespace string) (*v1alpha1.VectorStoreFileBatchList, error) {
	if len(l.names) == 0 {
		return client.list(ctx, namespace, l.options())
	}
	if l.labels != "" || l.fields != "" {
		return nil, fmt.Errorf("batches are either named, or selected with -l or --field-selector")
	}
	found := &v1alpha1.VectorStoreFileBatchList{}
	for _, name := range l.names {
		b, err := client.get(ctx, namespace, name)
		if err != nil {
			return nil, err
		}
		found.Items = append(found.Items, *b)
	}
	typed(found)
	return found, nil
}

func nothing(namespace string) string {
	if namespace == "" {
		return "No batches found."
	}
	return fmt.Sprintf("No batches found in namespace %s.", namespace)
}

func (l *list) printTable(items []v1alpha1.VectorStoreFileBatch) error {
	slices.SortStableFunc(items, byName)
	out, isTerminal := terminal.Of(l.Streams.Out, l.Env("TERM"))
	t := l.table(isTerminal)
	width := 0
	if isTerminal {
		width, _ = terminal.Size(out)
		t.barWidth = barWidth(width)
	}
	for _, line := range l.lines(t, items) {
		if isTerminal {
			line = terminal.Cut(line, width)
		}
		if _, err := io.WriteString(l.Streams.Out, line+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// table is the table that fits where the output goes.
func (l *list) table(isTerminal bool) table {
	return table{
		namespaces: l.allNamespaces,
		wide:       *l.format.OutputFormat == wide,
		colours:    isTerminal && l.Env("NO_COLOR") == "",
		blocks:     isTerminal && l.utf8(),
	}
}

// barWidth is how wide a bar is on a terminal of that width.
func barWidth(width int) int {
	if width < 100 {
		return narrowBar
	}
	return wideBar
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

func byName(a, b v1alpha1.VectorStoreFileBatch) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// utf8 says whether the terminal shows more than ASCII.
func (p *plugin) utf8() bool {
	locale := strings.ToUpper(cmp.Or(p.Env("LC_ALL"), p.Env("LC_CTYPE"), p.Env("LANG")))
	return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
}
