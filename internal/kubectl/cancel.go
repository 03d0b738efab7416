// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// CancelManager is the field manager that owns a spec.cancel which this plugin set. It must not
// begin with "kubectl": Flux takes all that such a manager has set out of an object again.
const CancelManager = "vsfb-cancel"

// lookEvery is how often a batch is read that is waited for.
const lookEvery = time.Second

// cancel is the command that cancels batches.
type cancel struct {
	*plugin
	format  *genericclioptions.PrintFlags
	labels  string
	all     bool
	wait    bool
	timeout time.Duration
	dryRun  string
}

const cancelExample = `  # Cancel a batch
  kubectl vsfb cancel handbook

  # Cancel two, and wait until they are over, for 5 minutes at most
  kubectl vsfb cancel handbook scans --wait --timeout=5m

  # Cancel all batches with a label that are not over yet
  kubectl vsfb cancel -l team=docs`

func (p *plugin) newCancel() *cobra.Command {
	c := &cancel{plugin: p, format: genericclioptions.NewPrintFlags("cancel requested").WithTypeSetter(scheme)}
	command := &cobra.Command{
		Use:   "cancel (NAME... | -l SELECTOR | --all)",
		Short: "Cancel batches",
		Long: `Cancel batches, as soon as possible. Files that are in the store by then stay there. There is no
way back: once the upstream took the cancel, unsetting the field changes nothing.

It sets spec.cancel, and nothing else, by server-side apply as a field manager of its own
("` + CancelManager + `"). So the field stays when a GitOps tool, or "kubectl apply --server-side",
applies a manifest that does not have it.

With -l and --all, batches that are over already are left alone. With --wait, the exit code is 0
once all of them are over: also those that completed before the cancel came, which the last lines
tell.`,
		Example:           cancelExample,
		ValidArgsFunction: p.completeNames(true),
		RunE: func(command *cobra.Command, names []string) error {
			return c.run(command.Context(), names)
		},
	}
	c.format.AddFlags(command)
	flags := command.Flags()
	flags.StringVarP(&c.labels, "selector", "l", "", "Cancel the batches with these labels, such as team=docs.")
	flags.BoolVar(&c.all, "all", false, "Cancel all batches of the namespace.")
	flags.BoolVar(&c.wait, "wait", false, "Wait until the batches are over.")
	flags.DurationVar(&c.timeout, "timeout", 0, "With --wait, how long to wait, such as 5m; 0 is for as long as it takes.")
	flags.StringVar(&c.dryRun, "dry-run", dryRunNone, `"client" only says what would be cancelled; "server" also has the API server check it.`)
	complete(command, "dry-run", fixed(dryRunNone, dryRunClient, dryRunServer))
	complete(command, "output", fixed(c.format.AllowedFormats()...))
	return command
}

// The values of --dry-run.
const (
	dryRunNone   = "none"
	dryRunClient = "client"
	dryRunServer = "server"
)

func checkDryRun(value string) error {
	switch value {
	case dryRunNone, dryRunClient, dryRunServer:
		return nil
	}
	return fmt.Errorf("--dry-run must be %s, %s or %s, and not %q", dryRunNone, dryRunClient, dryRunServer, value)
}

func (c *cancel) run(ctx context.Context, names []string) error {
	if err := c.check(names); err != nil {
		return err
	}
	namespace, err := c.namespace()
	if err != nil {
		return err
	}
	client, err := c.batches()
	if err != nil {
		return err
	}
	found, err := c.find(ctx, client, namespace, names)
	if err != nil {
		return err
	}
	// One that fails is no reason to let the others run on.
	var failures []error
	var cancelled []*v1alpha1.VectorStoreFileBatch
	for i := range found {
		b, err := c.cancel(ctx, client, &found[i])
		if err != nil {
			failures = append(failures, fmt.Errorf("cancelling %s: %w", found[i].Name, err))
			continue
		}
		cancelled = append(cancelled, b)
	}
	if c.wait && c.dryRun == dryRunNone {
		failures = append(failures, c.await(ctx, client, cancelled))
	}
	return errors.Join(failures...)
}

func (c *cancel) check(names []string) error {
	ways := 0
	for _, given := range []bool{len(names) > 0, c.labels != "", c.all} {
		if given {
			ways++
		}
	}
	switch {
	case ways == 0:
		return errors.New("say which batches: by NAME, with -l, or with --all")
	case ways > 1:
		return errors.New("NAME, -l and --all exclude each other")
	case c.timeout < 0:
		return errors.New("--timeout must not be negative")
	case c.timeout > 0 && !c.wait:
		return errors.New("--timeout goes with --wait")
	}
	return checkDryRun(c.dryRun)
}

