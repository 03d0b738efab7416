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
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
)

// pollInterval is the time between two requests for a batch that a command waits for.
const pollInterval = time.Second

// waitCommand implements the command wait.
type waitCommand struct {
	*plugin
	selector batchSelector
	timeout  time.Duration
}

const waitExample = `  # Wait up to an hour until a batch is finished, and fail if it did not succeed
  kubectl vsfb wait handbook --timeout=1h

  # Wait for all batches with a label
  kubectl vsfb wait -l team=docs`

func (p *plugin) newWait() *cobra.Command {
	w := &waitCommand{plugin: p}
	command := &cobra.Command{
		Use:   "wait (NAME... | -l SELECTOR | --all)",
		Short: "Wait until batches are finished",
		Long: `Wait until batches are finished, and report their results.

The exit code is 0 if all of them succeeded, 1 if one did not or was deleted, and 2 if one is not
finished after --timeout. A batch succeeds if it is completed with at most spec.maxFailedFiles failed
files.`,
		Example:           waitExample,
		ValidArgsFunction: p.completeNames(true),
		RunE: func(command *cobra.Command, names []string) error {
			return w.run(command.Context(), names)
		},
	}
	w.selector.addFlags(command.Flags(), "Wait for")
	command.Flags().DurationVar(&w.timeout, "timeout", 0, "Maximum time to wait, such as 5m. 0 means no limit.")
	return command
}

func (w *waitCommand) run(ctx context.Context, names []string) error {
	if err := w.selector.validate(names); err != nil {
		return err
	}
	if w.timeout < 0 {
		return errors.New("--timeout must not be negative")
	}
	client, err := w.newBatchClient()
	if err != nil {
		return err
	}
	found, err := w.selector.find(ctx, client, names)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		w.notef("%s", noBatches(client.namespace))
		return nil
	}
	batches := make([]*v1alpha1.VectorStoreFileBatch, len(found))
	for i := range found {
		batches[i] = &found[i]
	}
	if err := w.waitUntilFinished(ctx, client, batches, w.timeout); err != nil {
		return err
	}
	return unsuccessful(batches)
}

// unsuccessful returns an error for the batches that did not succeed.
func unsuccessful(batches []*v1alpha1.VectorStoreFileBatch) error {
	var errs []error
	for _, b := range batches {
		switch {
		case b.UID == "":
			errs = append(errs, fmt.Errorf("%s was deleted", b.Name))
		case !meta.IsStatusConditionTrue(b.Status.Conditions, v1alpha1.ConditionSucceeded):
			errs = append(errs, fmt.Errorf("%s did not succeed: %s", b.Name, reasonOf(b)))
		}
	}
	return errors.Join(errs...)
}

// waitUntilFinished waits until the batches are finished, prints their results, and updates them. A batch
// that is deleted meanwhile has no UID then. A timeout of 0 is none.
func (p *plugin) waitUntilFinished(ctx context.Context, client batchClient, batches []*v1alpha1.VectorStoreFileBatch, timeout time.Duration) error {
	if timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, timeout)
		defer stop()
	}
	for _, b := range batches {
		noted := ""
		err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
			finished, err := p.pollFinished(ctx, client, b)
			// The batch can wait for the user, for example for a Secret.
			if reason := reasonOf(b); err == nil && !finished && len(b.Status.Conditions) > 0 && reason != noted {
				noted = reason
				p.notef("%s is waiting: %s", b.Name, stateOf(b))
			}
			return finished, err
		})
		if wait.Interrupted(err) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return &exitError{code: exitTimeout, err: fmt.Errorf("%s is not finished after %s: %s", b.Name, timeout, stateOf(b))}
		}
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", b.Name, err)
		}
	}
	return nil
}

// stateOf returns the reason and message of an unfinished batch, or its progress.
func stateOf(b *v1alpha1.VectorStoreFileBatch) string {
	if reason := reasonOf(b); reason != "" {
		return reason
	}
	counts := fileCounts(b)
	return fmt.Sprintf("%d/%d files completed, %d failed", counts.Completed, counts.Total, counts.Failed)
}

// pollFinished gets a batch, reports whether it is finished or deleted, and prints the result if so.
func (p *plugin) pollFinished(ctx context.Context, client batchClient, b *v1alpha1.VectorStoreFileBatch) (bool, error) {
	current, err := client.get(ctx, b.Name)
	if apierrors.IsNotFound(err) || err == nil && current.UID != b.UID {
		b.UID = ""
		p.notef("%s was deleted", b.Name)
		return true, nil
	}
	if err != nil {
		if ctx.Err() != nil || !isTransient(err) {
			return false, err
		}
		return false, nil
	}
	*b = *current
	if !isFinished(b) {
		return false, nil
	}
	counts := fileCounts(b)
	reason := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionFinished).Reason
	p.notef("%s finished: %s (%d/%d completed, %d failed, %d cancelled)",
		b.Name, reason, counts.Completed, counts.Total, counts.Failed, counts.Cancelled)
	return true, nil
}

// isTransient reports whether a request to the API server can be retried after the error.
func isTransient(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return true // no response
	}
	return apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
}
