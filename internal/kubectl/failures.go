// Copyright The vector-store-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/vector-store-operator/vector-store-operator/api/v1alpha1"
	"github.com/vector-store-operator/vector-store-operator/internal/kubectl/terminal"
	"github.com/vector-store-operator/vector-store-operator/internal/upstream"
)

const (
	// mostFiles is how many files a batch has at most.
	mostFiles = 2000
	// listTimeout bounds the reading of all pages.
	listTimeout = 5 * time.Minute
)

// failures is the command that lists failed files.
type failures struct {
	*plugin
	credentials credentials
	output      string
}

const failuresExample = `  # Which files failed, and why
  kubectl vsfb failures scans

  # How many for which reason
  kubectl vsfb failures scans -o json | jq '.failedFiles | group_by(.code) | map({(.[0].code): length}) | add'

  # With a key of one's own
  OPENAI_API_KEY=... kubectl vsfb failures scans --from-env`

func (p *plugin) newFailures() *cobra.Command {
	f := &failures{plugin: p}
	command := &cobra.Command{
		Use:   "failures NAME",
		Short: "List the files of a batch that failed, and why",
		Long: `List all files of a batch that failed, each with the upstream's code and message.

An object's status has the first 100 only, so they are asked for upstream, with the key of the
object's Secret, which is read with your own rights. Where you may not read it, or with
--from-env, it is the OPENAI_API_KEY of the environment. Where there is no key at all, the list
of the status is shown, if it is complete. What was used is said on the standard error.`,
		Example:           failuresExample,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeNames(false),
		RunE: func(command *cobra.Command, args []string) error {
			return f.run(command.Context(), args[0])
		},
	}
	command.Flags().StringVarP(&f.output, "output", "o", "table", "How to show them: table, json or yaml.")
	f.credentials.addFlags(command.Flags())
	complete(command, "output", fixed("table", "json", "yaml"))
	return command
}

// report is what is shown.
type report struct {
	Namespace     string                `json:"namespace"`
	Name          string                `json:"name"`
	VectorStoreID string                `json:"vectorStoreID"`
	BatchID       string                `json:"batchID"`
	FailedFiles   []v1alpha1.FailedFile `json:"failedFiles"`
}

func (f *failures) run(ctx context.Context, name string) error {
	if !slices.Contains([]string{"table", "json", "yaml"}, f.output) {
		return fmt.Errorf("--output must be table, json or yaml, and not %q", f.output)
	}
	namespace, err := f.namespace()
	if err != nil {
		return err
	}
	client, err := f.batches()
	if err != nil {
		return err
	}
	b, err := client.get(ctx, namespace, name)
	if err != nil {
		return err
	}
	r := report{Namespace: namespace, Name: name, VectorStoreID: b.Spec.VectorStoreID, BatchID: batchID(b), FailedFiles: []v1alpha1.FailedFile{}}
	if r.BatchID == "" {
		return fmt.Errorf("%s has no batch yet, so nothing has failed in it: %s", name, why(b))
	}
	source, err := f.read(ctx, b, &r)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(f.Streams.ErrOut, "%d failed files, read %s.\n", len(r.FailedFiles), source)
	return f.show(r)
}

func batchID(b *v1alpha1.VectorStoreFileBatch) string {
	return cmp.Or(b.Status.BatchID, b.Annotations[v1alpha1.AnnotationBatchID], b.Spec.BatchID)
}

// read fills the report, and says where from.
func (f *failures) read(ctx context.Context, b *v1alpha1.VectorStoreFileBatch, r *report) (string, error) {
	access, err := f.dial(ctx, f.credentials, b.Namespace, secretOf(b), listTimeout)
	if err != nil {
		listed := b.Status.FailedFiles
		if counts := b.Status.FileCounts; f.credentials.fromEnv || counts == nil || int(counts.Failed) != len(listed) {
			return "", err
		}
		_, _ = fmt.Fprintf(f.Streams.ErrOut, "The upstream was not asked, since %v\n", err)
		r.FailedFiles = append(r.FailedFiles, listed...)
		return "from the object's status, which has all of them as of the operator's last look", nil
	}
	defer access.client.Close()
	files, err := access.client.FailedFiles(ctx, upstream.BatchRef{VectorStoreID: r.VectorStoreID, BatchID: r.BatchID}, mostFiles)
	if err != nil {
		return "", fmt.Errorf("reading the failed files with %s: %w", access.source, err)
	}
	for _, file := range files {
		r.FailedFiles = append(r.FailedFiles, v1alpha1.FailedFile(file))
	}
	slices.SortFunc(r.FailedFiles, func(a, b v1alpha1.FailedFile) int { return strings.Compare(a.FileID, b.FileID) })
	return "upstream with " + access.source, nil
}

func secretOf(b *v1alpha1.VectorStoreFileBatch) string {
	if b.Spec.CredentialsRef == nil {
		return v1alpha1.DefaultCredentialsSecret
	}
	return cmp.Or(b.Spec.CredentialsRef.Name, v1alpha1.DefaultCredentialsSecret)
}

func (f *failures) show(r report) error {
	text, err := f.text(r)
	if err != nil {
		return fmt.Errorf("encoding the failed files: %w", err)
	}
	_, err = io.WriteString(f.Streams.Out, text)
	return err
}

func (f *failures) text(r report) (string, error) {
	switch f.output {
	case "json":
		text, err := json.MarshalIndent(r, "", "    ")
		return string(text) + "\n", err
	case "yaml":
		text, err := yaml.Marshal(r)
		return string(text), err
	}
	if len(r.FailedFiles) == 0 {
		return "", nil
	}
	rows := [][]string{{"FILE", "CODE", "MESSAGE"}}
	for _, file := range r.FailedFiles {
		rows = append(rows, []string{file.FileID, cmp.Or(file.Code, "-"), cmp.Or(file.Message, "-")})
	}
	lines := align(rows)
	if _, isTerminal := terminal.Of(f.Streams.Out, f.Env("TERM")); isTerminal && f.Env("NO_COLOR") == "" {
		lines[0] = terminal.Bold.Paint(lines[0])
	}
	return strings.Join(lines, "\n") + "\n", nil
}