func (c *cancel) find(ctx context.Context, client batches, namespace string, names []string) ([]v1alpha1.VectorStoreFileBatch, error) {
	var found []v1alpha1.VectorStoreFileBatch
	for _, name := range names {
		b, err := client.get(ctx, namespace, name)
		if err != nil {
			return nil, err
		}
		found = append(found, *b)
	}
	if len(names) > 0 {
		return found, nil
	}
	list, err := client.list(ctx, namespace, metav1.ListOptions{LabelSelector: c.labels})
	if err != nil {
		return nil, err
	}
	for _, b := range list.Items {
		if !finished(&b) {
			found = append(found, b)
		}
	}
	if over := len(list.Items) - len(found); len(found) == 0 || over > 0 {
		_, _ = fmt.Fprintf(c.Streams.ErrOut, "%d batches to cancel; %d are over already.\n", len(found), over)
	}
	return found, nil
}

// cancellation is all that is applied. The UID keeps the API server from making an object where
// there is none any more.
type cancellation struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name      string    `json:"name"`
		Namespace string    `json:"namespace"`
		UID       types.UID `json:"uid"`
	} `json:"metadata"`
	Spec struct {
		Cancel bool `json:"cancel"`
	} `json:"spec"`
}

func (c *cancel) cancel(ctx context.Context, client batches, b *v1alpha1.VectorStoreFileBatch) (*v1alpha1.VectorStoreFileBatch, error) {
	if c.dryRun != dryRunClient {
		var request cancellation
		request.APIVersion, request.Kind = v1alpha1.GroupVersion.String(), v1alpha1.Kind
		request.Metadata.Name, request.Metadata.Namespace, request.Metadata.UID = b.Name, b.Namespace, b.UID
		request.Spec.Cancel = true
		// Whoever owns a cancel that says false is overruled.
		options := metav1.PatchOptions{FieldManager: CancelManager, Force: ptr.To(true)}
		if c.dryRun == dryRunServer {
			options.DryRun = []string{metav1.DryRunAll}
		}
		applied, err := client.apply(ctx, b.Namespace, b.Name, request, options)
		if err != nil {
			return nil, err
		}
		b = applied
	}
	operation := "cancel requested"
	if finished(b) {
		operation = "is over already"
	}
	c.format.NamePrintFlags.Operation = operation
	if err := c.format.Complete("%s" + dryRunNote(c.dryRun)); err != nil {
		return nil, err
	}
	printer, err := c.format.ToPrinter()
	if err != nil {
		return nil, err
	}
	return b, printer.PrintObj(b, c.Streams.Out)
}

func dryRunNote(value string) string {
	if value == dryRunClient {
		return " (dry run)"
	}
	if value == dryRunServer {
		return " (server dry run)"
	}
	return ""
}

// await waits until all the batches are over, and says how they ended.
func (c *cancel) await(ctx context.Context, client batches, cancelled []*v1alpha1.VectorStoreFileBatch) error {
	if c.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.timeout)
		defer stop()
	}
	for _, b := range cancelled {
		err := wait.PollUntilContextCancel(ctx, lookEvery, true, func(ctx context.Context) (bool, error) {
			return c.over(ctx, client, b)
		})
		if wait.Interrupted(err) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%s is not over after %s: %s", b.Name, c.timeout, why(b))
		}
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", b.Name, err)
		}
	}
	return nil
}

// over looks at a batch, and says how it ended if it has.
func (c *cancel) over(ctx context.Context, client batches, b *v1alpha1.VectorStoreFileBatch) (bool, error) {
	now, err := client.get(ctx, b.Namespace, b.Name)
	if apierrors.IsNotFound(err) || err == nil && now.UID != b.UID {
		_, err := fmt.Fprintf(c.Streams.ErrOut, "%s was deleted\n", b.Name)
		return true, err
	}
	if err != nil {
		if ctx.Err() != nil || !passes(err) {
			return false, err
		}
		return false, nil
	}
	*b = *now
	if !finished(now) {
		return false, nil
	}
	counts := countsOf(now)
	reason := meta.FindStatusCondition(now.Status.Conditions, v1alpha1.ConditionFinished).Reason
	_, err = fmt.Fprintf(c.Streams.ErrOut, "%s is over (%s): of %d files %d completed, %d failed, %d were cancelled\n",
		now.Name, reason, counts.Total, counts.Completed, counts.Failed, counts.Cancelled)
	return true, err
}

// passes says whether an error of the API server is of the kind that goes by itself.
func passes(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // no answer at all
	}
	return apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
}
