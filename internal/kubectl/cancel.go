// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// CancelManager is the field manager with which the plugin sets spec.cancel. It must not begin with
// "kubectl", because Flux removes the fields of such managers.
const CancelManager = "vsfb-cancel"

// cancel implements the command cancel.
type cancel struct {
	*plugin
	output   outputFlags
	selector batchSelector
	wait     bool
	timeout  time.Duration
}

const cancelExample = `  # Cancel a batch
  kubectl vsfb cancel handbook

  # Cancel two batches and wait up to 5 minutes until they are finished
  kubectl vsfb cancel handbook scans --wait --timeout=5m

  # Cancel all unfinished batches with a label
  kubectl vsfb cancel -l team=docs`

func (p *plugin) newCancel() *cobra.Command {
	c := &cancel{plugin: p, output: newOutputFlags()}
	command := &cobra.Command{
		Use:   "cancel (NAME... | -l SELECTOR | --all)",
		Short: "Cancel batches",
		Long: `Cancel batches. Files that are already in the vector store stay there. A cancellation that the API
has accepted cannot be undone: unsetting the field has no effect.

The command sets only spec.cancel, by server-side apply with the field manager
"` + CancelManager + `". The field therefore remains set when a GitOps tool or
"kubectl apply --server-side" applies a manifest without it.

A finished batch is not changed. With -l and --all, finished batches are skipped. With --wait, the
exit code is 0 once all batches are finished, even if some of them completed before they were
cancelled. It is 1 if the API did not accept the cancellation of one, which may still be running.
The last lines of the output report the results.`,
		Example:           cancelExample,
		ValidArgsFunction: p.completeNames(true),
		RunE: func(command *cobra.Command, names []string) error {
			return c.run(command.Context(), names)
		},
	}
	c.output.addFlags(command, `If "client", only print the batches that would be cancelled. If "server", also have the API server validate the requests.`)
	flags := command.Flags()
	c.selector.addFlags(flags, "Cancel")
	flags.BoolVar(&c.wait, "wait", false, "Wait until the batches are finished.")
	flags.DurationVar(&c.timeout, "timeout", 0, "Maximum time to wait with --wait, such as 5m. 0 means no limit.")
	return command
}

func (c *cancel) run(ctx context.Context, names []string) error {
	if err := c.validate(names); err != nil {
		return err
	}
	client, err := c.newBatchClient()
	if err != nil {
		return err
	}
	found, err := c.selector.findUnfinished(ctx, c.plugin, client, names, "to cancel")
	if err != nil {
		return err
	}
	// An error does not prevent the cancellation of the other batches.
	var errs []error
	var cancelled []*v1alpha1.VectorStoreFileBatch
	for i := range found {
		b, err := c.cancel(ctx, client, &found[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("cancelling %s: %w", found[i].Name, err))
			continue
		}
		cancelled = append(cancelled, b)
	}
	if c.wait && c.output.dryRun == dryRunNone {
		errs = append(errs, c.waitUntilFinished(ctx, client, cancelled, c.timeout), uncancelled(cancelled))
	}
	return errors.Join(errs...)
}

func (c *cancel) validate(names []string) error {
	if err := c.selector.validate(names); err != nil {
		return err
	}
	switch {
	case c.timeout < 0:
		return errors.New("--timeout must not be negative")
	case c.timeout > 0 && !c.wait:
		return errors.New("--timeout requires --wait")
	}
	return c.output.validate()
}

func (c *cancel) cancel(ctx context.Context, client batchClient, b *v1alpha1.VectorStoreFileBatch) (*v1alpha1.VectorStoreFileBatch, error) {
	// A cancellation of a finished batch has no effect.
	if isFinished(b) {
		return b, c.output.printObject(c.Streams.Out, b, "already finished")
	}
	if c.output.dryRun != dryRunClient {
		// Force overrides a manager that sets spec.cancel to false.
		applied, err := client.applySpec(ctx, b, &configuredSpec{Cancel: ptr.To(true)}, CancelManager, c.output.serverDryRun())
		if err != nil {
			return nil, err
		}
		b = applied
	}
	operation := "cancel requested"
	if isFinished(b) {
		operation = "already finished"
	}
	return b, c.output.printObject(c.Streams.Out, b, operation)
}

// uncancelled returns an error for each batch whose cancel the API did not accept: it may still be running.
func uncancelled(batches []*v1alpha1.VectorStoreFileBatch) error {
	var errs []error
	for _, b := range batches {
		if ready := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Reason == v1alpha1.ReasonCancelFailed {
			errs = append(errs, fmt.Errorf("%s was not cancelled: %s", b.Name, ready.Message))
		}
	}
	return errors.Join(errs...)
}
